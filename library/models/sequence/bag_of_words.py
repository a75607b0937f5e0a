"""A text as a bag of words: how often each word occurs."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError
from library.layers.checks import check_sizes
from library.variants import variant


class BagOfWords(nn.Module):
    """Counts of the tokens of a text; it has no params.

    Attributes:
      vocab_size: number of tokens.
      binary: whether a token that occurs several times counts once.
      ignore: tokens that do not count, such as that of unknown words.

    Raises:
      ConfigError: the size is below 1, or a token to ignore is not in the vocabulary.
    """

    vocab_size: int
    binary: bool = False
    ignore: tuple[int, ...] = ()

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size)
        for token in self.ignore:
            if not 0 <= token < self.vocab_size:
                raise ConfigError(f"ignore={token}: valid are 0 to {self.vocab_size - 1}")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, text: Int[Array, "b t"], text_mask: Float[Array, "b t"], train: bool = False
    ) -> Float[Array, "b v"]:
        """Returns the counts.

        Args:
          text: tokens.
          text_mask: 1 for a token and 0 for padding.
          train: without effect: nothing here is random.
        """
        there = (text_mask > 0).astype(jnp.float32)
        rows = jnp.arange(len(text))[:, None]
        counts = jnp.zeros((len(text), self.vocab_size)).at[rows, text].add(there)
        if self.ignore:
            counts = counts.at[:, jnp.array(self.ignore)].set(0)
        return jnp.minimum(counts, 1) if self.binary else counts


bag_of_words = variant(BagOfWords, "bag_of_words")
