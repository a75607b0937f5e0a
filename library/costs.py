"""What a program costs: FLOPs, counted from its trace.

A FLOP is a multiplication or an addition in a convolution or a product of matrices; those of
activations, normalization and pooling, a hundredth or so of the whole, are left out, as in the
figures that are published. Papers that count MACs state half.
"""

import math
from collections.abc import Collection, Iterable
from typing import Any


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
        repeated = _repeated(equation)
        within = [flops_by_path(each, known, stack, times * repeated) for each in _inner(equation)]
        if equation.primitive.name == "cond":
            within = [max(within, key=lambda found: sum(found.values()))]
        for found in within:
            for path, more in found.items():
                spent[path] = spent.get(path, 0) + more
    return spent


def _repeated(equation: Any) -> int:
    """Returns how often what is within runs: in the turns of a loop, or on each device."""
    if equation.primitive.name == "scan":
        return equation.params["length"]
    if equation.primitive.name == "shard_map":
        return equation.params["mesh"].size
    return 1


def _inner(equation: Any) -> list[Any]:
    values = [*equation.params.values(), *equation.params.get("branches", ())]
    held = [getattr(value, "jaxpr", value) for value in values]
    return [each for each in held if hasattr(each, "eqns")]


def _convolution(equation: Any) -> int:
    kernel, numbers = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
    outputs = math.prod(equation.outvars[0].aval.shape)
    per_output = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
    # The gradient of a strided convolution spreads its input; products with the zeros are none.
    spread = math.prod(equation.params["lhs_dilation"])
    return 2 * outputs * per_output // spread


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    outputs = math.prod(equation.outvars[0].aval.shape)
    return 2 * outputs * math.prod(left[axis] for axis in contracted)
