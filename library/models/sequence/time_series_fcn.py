"""A fully convolutional network for time series: three convolutions over time and their mean.

Wang, Yan & Oates 2017, "Time series classification from scratch with deep neural networks: A strong
baseline" (arXiv 1611.06455), figure 1b. Params for one channel and two classes: 264,962.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.series import mean_step, present
from library.variants import variant


class Layer(nn.Module):
    """A convolution "conv" over time, batch normalization "norm" over the known steps, relu."""

    width: int
    size: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], mask: Float[Array, "b t"] | None, train: bool
    ) -> Float[Array, "b t w"]:
        """Returns features, which are 0 where the mask is; None is a mask of ones."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = nn.initializers.he_uniform()
        x = nn.Conv(self.width, (self.size,), kernel_init=init, name="conv", **types)(x)
        norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-3, name="norm", **types)
        known = None if mask is None else mask[..., None] > 0
        return present(nn.relu(norm(x, mask=known)), mask)


class TimeSeriesFCN(nn.Module):
    """The network: layers over time, the mean over the known steps, linear head.

    Submodules are "layer1", "layer2", ..., "head". Stores "stage1", "stage2", ... (b, t, w) and
    "features" (b, w), the mean over time. The padding of a series changes nothing: it enters
    neither the convolutions nor the statistics nor the mean.

    Attributes:
      num_classes: size of the logits.
      widths: channels of the layers.
      sizes: steps that the kernels cover.
      dropout: rate before the head, 0 in the paper.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, or there are not
        as many sizes as widths.
    """

    num_classes: int = 2
    widths: tuple[int, ...] = (128, 256, 128)
    sizes: tuple[int, ...] = (8, 5, 3)
    dropout: float = 0.0
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, widths=self.widths, sizes=self.sizes)
        if len(self.sizes) != len(self.widths):
            raise ConfigError(
                f"sizes={self.sizes}: write {len(self.widths)}, one for each of "
                f"widths={self.widths}"
            )
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        series: Float[Array, "b t c"],
        series_mask: Float[Array, "b t"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Args:
          series: the series, padded to one length.
          series_mask: 1 for data and 0 for padding; all are data by default.
          train: whether to apply dropout and use the statistics of the batch.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = present(series, series_mask).astype(self.dtype)
        for i, (width, size) in enumerate(zip(self.widths, self.sizes), 1):
            x = Layer(width, size, name=f"layer{i}", **types)(x, series_mask, train)
            store(self, f"stage{i}", x)
        x = mean_step(x, series_mask)
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        init = nn.initializers.lecun_normal()
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


time_series_fcn = variant(TimeSeriesFCN, "time_series_fcn")
