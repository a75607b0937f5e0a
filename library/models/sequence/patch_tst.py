"""PatchTST: a Transformer whose tokens are patches of one channel of a series.

Nie, Nguyen, Sinthong & Kalagnanam 2023, "A time series is worth 64 words: long-term forecasting
with Transformers" (arXiv 2211.14730). All channels share the network, and none sees another. Each
window of a channel is standardized by its own mean and deviation, and the forecast is moved back
(Kim et al. 2022, "Reversible instance normalization for accurate time-series forecasting against
distribution shift"). Layer normalization takes the place of the paper's batch normalization.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.attention import Attention, FeedForward
from library.layers.checks import check_heads, check_rates, check_sizes
from library.layers.intermediates import store
from library.variants import variant

# It is added to the variance of a window, which may be constant.
EPSILON = 1e-5


class PatchTST(nn.Module):
    """Patches of a channel, blocks of a Transformer, and a dense layer on all of their features.

    The last step is repeated `stride` times, so that a series of t steps has
    n = (t - patch) // stride + 2 patches. Submodules are "patches", "positions" (a param (n, d)),
    "block1_attention", "block1_norm1", "block1_mlp", "block1_norm2", ... and "head". Stores
    "features" (b, channels n d), the input of the head.

    Attributes:
      num_outputs: numbers of a forecast: the steps ahead times the channels.
      patch: steps of a patch.
      stride: steps from a patch to the next.
      width: d, the size of a token.
      depth: number of blocks.
      num_heads: heads of each attention layer.
      hidden: width of the feed-forward layers.
      dropout: rate on tokens and at the end of each part of a block.

    Raises:
      ConfigError: a size is below 1, the heads do not divide the width, or the rate is outside
        [0, 1); when it is called: the series is shorter than a patch, or the channels do not divide
        the outputs.
    """

    num_outputs: int
    patch: int = 16
    stride: int = 8
    width: int = 16
    depth: int = 3
    num_heads: int = 4
    hidden: int = 128
    dropout: float = 0.3

    def __post_init__(self):
        check_sizes(num_outputs=self.num_outputs, patch=self.patch, stride=self.stride)
        check_sizes(width=self.width, depth=self.depth, num_heads=self.num_heads)
        check_sizes(hidden=self.hidden)
        check_heads(width=self.width, num_heads=self.num_heads)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, series: Float[Array, "b t c"], train: bool = False) -> Float[Array, "b n"]:
        """Returns the n = num_outputs numbers of the steps ahead, one step after the other.

        Args:
          series: the known steps.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        count, length, channels = series.shape
        self._check(length, channels)
        mean = series.mean(axis=1, keepdims=True)
        deviation = jnp.sqrt(series.var(axis=1, keepdims=True) + EPSILON)
        rows = ((series - mean) / deviation).swapaxes(1, 2).reshape(count * channels, length)
        x = nn.Dense(self.width, name="patches")(patches(rows, self.patch, self.stride))
        init = nn.initializers.uniform(0.02)
        x = x + self.param("positions", init, x.shape[1:])
        x = self._drop("dropout", x, train)
        for number in range(self.depth):
            x = self._block(f"block{number + 1}", x, train)
        x = x.reshape(count * channels, -1)
        store(self, "features", x.reshape(count, -1))
        y = nn.Dense(self.num_outputs // channels, name="head")(x)
        y = y.reshape(count, channels, -1).swapaxes(1, 2) * deviation + mean
        return y.reshape(count, -1)

    def _block(self, name: str, x: Float[Array, "m n d"], train: bool) -> Float[Array, "m n d"]:
        y = Attention(self.num_heads, name=f"{name}_attention")(x)
        x = nn.LayerNorm(name=f"{name}_norm1")(x + self._drop(f"{name}_dropout1", y, train))
        y = FeedForward(self.hidden, self.dropout, name=f"{name}_mlp")(x, train)
        return nn.LayerNorm(name=f"{name}_norm2")(x + self._drop(f"{name}_dropout2", y, train))

    def _drop(self, name: str, x: Float[Array, "m n d"], train: bool) -> Float[Array, "m n d"]:
        return nn.Dropout(self.dropout, deterministic=not train, name=name)(x)

    @nn.nowrap
    def _check(self, length: int, channels: int) -> None:
        if length < self.patch:
            raise ConfigError(
                f"patch={self.patch}: the series has {length} steps; nearest: {length}"
            )
        if self.num_outputs % channels:
            raise ConfigError(
                f"num_outputs={self.num_outputs} are no whole steps of {channels} channels; "
                f"nearest: {max(round(self.num_outputs / channels), 1) * channels}"
            )


def patches(x: Float[Array, "m t"], patch: int, stride: int) -> Float[Array, "m n p"]:
    """Returns the patches of rows whose last step is repeated `stride` times."""
    padded = jnp.pad(x, ((0, 0), (0, stride)), mode="edge")
    count = (x.shape[1] - patch) // stride + 2
    return padded[:, stride * np.arange(count)[:, None] + np.arange(patch)]


patch_tst = variant(PatchTST, "patch_tst")
