"""Temporal convolutional networks (Bai, Kolter & Koltun 2018, arXiv 1803.01271).

"An empirical evaluation of generic convolutional and recurrent networks for sequence modeling".
An answer depends on no later step. Block i has two causal convolutions of dilation 2^i, each with
weight normalization (Salimans & Kingma 2016), ReLU and dropout, and a residual connection.

The initial values are those of the authors' program, locuslab/TCN: kernels and biases uniform
within 1 / sqrt(fan-in), projections and head normal with a deviation of 0.01.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.series import as_series, last_step, mean_step, present
from library.variants import variant

OUTPUTS = ("last", "mean", "each")
_SMALL = nn.initializers.normal(0.01)


class CausalConvolution(nn.Module):
    """A convolution over time with weight normalization, g v / |v|; step t sees no later step.

    Params are "kernel", v (k, d, f), "scale", g (f,), which starts at |v|, and "bias" (f,). The
    norm is over the inputs of an output.
    """

    features: int
    kernel_size: int
    dilation: int
    dtype: str
    param_dtype: str

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t f"]:
        """Returns the convolved series, of the same length."""
        shape = (self.kernel_size, x.shape[-1], self.features)
        bound = 1 / math.sqrt(shape[0] * shape[1])

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        kernel = self.param("kernel", uniform, shape, self.param_dtype)
        scale = self.param("scale", lambda key: jnp.linalg.norm(kernel, axis=(0, 1)))
        bias = self.param("bias", uniform, shape[-1:], self.param_dtype)
        weights = kernel * (scale / jnp.linalg.norm(kernel, axis=(0, 1)))
        y = jax.lax.conv_general_dilated(
            x,
            weights.astype(self.dtype),
            window_strides=(1,),
            padding=[((self.kernel_size - 1) * self.dilation, 0)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return y + bias.astype(self.dtype)


class TCN(nn.Module):
    """A temporal convolutional network.

    Submodules are "block1_conv1", "block1_conv2", "block1_projection" where the width changes, ...
    and "head". Stores "features", the input of the head.

    Each answer sees the last 1 + 2 (k - 1) (2^n - 1) steps, for n blocks of windows of k. On series
    of one value, and with ten classes, `TCN` has 66,910 params.

    Attributes:
      num_classes: size of the answers.
      widths: the channels of each block.
      kernel_size: k, the steps that a convolution sees.
      dropout: dropout rate after each convolution.
      output: "last" for the answer of the last step, "mean" for that of the mean over the steps,
        "each" for an answer a step.
      vocab_size: number of the different integers of an input; None for an input of numbers.
      dtype: type of the computation; answers are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a name is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int
    widths: tuple[int, ...] = (25,) * 8
    kernel_size: int = 7
    dropout: float = 0.0
    output: str = "last"
    vocab_size: int | None = None
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_choice("output", self.output, OUTPUTS)
        check_sizes(num_classes=self.num_classes, widths=self.widths, kernel_size=self.kernel_size)
        check_sizes(**({} if self.vocab_size is None else {"vocab_size": self.vocab_size}))
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"] | Int[Array, "b t"],
        mask: Float[Array, "b t"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b k"] | Float[Array, "b t k"]:
        """Returns the answers, float32.

        Args:
          x: a series, or integers.
          mask: 1 for the steps of the series and 0 for padding at its end; all are steps by
            default.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = present(as_series(x, self.vocab_size, self.dtype), mask)
        for number, width in enumerate(self.widths):
            x = self._block(x, width, number, train)
        if self.output != "each":
            x = last_step(x, mask) if self.output == "last" else mean_step(x, mask)
        store(self, "features", x)
        head = nn.Dense(self.num_classes, kernel_init=_SMALL, name="head", **types)
        return head(x).astype(jnp.float32)

    def _block(self, x: Float[Array, "b t d"], width: int, number: int, train: bool):
        types, name = dict(dtype=self.dtype, param_dtype=self.param_dtype), f"block{number + 1}"
        y = x
        for part in ("1", "2"):
            conv = CausalConvolution(
                width, self.kernel_size, 2**number, name=f"{name}_conv{part}", **types
            )
            drop = nn.Dropout(self.dropout, deterministic=not train, name=f"{name}_drop{part}")
            y = drop(nn.relu(conv(y)))
        if x.shape[-1] != width:
            project = nn.Dense(width, kernel_init=_SMALL, name=f"{name}_projection", **types)
            x = project(x)
        return nn.relu(x + y)


tcn = variant(TCN, "tcn")
