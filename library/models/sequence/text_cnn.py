"""The convolutional network of Kim 2014 that classifies sentences.

Kim 2014, "Convolutional neural networks for sentence classification" (arXiv 1408.5882): windows of
several sizes slide over the embeddings of words, and the largest answer of each filter counts.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from library.layers.checks import check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.series import present
from library.variants import variant


class TextCNN(nn.Module):
    """Filters over windows of words, the maximum of each over the text, dropout and a dense layer.

    A window counts if it holds a word; beyond the ends it sees zeros, so padding changes nothing.
    Submodules are "tokens" (embeddings, which start uniform in -0.25 to 0.25), "window3", ..., one
    for each size, and "head". Stores "features" (b, filters * sizes), the input of the head.

    Attributes:
      num_classes: size of the answers.
      vocab_size: number of tokens.
      embedding: size of a token's embedding.
      windows: sizes of the windows, in words, all different.
      filters: filters of each size.
      dropout: dropout rate before the head.

    Raises:
      ConfigError: a size is below 1, or the rate is outside [0, 1).
    """

    num_classes: int
    vocab_size: int
    embedding: int = 300
    windows: tuple[int, ...] = (3, 4, 5)
    filters: int = 100
    dropout: float = 0.5

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, vocab_size=self.vocab_size)
        check_sizes(embedding=self.embedding, windows=self.windows, filters=self.filters)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, text: Int[Array, "b t"], text_mask: Float[Array, "b t"], train: bool = False
    ) -> Float[Array, "b k"]:
        """Returns logits.

        Args:
          text: tokens.
          text_mask: 1 for a token and 0 for padding.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        table = nn.Embed(self.vocab_size, self.embedding, embedding_init=_uniform, name="tokens")
        x = present(table(text), text_mask)
        found = [self._largest(x, text_mask, size) for size in self.windows]
        x = jnp.concatenate(found, axis=-1)
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return linear_head(x, self.num_classes, kernel_init=nn.initializers.lecun_normal())

    def _largest(
        self, x: Float[Array, "b t d"], mask: Float[Array, "b t"], size: int
    ) -> Float[Array, "b f"]:
        """Returns the largest answer of each filter of a size, 0 for a text without a word."""
        sides = (size - 1, size - 1)
        y = nn.Conv(self.filters, (size,), padding=[sides], name=f"window{size}")(x)
        padded = jnp.pad(mask, ((0, 0), sides))
        held = sum(padded[:, i : i + y.shape[1]] for i in range(size)) > 0
        return jnp.max(jnp.where(held[..., None], nn.relu(y), 0), axis=1)


text_cnn = variant(TextCNN, "text_cnn")


def _uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, -0.25, 0.25)
