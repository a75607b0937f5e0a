"""Depthwise convolution: one window a channel, and nothing between channels."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


def depthwise(
    x: Float[Array, "b h w c"],
    size: int,
    stride: int = 1,
    *,
    padding: Any = None,
    use_bias: bool = False,
    kernel_init: Callable,
    name: str,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> Float[Array, "b _ _ c"]:
    """Convolves each channel with a window of its own, in the submodule `name` of the caller.

    The kernel has the shape (size, size, 1, c). An initializer sees from it a fan-in of size^2 and
    a fan-out of c size^2, as PyTorch's do, although only size^2 values depend on one.

    Args:
      x: features.
      size: side of the window.
      stride: step of the window.
      padding: as of `nn.Conv`; by default (size - 1) // 2 on all sides, as in PyTorch, where
        "SAME" would pad a strided layer only at the end.
      use_bias: whether there is one, starting at zero.
      kernel_init: of the kernel.
      name: the submodule's name.
      dtype: of the computation.
      param_dtype: of the params.
    """
    return nn.Conv(
        x.shape[-1],
        kernel_size=(size, size),
        strides=(stride, stride),
        padding=(size - 1) // 2 if padding is None else padding,
        feature_group_count=x.shape[-1],
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )(x)
