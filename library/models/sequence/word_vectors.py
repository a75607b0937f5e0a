"""Two vectors for each word, one as an input and one as an answer, as word2vec learns them.

Mikolov et al. 2013, "Distributed representations of words and phrases and their compositionality"
(arXiv 1310.4546). The vectors start as in the authors' program.
"""

from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from library.layers.checks import check_sizes
from library.variants import variant


class WordVectors(nn.Module):
    """Tables of vectors: "inputs", v, uniform in -1 / 2d to 1 / 2d, and "answers", u, zeros.

    Attributes:
      vocab_size: number of words.
      width: d, the size of a vector.

    Raises:
      ConfigError: a size is below 1.
    """

    vocab_size: int
    width: int = 100

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size, width=self.width)
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        bound = 0.5 / self.width

        def uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        self.inputs = nn.Embed(self.vocab_size, self.width, embedding_init=uniform)
        zeros = nn.initializers.zeros
        self.answers = nn.Embed(self.vocab_size, self.width, embedding_init=zeros)

    def __call__(self, tokens: Int[Array, "*n"]) -> tuple[Float[Array, "*n d"], ...]:
        """Returns both vectors of words."""
        return self.words(tokens), self.contexts(tokens)

    def words(self, tokens: Int[Array, "*n"]) -> Float[Array, "*n d"]:
        """Returns the vectors of words as inputs."""
        return self.inputs(tokens)

    def contexts(self, tokens: Int[Array, "*n"]) -> Float[Array, "*n d"]:
        """Returns the vectors of words as answers."""
        return self.answers(tokens)


word_vectors = variant(WordVectors, "word_vectors")
