"""A convolution before a normalization: no bias, and PyTorch's padding."""

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
    """Convolves in the submodule `name` of the caller.

    It pads by (size - 1) // 2 on all sides; "SAME" would pad a strided layer only at the end.

    Args:
      x: features.
      features: channels of the output.
      size: side of the window.
      stride: step of the window.
      groups: parts that the channels are convolved in, each by itself.
      kernel_init: of the kernel.
      name: the submodule's name.
      dtype: of the computation.
      param_dtype: of the params.
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
