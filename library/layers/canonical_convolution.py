"""Convolutions in the form that XLA computes fast on CPU, also inside loops.

XLA's fast convolution on CPU takes (batch, space, channels) by (space, channels in, channels out).
A convolution in another order is transposed to it by a pass of the compiler, which looks at the
outermost computation only: in the body of a `scan`, and in a branch of a `cond`, it stays as it is
and is computed by a plain loop, 5 to 100 times slower. The gradients of every convolution are in
another order. So here the transpositions become a part of the program before XLA sees it.

XLA computes convolutions in groups slowly, too, and the gradients of their kernels up to 200 times
slower than one group after the other, which is how they are computed here.

Importing this module changes how JAX lowers `conv_general_dilated` on CPU, wherever it comes from.
The program that JAX traces, its derivatives and its batching stay JAX's own. A convolution without
groups is the same to the bit wherever it was fast before.
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
# The rule that JAX has registered itself; there is no public way to ask for it.
_AS_IT_IS = mlir._platform_specific_lowerings["cpu"][_CONVOLUTION].rule


def canonical(rank: int) -> jax.lax.ConvDimensionNumbers:
    """Returns the order (batch, space, channels) and (space, channels in, channels out).

    Args:
      rank: dimensions of the images, 4 for those in two dimensions.
    """
    last = rank - 1
    images = (0, last, *range(1, last))
    return jax.lax.ConvDimensionNumbers(images, (last, last - 1, *range(last - 1)), images)


def transpositions(
    dimension_numbers: jax.lax.ConvDimensionNumbers,
) -> tuple[Permutation, Permutation, Permutation]:
    """Returns what transposes images and kernel to the canonical order, and the result back.

    Args:
      dimension_numbers: of a convolution, where its batch, channels and space lie.
    """
    images, kernel, result = dimension_numbers
    back = np.argsort((result[0], *result[2:], result[1]))
    return (
        (images[0], *images[2:], images[1]),
        (*kernel[2:], kernel[1], kernel[0]),
        tuple(int(axis) for axis in back),
    )


def by_group(images: Array, kernel: Array, **params: Any) -> Array:
    """Returns a convolution in groups, computed one group after the other.

    Args:
      images: (b, ..., c) in groups of channels, or of examples, for the gradient of a kernel.
      kernel: (..., c, f) in groups of its outputs f.
      params: of the primitive `conv_general_dilated`, in the canonical order.
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
    """Returns (groups, ...) with that many parts of an axis, each of neighbours."""
    size = x.shape[axis] // groups
    return jnp.moveaxis(x.reshape(*x.shape[:axis], groups, size, *x.shape[axis + 1 :]), axis, 0)


def _groups_cost(kernel: tuple[int, ...], params: Any) -> bool:
    """Whether XLA is slow with the groups: not if each has one output, or a window one pixel."""
    groups = params["feature_group_count"] * params["batch_group_count"]
    window = math.prod(kernel[axis] for axis in params["dimension_numbers"].rhs_spec[2:])
    outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
    return groups > 1 and outputs > groups and window > 1


def _lower(ctx: Any, images: Any, kernel: Any, **params: Any) -> Any:
    usual = canonical(ctx.avals_in[0].ndim)
    grouped = _groups_cost(ctx.avals_in[1].shape, params)
    first, second, back = transpositions(params["dimension_numbers"])

    def transposed(images: Array, kernel: Array) -> Array:
        compute = by_group if grouped else _CONVOLUTION.bind
        images, kernel = jax.lax.transpose(images, first), jax.lax.transpose(kernel, second)
        return jax.lax.transpose(
            compute(images, kernel, **{**params, "dimension_numbers": usual}), back
        )

    explicit = jax.sharding.AxisType.Explicit in ctx.avals_out[0].sharding.mesh.axis_types
    if explicit or (params["dimension_numbers"] == usual and not grouped):
        return _AS_IT_IS(ctx, images, kernel, **params)
    return mlir.lower_fun(transposed, multiple_results=False)(ctx, images, kernel)


mlir.register_lowering(_CONVOLUTION, _lower, platform="cpu")
