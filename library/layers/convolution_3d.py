"""Convolution of clips: native on accelerators, and as 2-D convolutions of frames on CPU.

XLA has no fast gradients of 3-D convolutions on CPU. There the frames that a kernel covers are
joined as channels, and one 2-D convolution computes the same sums.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
_NUMBERS = ("NTHWC", "THWIO", "NTHWC")


class Conv3D(nn.Module):
    """A convolution over time and space, with the params "kernel" and "bias" of `nn.Conv`.

    Attributes:
      features: channels of the output.
      kernel_size: frames, height and width that the kernel covers.
      strides: of frames, rows and columns.
      padding: zeros before and after frames, rows and columns; by default as many as keep their
        number, for odd kernels.
      use_bias: whether to add a bias.
      kernel_init: initializer of the kernel.
      dtype: type of the computation.
      param_dtype: type of the params.
    """

    features: int
    kernel_size: tuple[int, int, int]
    strides: tuple[int, int, int] = (1, 1, 1)
    padding: Padding | None = None
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b _ _ _ o"]:
        """Returns the features."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        padding = self.padding or tuple((k // 2, k // 2) for k in self.kernel_size)
        x = convolved(x.astype(self.dtype), kernel.astype(self.dtype), self.strides, padding)
        if not self.use_bias:
            return x
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
        return x + bias.astype(self.dtype)


def convolved(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "kt kh kw c o"],
    strides: tuple[int, int, int],
    padding: Padding,
) -> Float[Array, "b _ _ _ o"]:
    """Returns the convolution of clips, in the form that suits the platform."""

    def native(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_NUMBERS)

    def by_frames(x: Array, kernel: Array) -> Array:
        return frames_convolved(x, kernel, strides, padding)

    return jax.lax.platform_dependent(x, kernel, cpu=by_frames, default=native)


def frames_convolved(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "kt kh kw c o"],
    strides: tuple[int, int, int],
    padding: Padding,
) -> Float[Array, "b _ _ _ o"]:
    """Returns the same as one 2-D convolution, whose channels are those of kt frames."""
    covered, height, width, channels, out = kernel.shape
    before, after = padding[0]
    x = jnp.pad(x, ((0, 0), (before, after), (0, 0), (0, 0), (0, 0)))
    count = (x.shape[1] - covered) // strides[0] + 1
    reach = (count - 1) * strides[0] + 1
    parts = [x[:, i : i + reach : strides[0]] for i in range(covered)]
    joined = jnp.concatenate(parts, axis=-1)
    # The kernel's channels in the order of the joined frames: all of the first frame first.
    flat = jnp.moveaxis(kernel, 0, 2).reshape(height, width, covered * channels, out)
    frames = joined.reshape(-1, *joined.shape[2:])
    y = jax.lax.conv_general_dilated(
        frames, flat, strides[1:], padding[1:], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y.reshape(len(x), count, *y.shape[1:])


def clip_max_pool(
    x: Float[Array, "b t h w c"], frames: int, size: int, edge: int = 0
) -> Float[Array, "b _ _ _ c"]:
    """Takes the maximum of `frames` frames and of squares of `size`, without overlap.

    Args:
      x: features.
      frames: frames of a window; frames that fill no window are left out.
      size: rows and columns of a window.
      edge: rows and columns of padding at each side.
    """
    b, t = x.shape[:2]
    flat = x.reshape(b * t, *x.shape[2:])
    window, padding = 2 * (size,), 2 * ((edge, edge),)
    flat = nn.max_pool(flat, window, window, padding=padding)
    kept = t // frames
    x = flat.reshape(b, t, *flat.shape[1:])[:, : kept * frames]
    return x.reshape(b, kept, frames, *flat.shape[1:]).max(axis=2)
