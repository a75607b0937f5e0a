"""Squeeze-and-excitation: weights each channel by the content of the whole image."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class SqueezeExcite(nn.Module):
    """Multiplies each channel by gate(expand(activation(reduce(mean over space)))).

    Hu, Shen, Albanie, Sun & Wu 2018 (arXiv 1709.01507), section 3. The paper uses a relu between
    the two layers and a sigmoid as the gate. "reduce" and "expand" are 1x1 convolutions with bias.

    Attributes:
      hidden: channels between the two layers.
      activation: function between the two layers.
      gate: function that turns the output into one factor for each channel.
      kernel_init: initializer of both kernels; biases start at zero.
      dtype: type of the computation.
      param_dtype: type of the params.
    """

    hidden: int
    activation: Callable = nn.relu
    gate: Callable = nn.sigmoid
    kernel_init: Callable = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns the weighted channels."""
        common = dict(
            kernel_size=(1, 1),
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        squeezed = x.mean(axis=(1, 2), keepdims=True)
        y = self.activation(nn.Conv(self.hidden, name="reduce", **common)(squeezed))
        return x * self.gate(nn.Conv(x.shape[-1], name="expand", **common)(y))
