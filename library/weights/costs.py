"""The cost of a published network: params, shapes and FLOPs of its layers, see library/costs.py."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict

from library.costs import flops_by_path, path_prefixes
from library.weights.published import Published


class Layer(NamedTuple):
    """A module that has params of its own or that multiplies, such as attention.

    Attributes:
      path: the path of the module, such as "stage1_block1/conv1".
      shape: the shape of its output for one image.
      params: the number of its params.
      flops: its FLOPs for one image.
    """

    path: str
    shape: tuple[int, ...]
    params: int
    flops: int


def flops(published: Published, size: int | None = None) -> int:
    """Counts the FLOPs of a published network for one image, by default at its default size."""
    return flops_of(published.build(), size or published.transform.size)


def layers(published: Published, size: int | None = None) -> list[Layer]:
    """Lists a published network's layers, see `layers_of`, by default at its default size."""
    return layers_of(published.build(), size or published.transform.size)


def flops_of(model: nn.Module, size: int) -> int:
    """Counts the FLOPs of evaluation for one square image of this side, with three channels."""
    image, shapes = _shapes(model, size)
    return sum(flops_by_path(jax.make_jaxpr(model.apply)(shapes, image).jaxpr).values())


def layers_of(model: nn.Module, size: int) -> list[Layer]:
    """Lists the layers of a model in the order of their calls.

    A module that is called twice has all of its params and FLOPs at the first call.
    Params of the network itself, such as a class token, come first, without a shape.
    """
    image, shapes = _shapes(model, size)
    sizes: dict[str, int] = {}
    for path, leaf in flatten_dict(shapes["params"]).items():
        sizes["/".join(path[:-1])] = sizes.get("/".join(path[:-1]), 0) + math.prod(leaf.shape)
    called: list[tuple[str, tuple[int, ...]]] = []

    def note(call, arguments, options, context):
        made = call(*arguments, **options)
        path = "/".join(context.module.path)
        if context.method_name == "__call__" and path and hasattr(made, "shape"):
            called.append((path, made.shape[1:]))
        return made

    def apply(variables, image):
        with nn.intercept_methods(note):
            return model.apply(variables, image)

    traced = jax.make_jaxpr(apply)(shapes, image)
    spent = flops_by_path(traced.jaxpr, path_prefixes(path for path, _ in called))
    rows = [Layer("(own)", (), sizes[""], 0)] if "" in sizes else []
    for path, shape in called:
        rows.append(Layer(path, shape, sizes.pop(path, 0), spent.pop(path, 0)))
    return [row for row in rows if row.params or row.flops]


def _shapes(model: nn.Module, size: int) -> tuple[Any, Any]:
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return image, jax.eval_shape(model.init, jax.random.key(0), image)
