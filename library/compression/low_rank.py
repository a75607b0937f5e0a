"""Kernels as products of two smaller kernels, by singular value decomposition.

Denton et al. 2014, "Exploiting linear structure within convolutional networks for efficient
evaluation" (arXiv 1404.0736); Jaderberg, Vedaldi & Zisserman 2014, "Speeding up convolutional
neural networks with low rank expansions" (arXiv 1405.3866); Zhang et al. 2016, "Accelerating very
deep convolutional networks for classification and detection" (arXiv 1505.06798).

A dense layer x W becomes (x A) B. A convolution becomes two convolutions, in one of two ways:

  channel   the window to r channels, then 1 x 1 to all outputs (Zhang et al., section 3.1)
  spatial   a column to r channels, then a row to all outputs (Jaderberg et al., scheme 2)

By Eckart & Young 1936, no other A B of rank r is closer to the matrix. The squared error is the sum
of the squares of the omitted singular values. Zhang et al. choose A and B from the outputs of a
layer on data, and so lose less. This module uses only the kernel.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, PyTree

from library import background
from library.compression.kernels import LAYERS, Kernel, axes, chosen
from library.config import ConfigError, check_choice

FIRST, SECOND = "kernel_first", "kernel_second"
SCHEMES = ("channel", "spatial")


class Decomposition(NamedTuple):
    """The singular value decomposition left diag(values) right of a kernel's matrix (m, n).

    Attributes:
      left: (m, k), orthonormal columns.
      values: (k,), singular values in decreasing order.
      right: (k, n), orthonormal rows.
      kernel: the kernel.
      scheme: "channel" or "spatial", how the kernel becomes a matrix.
    """

    left: Float[np.ndarray, "m k"]
    values: Float[np.ndarray, " k"]
    right: Float[np.ndarray, "k n"]
    kernel: Kernel
    scheme: str


def decompose(
    params: PyTree,
    kernels: Mapping[str, Kernel],
    *,
    scheme: str = "channel",
    kept: Sequence[str] = (),
) -> dict[str, Decomposition]:
    """Returns the decompositions of a network's kernels by path, without grouped convolutions.

    Args:
      params: params of the network.
      kernels: result of `survey`.
      scheme: "channel" or "spatial", for windows with more than one row and more than one column.
      kept: patterns of kernels that are not decomposed.

    Raises:
      ConfigError: the scheme is unknown, or see `chosen`.
    """
    check_choice("scheme", scheme, SCHEMES)
    leaves = flatten_dict(params, sep="/")
    found = {}
    for path in chosen([p for p, kernel in kernels.items() if kernel.groups == 1], kept):
        kernel = kernels[path]
        rectangle = len(kernel.window) == 2 and min(kernel.window) > 1
        own = scheme if rectangle else "channel"
        matrix = _as_matrix(np.asarray(leaves[path], np.float64), kernel, own)
        parts = background.result(functools.partial(np.linalg.svd, matrix, full_matrices=False))
        found[path] = Decomposition(*parts, kernel, own)
    return found


def rank_for(found: Decomposition, size: int | float | None, energy: float | None) -> int:
    """Returns the rank for a given size or a given energy.

    Args:
      found: the decomposition.
      size: the rank, a whole number from 1, or a share of the full rank between 0 and 1.
      energy: instead of a size, the least share of the sum of squared singular values to keep.

    Raises:
      ConfigError: both or neither are given, or a value is out of range.
    """
    if (size is None) == (energy is None):
        raise ConfigError(f"rank={size}, energy={energy}: one of them is needed, and not both")
    if energy is not None:
        if not 0 < energy <= 1:
            raise ConfigError(f"energy={energy}: valid are above 0 to 1, the share to keep")
        total = np.cumsum(found.values**2)
        return int(np.searchsorted(total, energy * total[-1] * (1 - 1e-12)) + 1)
    whole = isinstance(size, int) and size >= 1
    if not whole and not 0 < size < 1:
        raise ConfigError(f"rank={size}: valid are whole numbers from 1 and shares from 0 to 1")
    full = len(found.values)
    return min(size, full) if whole else math.ceil(size * full)


def factored(
    params: PyTree,
    decomposed: Mapping[str, Decomposition],
    *,
    rank: int | float | None = None,
    energy: float | None = None,
) -> PyTree:
    """Replaces kernels by "kernel_first" and "kernel_second" where these have fewer numbers.

    Args:
      params: params of the network.
      decomposed: result of `decompose`.
      rank: rank of every kernel, or share of its full rank, see `rank_for`.
      energy: instead of a rank, the energy to keep of every kernel, see `rank_for`.

    Raises:
      ConfigError: see `rank_for`.
    """
    leaves = flatten_dict(params, sep="/")
    for path, found in decomposed.items():
        size = rank_for(found, rank, energy)
        if size * (found.left.shape[0] + found.right.shape[1]) >= math.prod(found.kernel.shape):
            continue
        dtype = leaves.pop(path).dtype
        holder = path.removesuffix("kernel")
        for name, factor in zip((FIRST, SECOND), _factors(found, size)):
            leaves[holder + name] = jnp.asarray(factor, dtype)
    return unflatten_dict(leaves, sep="/")


def two_steps(call: Any, arguments: tuple, options: dict, context: Any) -> Any:
    """Computes layers with factored kernels in two steps: an interceptor of `intercept_methods`."""
    module = context.module
    held = type(module) in LAYERS and context.method_name == "__call__"
    if not held or not module.has_variable("params", FIRST):
        return call(*arguments, **options)
    first, second = (module.get_variable("params", name) for name in (FIRST, SECOND))
    bias = module.get_variable("params", "bias") if module.use_bias else None
    compute = _convolved if type(module) is nn.Conv else _multiplied
    return compute(module, first, second, bias, *arguments, **options)


def _as_matrix(kernel: np.ndarray, described: Kernel, scheme: str) -> Float[np.ndarray, "m n"]:
    if scheme == "channel":
        return kernel.reshape(described.matrix)
    rows, columns, inputs, outputs = kernel.shape
    return kernel.swapaxes(1, 2).reshape(rows * inputs, columns * outputs)


def _factors(found: Decomposition, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the two kernels. Each is scaled by the square roots of the singular values."""
    root = np.sqrt(found.values[:rank])
    first, second = found.left[:, :rank] * root, root[:, None] * found.right[:rank]
    shape, inputs, window = found.kernel.shape, found.kernel.inputs, found.kernel.window
    if found.scheme == "spatial":
        rows, columns, channels, outputs = shape
        second = second.reshape(rank, columns, outputs).swapaxes(0, 1)
        return first.reshape(rows, 1, channels, rank), second[None]
    first = first.reshape(*shape[:inputs], rank)
    return first, second.reshape(*[1] * len(window), rank, *shape[inputs:])


