"""One vector for each word: a table, as published vectors of words are."""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from library.layers.checks import check_sizes
from library.variants import variant


class WordTable(nn.Module):
    """The table "tokens", which starts with zeros.

    Its path is that of the embeddings of text networks, so `init_from` takes it as theirs.

    Attributes:
      vocab_size: number of words.
      width: d, the size of a vector.

    Raises:
      ConfigError: a size is below 1.
    """

    vocab_size: int
    width: int = 50

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size, width=self.width)
        super().__post_init__()

    @nn.compact
    def __call__(self, tokens: Int[Array, "*n"]) -> Float[Array, "*n d"]:
        """Returns the vectors of words."""
        zeros = nn.initializers.zeros
        return nn.Embed(self.vocab_size, self.width, embedding_init=zeros, name="tokens")(tokens)


word_table = variant(WordTable, "word_table")
