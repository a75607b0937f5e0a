"""The kernels of a network: which leaves of its params its layers multiply by, and how.

JAX traces the network on shapes, and each called dense layer or convolution reports its kernel.
Layers of other kinds, such as convolutions that standardize their kernel first, are not found.
Low-rank compression and quantization do not change them.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, PyTree

from library.config import ConfigError, nearest

LAYERS = (nn.Dense, nn.DenseGeneral, nn.Conv)
"""Layers whose kernels are found. Derived classes are excluded: they may compute differently."""


class Kernel(NamedTuple):
    """The kernel of a dense layer or of a convolution.

    Attributes:
      shape: shape of the leaf, (..., outputs), such as (in, out) or (rows, columns, in, out).
      inputs: number of leading dimensions that the layer sums over; the others are its outputs.
      window: sides of the window of a convolution; () for a dense layer.
      groups: groups of channels of a convolution; an output uses only the channels of its group.
    """

    shape: tuple[int, ...]
    inputs: int
    window: tuple[int, ...] = ()
    groups: int = 1

    @property
    def matrix(self) -> tuple[int, int]:
        """The shape of the kernel as a matrix, (inputs, outputs)."""
        return math.prod(self.shape[: self.inputs]), math.prod(self.shape[self.inputs :])


class Intercepted(nn.Module):
    """A network whose layers compute in another way. The paths of its params do not change.

    Attributes:
      network: module `(*inputs, train) -> logits`; the input of most is an image.
      interceptor: function that intercepts the methods of its layers, for `nn.intercept_methods`.
    """

    network: nn.Module
    interceptor: Callable[..., Any]

    def setup(self):
        """Makes the submodules of the network its own."""
        nn.share_scope(self, self.network)

    def __call__(self, *inputs: Array, train: bool = False) -> Float[Array, "b k"]:
        """Returns the network's logits."""
        with nn.intercept_methods(self.interceptor):
            return self.network(*inputs, train=train)


def survey(
    model: nn.Module, variables: PyTree, *inputs: Array | jax.ShapeDtypeStruct
) -> dict[str, Kernel]:
    """Returns the kernels that a network uses, by path, such as "stage1_block1/conv1/kernel".

    Args:
      model: module `(*inputs, train) -> logits`.
      variables: params and statistics of the model, or their shapes.
      *inputs: inputs of the model, such as images (b, h, w, c), or their shapes.
    """
    called: dict[str, nn.Module] = {}

    def note(call, arguments, options, context):
        if type(context.module) in LAYERS and context.method_name == "__call__":
            called.setdefault("/".join((*context.module.path, "kernel")), context.module)
        return call(*arguments, **options)

    def logits(variables, *inputs):
        with nn.intercept_methods(note):
            return model.apply(variables, *inputs, train=False)

    jax.eval_shape(logits, variables, *inputs)
    shapes = {k: x.shape for k, x in flatten_dict(variables["params"], sep="/").items()}
    found = {path: _kernel(module, shapes.get(path, ())) for path, module in called.items()}
    return {path: kernel for path, kernel in found.items() if kernel is not None}


def chosen(paths: Iterable[str], kept: Sequence[str]) -> list[str]:
    """Returns the paths that no pattern in `kept` matches, in their order.

    Args:
      paths: paths of kernels.
      kept: regular expressions that are searched for in the paths.

    Raises:
      ConfigError: a pattern is not a regular expression or matches no path, or the patterns match
        all paths.
    """
    paths = list(paths)
    for pattern in kept:
        try:
            matches = any(re.search(pattern, path) for path in paths)
        except re.error as error:
            raise ConfigError(f"kept: {pattern!r} is no regular expression: {error}") from None
        if not matches:
            raise ConfigError(f"kept: {pattern!r} matches no kernel: {nearest(pattern, paths)}")
    left = [path for path in paths if not any(re.search(pattern, path) for pattern in kept)]
    if not left:
        raise ConfigError(f"kept={tuple(kept)}: of {len(paths)} kernels none is left to compress")
    return left


def _kernel(module: Any, shape: tuple[int, ...]) -> Kernel | None:
    """Returns the kernel of a layer, or None if it is stacked, input-dilated, masked or batched."""
    if type(module) is nn.Conv:
        size = module.kernel_size
        window = (size,) if isinstance(size, int) else tuple(size)
        usual = module.mask is None and module.input_dilation in (None, 1)
        if not usual or len(shape) != len(window) + 2:
            return None
        return Kernel(shape, len(shape) - 1, window, module.feature_group_count)
    if type(module) is nn.Dense:
        return Kernel(shape, 1) if len(shape) == 2 else None
    inputs, outputs = len(axes(module)), len(_tuple(module.features))
    plain = not _tuple(module.batch_dims) and len(shape) == inputs + outputs
    return Kernel(shape, inputs) if plain else None


def axes(module: Any) -> tuple[int, ...]:
    """Returns the axes of the input that a dense layer sums over."""
    return _tuple(module.axis) if type(module) is nn.DenseGeneral else (-1,)


def _tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