def _multiplied(module, first, second, bias, x):
    x, first, second, bias = promote_dtype(x, first, second, bias, dtype=module.dtype)
    summed = tuple(axis % x.ndim for axis in axes(module))
    over = tuple(range(len(summed)))
    y = jax.lax.dot_general(x, first, ((summed, over), ((), ())), precision=module.precision)
    y = jnp.tensordot(y, second, 1, precision=module.precision)
    return y if bias is None else y + bias


def _convolved(module, first, second, bias, x):
    # The second factor has the stride, dilation and padding of a side if it is wider than 1 there.
    by_second = [b > 1 for b in second.shape[:-2]]
    y = _part(module, first, [not b for b in by_second]).apply({"params": {"kernel": first}}, x)
    last = _part(module, second, by_second, use_bias=bias is not None)
    params = {"kernel": second} if bias is None else {"kernel": second, "bias": bias}
    return last.apply({"params": params}, y)


def _part(module: nn.Conv, kernel: Array, own: Sequence[bool], use_bias: bool = False) -> nn.Conv:
    """Returns the convolution with one factor. It strides, dilates and pads only its own sides."""

    def sides(given, else_, per_side=lambda x: x):
        given = [given] * len(own) if given is None or isinstance(given, int) else given
        return tuple(per_side(x) if mine else else_ for x, mine in zip(given, own))

    padding = module.padding
    if not isinstance(padding, str):
        padding = sides(padding, (0, 0), lambda x: (x, x) if isinstance(x, int) else tuple(x))
    return module.clone(
        parent=None,
        features=kernel.shape[-1],
        kernel_size=kernel.shape[:-2],
        strides=sides(module.strides, 1, lambda x: x or 1),
        padding=padding,
        kernel_dilation=sides(module.kernel_dilation, 1, lambda x: x or 1),
        use_bias=use_bias,
    )
