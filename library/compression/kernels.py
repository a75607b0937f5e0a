"""The kernels of a network: which leaves of its params its layers multiply by, and how.

A network is traced on shapes, and each dense layer and convolution that is called says what its
kernel is. Layers of other kinds, such as convolutions whose kernel is standardized first, are not
found, and compression by factors or in whole numbers leaves them as they are.
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
"""Layers whose kernels are found; classes derived from them may do what they want."""


class Kernel(NamedTuple):
    """The kernel of a dense layer or of a convolution.

    Attributes:
      shape: of the leaf, (..., outputs): (in, out) dense, (rows, columns, in, out) convolution.
      inputs: how many of its first dimensions are summed over; the others are those of the output.
      window: the sides of a convolution's window; () of a dense layer.
      groups: of a convolution's channels; an output sees the channels of its group only.
    """

    shape: tuple[int, ...]
    inputs: int
    window: tuple[int, ...] = ()
    groups: int = 1

    @property
    def matrix(self) -> tuple[int, int]:
        """The shape of the kernel as a matrix, numbers in by numbers out."""
        return math.prod(self.shape[: self.inputs]), math.prod(self.shape[self.inputs :])


class Intercepted(nn.Module):
    """A network whose layers compute in another way; its params lie where the network has them.

    Attributes:
      network: `(image, train) -> logits`.
      interceptor: of its layers' methods, as of `nn.intercept_methods`.
    """

    network: nn.Module
    interceptor: Callable[..., Any]

    def setup(self):
        """Has the network's submodules be its own."""
        nn.share_scope(self, self.network)

    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns the network's logits."""
        with nn.intercept_methods(self.interceptor):
            return self.network(image, train=train)


def survey(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"] | jax.ShapeDtypeStruct
) -> dict[str, Kernel]:
    """Returns the kernels that the network uses, by path: "stage1_block1/conv1/kernel".

    Args:
      model: `(image, train) -> logits`.
      variables: its params and statistics, or their shapes.
      image: as the model takes it, or its shape.
    """
    called: dict[str, nn.Module] = {}

    def note(call, arguments, options, context):
        if type(context.module) in LAYERS and context.method_name == "__call__":
            called.setdefault("/".join((*context.module.path, "kernel")), context.module)
        return call(*arguments, **options)

    def logits(variables, image):
        with nn.intercept_methods(note):
            return model.apply(variables, image, train=False)

    jax.eval_shape(logits, variables, image)
    shapes = {k: x.shape for k, x in flatten_dict(variables["params"], sep="/").items()}
    found = {path: _kernel(module, shapes.get(path, ())) for path, module in called.items()}
    return {path: kernel for path, kernel in found.items() if kernel is not None}


def chosen(paths: Iterable[str], kept: Sequence[str]) -> list[str]:
    """Returns the paths that no pattern of `kept` matches, in their order.

    Args:
      paths: of kernels.
      kept: regular expressions, searched for in the paths.

    Raises:
      ConfigError: a pattern that is none, or that matches nothing, or nothing is left.
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
    """Returns None for what is stacked by a loop, dilated at its input, masked or batched."""
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
    """Returns the axes of its input that a dense layer sums over."""
    return _tuple(module.axis) if type(module) is nn.DenseGeneral else (-1,)


def _tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
