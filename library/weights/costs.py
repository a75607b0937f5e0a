"""What a network costs: params, shapes and FLOPs of its layers, counted from its trace.

A FLOP is a multiplication or an addition in a convolution or a product of matrices; those of
activations, normalization and pooling, a hundredth or so of the whole, are left out, as in the
figures that are published. Papers that count MACs state half.
"""

import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict

from library.weights.published import Published


class Layer(NamedTuple):
    """A module with params of its own, or one that multiplies: attention.

    Attributes:
      path: of the module, as "stage1_block1/conv1".
      shape: of its output, for one image.
      params: how many it has.
      flops: of one image.
    """

    path: str
    shape: tuple[int, ...]
    params: int
    flops: int


def flops(published: Published, size: int | None = None) -> int:
    """Counts the FLOPs of one image, at the usual size unless another is given."""
    return flops_of(published.build(), size or published.transform.size)


def layers(published: Published, size: int | None = None) -> list[Layer]:
    """Lists a published network's layers, see `layers_of`, at the usual size or another."""
    return layers_of(published.build(), size or published.transform.size)


def flops_of(model: nn.Module, size: int) -> int:
    """Counts the FLOPs of one image, of the size and three channels, in evaluation."""
    image, shapes = _shapes(model, size)
    return sum(flops_by_path(jax.make_jaxpr(model.apply)(shapes, image).jaxpr).values())


def layers_of(model: nn.Module, size: int) -> list[Layer]:
    """Lists the layers in the order in which they are called.

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
    spent = flops_by_path(traced.jaxpr, beginnings(path for path, _ in called))
    rows = [Layer("(own)", (), sizes[""], 0)] if "" in sizes else []
    for path, shape in called:
        rows.append(Layer(path, shape, sizes.pop(path, 0), spent.pop(path, 0)))
    return [row for row in rows if row.params or row.flops]


def _shapes(model: nn.Module, size: int) -> tuple[Any, Any]:
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return image, jax.eval_shape(model.init, jax.random.key(0), image)


def beginnings(paths: Iterable[str]) -> set[tuple[str, ...]]:
    """Returns the paths of modules and of those around them, in parts."""
    parts = [tuple(path.split("/")) for path in paths]
    return {path[:end] for path in parts for end in range(len(path) + 1)}


def flops_by_path(
    jaxpr: Any, known: Collection[tuple[str, ...]] = (), around: str = "", times: int = 1
) -> dict[str, int]:
    """Returns FLOPs by the path of the module in whose call they are.

    Of a choice, such as of a formulation for the platform, the dearest counts: convolutions and
    matrix products do, sums and products by element do not.

    A stack of names holds those of transformations and methods, too: it is read as far as what has
    been read is the beginning of a known path, leaving out what is not.
    """
    spent: dict[str, int] = {}

    def add(stack, more):
        path: tuple[str, ...] = ()
        for name in stack.split("/"):
            path = (*path, name) if (*path, name) in known else path
        spent["/".join(path)] = spent.get("/".join(path), 0) + more

    for equation in jaxpr.eqns:
        stack = f"{around}/{equation.source_info.name_stack}"
        if equation.primitive.name == "conv_general_dilated":
            add(stack, times * _convolution(equation))
        elif equation.primitive.name == "dot_general":
            add(stack, times * _product(equation))
        repeated = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        within = [flops_by_path(each, known, stack, times * repeated) for each in _inner(equation)]
        if equation.primitive.name == "cond":
            within = [max(within, key=lambda found: sum(found.values()))]
        for found in within:
            for path, more in found.items():
                spent[path] = spent.get(path, 0) + more
    return spent


def _inner(equation: Any) -> list[Any]:
    values = [*equation.params.values(), *equation.params.get("branches", ())]
    held = [getattr(value, "jaxpr", value) for value in values]
    return [each for each in held if hasattr(each, "eqns")]


def _convolution(equation: Any) -> int:
    kernel, numbers = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
    outputs = math.prod(equation.outvars[0].aval.shape)
    per_output = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
    return 2 * outputs * per_output


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    outputs = math.prod(equation.outvars[0].aval.shape)
    return 2 * outputs * math.prod(left[axis] for axis in contracted)
