"""A lowering of convolutions to the form that XLA computes fast on CPU, also inside loops.

XLA has a fast convolution on CPU for images (batch, space, channels) and kernels (space, channels
in, channels out). A pass of the compiler transposes other convolutions to this form, but only in
the outermost computation. In the body of a `scan`, or in a branch of a `cond`, XLA computes them
with a plain loop, which is 5 to 100 times slower. The gradients of every convolution have another
form. Therefore this module adds the transpositions to the program before XLA sees it.

XLA also computes grouped convolutions slowly, and the gradients of their kernels up to 200 times
slower than one group after the other. This module computes one group after the other.

Importing this module changes how JAX lowers every `conv_general_dilated` on CPU. It does not change
what JAX traces, differentiates or batches. A convolution without groups that was fast before gives
bitwise the same result.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import mlir
from jaxtyping import Array

Permutation = tuple[int, ...]

_CONVOLUTION = jax.lax.conv_general_dilated_p
# JAX's own lowering rule; there is no public way to get it.
_JAX_RULE = mlir._platform_specific_lowerings["cpu"][_CONVOLUTION].rule


def canonical(rank: int) -> jax.lax.ConvDimensionNumbers:
    """Returns the orders (batch, space, channels) and (space, channels in, channels out).

    Args:
      rank: number of dimensions of the image array, 4 for two-dimensional images.
    """
    last = rank - 1
    images = (0, last, *range(1, last))
    return jax.lax.ConvDimensionNumbers(images, (last, last - 1, *range(last - 1)), images)


def transpositions(
    dimension_numbers: jax.lax.ConvDimensionNumbers,
) -> tuple[Permutation, Permutation, Permutation]:
    """Returns permutations of images and kernel to the canonical order, and of the result back.

    Args:
      dimension_numbers: positions of the batch, channel and space dimensions of a convolution.
    """
    images, kernel, result = dimension_numbers
    back = np.argsort((result[0], *result[2:], result[1]))
    return (
        (images[0], *images[2:], images[1]),
        (*kernel[2:], kernel[1], kernel[0]),
        tuple(int(axis) for axis in back),
    )


def by_group(images: Array, kernel: Array, **params: Any) -> Array:
    """Returns a grouped convolution, computed one group after the other.

    Args:
      images: (b, ..., c), grouped by channel, or by example for the gradient of a kernel.
      kernel: (..., c, f), grouped by output f.
      params: parameters of the primitive `conv_general_dilated`, in the canonical order.
    """
    of_channels, of_examples = params["feature_group_count"], params["batch_group_count"]
    groups = of_channels * of_examples
    params |= dict(feature_group_count=1, batch_group_count=1)
    parts = (
        _parts(images, groups, images.ndim - 1 if of_channels > 1 else 0),
        _parts(kernel, groups, kernel.ndim - 1),
    )
    y = jax.lax.map(lambda pair: _CONVOLUTION.bind(*pair, **params), parts)
    return jnp.moveaxis(y, 0, -2).reshape(*y.shape[1:-1], groups * y.shape[-1])


def _parts(x: Array, groups: int, axis: int) -> Array:
    """Returns (groups, ...): an axis split into `groups` contiguous parts."""
    size = x.shape[axis] // groups
    return jnp.moveaxis(x.reshape(*x.shape[:axis], groups, size, *x.shape[axis + 1 :]), axis, 0)


def _grouping_is_slow(kernel: tuple[int, ...], params: Any) -> bool:
    """Returns whether XLA is slow with these groups.

    XLA is fast if each group has one output, or if the window is one pixel.
    """
    groups = params["feature_group_count"] * params["batch_group_count"]
    window = math.prod(kernel[axis] for axis in params["dimension_numbers"].rhs_spec[2:])
    outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
    return groups > 1 and outputs > groups and window > 1


def _lower(ctx: Any, images: Any, kernel: Any, **params: Any) -> Any:
    usual = canonical(ctx.avals_in[0].ndim)
    grouped = _grouping_is_slow(ctx.avals_in[1].shape, params)
    first, second, back = transpositions(params["dimension_numbers"])

    def transposed(images: Array, kernel: Array) -> Array:
        compute = by_group if grouped else _CONVOLUTION.bind
        images, kernel = jax.lax.transpose(images, first), jax.lax.transpose(kernel, second)
        return jax.lax.transpose(
            compute(images, kernel, **{**params, "dimension_numbers": usual}), back
        )

    explicit = jax.sharding.AxisType.Explicit in ctx.avals_out[0].sharding.mesh.axis_types
    if explicit or (params["dimension_numbers"] == usual and not grouped):
        return _JAX_RULE(ctx, images, kernel, **params)
    return mlir.lower_fun(transposed, multiple_results=False)(ctx, images, kernel)


mlir.register_lowering(_CONVOLUTION, _lower, platform="cpu")
