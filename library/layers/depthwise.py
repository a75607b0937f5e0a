"""Depthwise convolution: each channel has its own window, and channels do not mix."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

Pads = tuple[tuple[int, int], tuple[int, int]]


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
    """Convolves each channel with its own window, in the submodule `name` of the calling module.

    The kernel has the shape (size, size, 1, c). From this shape an initializer derives a fan-in of
    size^2 and a fan-out of c size^2, as in PyTorch, although the true fan-out is size^2.

    Args:
      x: features.
      size: side of the window.
      stride: step of the window.
      padding: "SAME", which pads a strided layer only at the end, "VALID", or a number of pixels
        for all sides; by default (size - 1) // 2, as in PyTorch.
      use_bias: whether the layer has a bias, which starts at zero.
      kernel_init: initializer of the kernel.
      name: name of the submodule.
      dtype: type of the computation.
      param_dtype: type of the params.
    """
    module = DepthwiseConv(
        size=size,
        stride=stride,
        padding=(size - 1) // 2 if padding is None else padding,
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )
    return module(x)


class DepthwiseConv(nn.Module):
    """The module that `depthwise` creates. Its params are those of a grouped `nn.Conv`."""

    size: int
    stride: int
    padding: Any
    use_bias: bool
    kernel_init: Callable
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ c"]:
        """Returns the convolved features."""
        window = (self.size, self.size)
        kernel = self.param("kernel", self.kernel_init, (*window, 1, x.shape[-1]), self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        pads: Any = self.padding
        if isinstance(pads, str):
            strides = (self.stride, self.stride)
            pads = jax.lax.padtype_to_pads(x.shape[1:3], window, strides, pads)
        else:
            pads = ((pads, pads), (pads, pads))
        y = convolve(x, kernel, self.stride, tuple(map(tuple, pads)))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), self.param_dtype)
            y = y + bias.astype(y.dtype)
        return y


def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k 1 c"], stride: int, pads: Pads
) -> Float[Array, "b _ _ c"]:
    """Returns a depthwise convolution, computed in the fastest way for the platform.

    On CPU, XLA's grouped convolution with one group for each channel is slow, and its gradients are
    slower still. There this function sums, over the window, the shifted image times one weight for
    each channel. This is 5 to 20 times faster forward and 2 to 10 times faster with gradients, but
    the gradients of large windows need more memory.
    """
    return _convolve(x, kernel, stride, pads)


# A network has many layers of the same shapes: each shape is traced once. Both forms are in the
# trace on every machine: FLOPs are counted in the grouped one.
@functools.partial(jax.jit, static_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _shifted(x, kernel, stride, pads),
        default=lambda x, kernel: _grouped(x, kernel, stride, pads),
    )


def _grouped(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _shifted(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    size = len(kernel)
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    height, width = ((side - size) // stride * stride + 1 for side in x.shape[1:3])
    return sum(
        x[:, i : i + height : stride, j : j + width : stride] * kernel[i, j, 0]
        for i in range(size)
        for j in range(size)
    )
