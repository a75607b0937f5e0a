"""Linear forecasters: NLinear and DLinear, which map the known steps to those to be forecast.

Zeng, Chen, Zhang & Xu 2023, "Are Transformers effective for time series forecasting?" (arXiv
2205.13504). All channels of a series share the weights. The initial values of DLinear, 1/t, are
those of the authors' program, cure-lab/LTSF-Linear; NLinear has those of a dense layer in PyTorch.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import store
from library.variants import variant

FORMS = ("plain", "last", "decomposed")


class LinearForecaster(nn.Module):
    """A dense layer over time.

    | form | paper | forecast of a channel x (t,) |
    | --- | --- | --- |
    | "plain" | Linear | W x + b |
    | "last" | NLinear | W (x - x_t) + b + x_t |
    | "decomposed" | DLinear | W (x - m) + b + V m + c, with the moving average m of x |

    The moving average of `window` steps repeats the first and the last step beyond the ends.
    Submodules are "steps", with W (t, ahead) and b, and of DLinear "trend", with V and c. Stores
    "features" (b, t d), the series.

    Attributes:
      num_outputs: numbers of a forecast: the steps ahead times the channels d.
      form: one of FORMS.
      window: steps of the moving average, an odd number; None unless "decomposed".
      dtype: type of the products; forecasts are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a form or a dtype is unknown, a size is below 1, the window is even, or a form
        has a window that does not belong to it; when it is called: the channels do not divide
        the outputs.
    """

    num_outputs: int
    form: str = "last"
    window: int | None = None
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_choice("form", self.form, FORMS)
        check_sizes(num_outputs=self.num_outputs)
        check_dtypes(self.dtype, self.param_dtype)
        if (self.form == "decomposed") != (self.window is not None):
            valid = 25 if self.form == "decomposed" else None
            raise ConfigError(f"window={self.window} with form={self.form!r}; nearest: {valid}")
        if self.window is not None and (self.window < 1 or not self.window % 2):
            raise ConfigError(
                f"window={self.window}: valid are odd numbers; nearest: {max(self.window + 1, 1)}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, series: Float[Array, "b t d"], train: bool = False) -> Float[Array, "b n"]:
        """Returns the n = num_outputs numbers of the steps ahead, one step after the other.

        Args:
          series: the known steps.
          train: without effect: nothing here is random.
        """
        channels = series.shape[-1]
        if self.num_outputs % channels:
            raise ConfigError(
                f"num_outputs={self.num_outputs} are no whole steps of {channels} channels; "
                f"nearest: {max(round(self.num_outputs / channels), 1) * channels}"
            )
        store(self, "features", series.reshape(len(series), -1))
        # Time comes last, because the layer is over time.
        x = series.swapaxes(1, 2).astype(self.dtype)
        if self.form == "plain":
            y = self._dense("steps", x, channels)
        elif self.form == "last":
            y = self._dense("steps", x - x[..., -1:], channels) + x[..., -1:]
        else:
            trend = moving_average(x, self.window)
            y = self._dense("steps", x - trend, channels) + self._dense("trend", trend, channels)
        return y.swapaxes(1, 2).reshape(len(series), -1).astype(jnp.float32)

    def _dense(self, name: str, x: Float[Array, "b d t"], channels: int) -> Float[Array, "b d s"]:
        bound = 1 / math.sqrt(x.shape[-1])

        def uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        mean = nn.initializers.constant(1 / x.shape[-1])
        layer = nn.Dense(
            self.num_outputs // channels,
            kernel_init=mean if self.form == "decomposed" else uniform,
            bias_init=uniform,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
        return layer(x)


def moving_average(x: Float[Array, "*n t"], window: int) -> Float[Array, "*n t"]:
    """Returns the mean of the `window` steps around each, an odd number; the ends are repeated."""
    sides = [(0, 0)] * (x.ndim - 1) + [(window // 2, window // 2)]
    padded = jnp.pad(x, sides, mode="edge")
    return sum(padded[..., i : i + x.shape[-1]] for i in range(window)) / window


nlinear = variant(LinearForecaster, "nlinear", form="last", window=None)
dlinear = variant(LinearForecaster, "dlinear", form="decomposed", defaults=dict(window=25))
linear = variant(LinearForecaster, "linear", form="plain", window=None)
