"""A convolution for use before a normalization: without bias, with the padding of PyTorch."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float


def convolution(
    x: Float[Array, "b h w c"],
    features: int,
    size: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    kernel_init: Callable,
    name: str,
    dtype: Any,
    param_dtype: Any,
) -> Float[Array, "b _ _ {features}"]:
    """Applies a convolution that is the submodule `name` of the calling module.

    The padding is (size - 1) // 2 on all sides. "SAME" would pad a strided layer only at the end.

    Args:
      x: features.
      features: channels of the output.
      size: side of the window.
      stride: step of the window.
      groups: number of groups of channels that are convolved separately.
      kernel_init: initializer of the kernel.
      name: name of the submodule.
      dtype: type of the computation.
      param_dtype: type of the params.
    """
    return nn.Conv(
        features,
        kernel_size=(size, size),
        strides=(stride, stride),
        padding=(size - 1) // 2,
        feature_group_count=groups,
        use_bias=False,
        kernel_init=kernel_init,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )(x)
