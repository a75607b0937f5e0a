"""The cost of a network: stored bytes, nonzero numbers and FLOPs.

An array is stored unchanged or packed, whichever is smaller. A packed array has one bit for each
element, which says whether the element is nonzero, and the nonzero elements.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, PyTree, Shaped, UInt8

from library import costs


class Packed(NamedTuple):
    """A packed array with many zeros.

    Attributes:
      bitmap: one bit for each element, 1 if it is nonzero, row by row, padded to whole bytes.
      values: the nonzero elements, in the same order.
      shape: shape of the array.
    """

    bitmap: UInt8[np.ndarray, " n"]
    values: Shaped[np.ndarray, " k"]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The number of bytes of bitmap and values."""
        return self.bitmap.nbytes + self.values.nbytes


class Cost(NamedTuple):
    """The cost of a network.

    Attributes:
      bytes: stored bytes.
      numbers: stored nonzero elements.
      flops: FLOPs for one image.
      useful_flops: FLOPs without the products with a weight that is zero.
    """

    bytes: int
    numbers: int
    flops: int
    useful_flops: int


def pack(array: Shaped[np.ndarray, "..."]) -> Packed:
    """Packs an array."""
    array = np.asarray(array)
    return Packed(np.packbits(array != 0), array[array != 0], array.shape)


def unpack(packed: Packed) -> Shaped[np.ndarray, "..."]:
    """Returns the array that was packed."""
    array = np.zeros(packed.shape, packed.values.dtype)
    bits = np.unpackbits(packed.bitmap, count=array.size).astype(bool)
    array[bits.reshape(packed.shape)] = packed.values
    return array


def stored_bytes(tree: PyTree) -> int:
    """Returns the bytes of the arrays, each in the smaller of its two forms."""
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return sum(min(array.nbytes, pack(array).nbytes) for array in arrays)


def cost(
    model: nn.Module,
    variables: PyTree,
    image: Float[Array, "1 h w c"],
    interceptor: Callable[..., Any] | None = None,
    stored: PyTree | None = None,
) -> Cost:
    """Returns the cost of a network.

    FLOPs count the additions and multiplications of convolutions and matrix products.

    Args:
      model: module `(image, train) -> logits`.
      variables: params and statistics of the model, without unused ones.
      image: one image as the input of the model, or its shape.
      interceptor: interceptor of methods with which the model computes with these params, if any.
      stored: the stored arrays; by default `variables`.
    """
    flops = _flops(model, variables, image, interceptor)
    useful = sum(count * _density(variables["params"], path) for path, count in flops.items())
    stored = variables if stored is None else stored
    numbers = sum(int(np.count_nonzero(leaf)) for leaf in jax.tree.leaves(stored))
    return Cost(stored_bytes(stored), numbers, sum(flops.values()), round(useful))


def _flops(model, variables, image, interceptor) -> dict[str, int]:
    paths = {"/".join(path[:-1]) for path in flatten_dict(variables["params"])}

    def logits(variables, image):
        if interceptor is None:
            return model.apply(variables, image, train=False)
        with nn.intercept_methods(interceptor):
            return model.apply(variables, image, train=False)

    traced = jax.make_jaxpr(logits)(variables, image)
    return costs.flops_by_path(traced.jaxpr, costs.path_prefixes(paths))


def _density(params: PyTree, path: str) -> float:
    """Returns the nonzero share of the numbers in a layer's kernels."""
    leaves = flatten_dict(params, sep="/")
    kernels = [
        np.asarray(leaf)
        for name, leaf in leaves.items()
        if name.rpartition("/")[0] == path and name.rpartition("/")[2].startswith("kernel")
    ]
    total = sum(kernel.size for kernel in kernels)
    return sum(np.count_nonzero(kernel) for kernel in kernels) / total if total else 1.0
