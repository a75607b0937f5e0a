"""The FLOPs of a program, counted from its trace.

A FLOP is a multiplication or an addition in a convolution or a matrix product. Activations,
normalization and pooling, about a hundredth of the total, are left out, as in published figures.
Papers that count MACs state half of this number.
"""

import math
from collections.abc import Collection, Iterable
from typing import Any


def path_prefixes(paths: Iterable[str]) -> set[tuple[str, ...]]:
    """Returns the paths of modules and of all their parents, each as a tuple of names."""
    parts = [tuple(path.split("/")) for path in paths]
    return {path[:end] for path in parts for end in range(len(path) + 1)}


def flops_by_path(
    jaxpr: Any, known: Collection[tuple[str, ...]] = (), around: str = "", times: int = 1
) -> dict[str, int]:
    """Returns the FLOPs of a program by the path of the module that spends them.

    Only convolutions and matrix products count; elementwise sums and products do not. Of the
    branches of a `cond`, such as one for each platform, the most expensive one counts.

    Args:
      jaxpr: the program's trace.
      known: the modules' paths and all their prefixes, see `path_prefixes`. JAX's name stack also
        holds names of transformations and methods; a name that does not continue a known path is
        left out.
      around: the name stack of the equation that holds `jaxpr`.
      times: how often `jaxpr` runs.
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
    """Returns how often an equation's inner program runs: per loop iteration or per device."""
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
    # The gradient of a strided convolution puts zeros between its inputs. Products with them do not
    # count.
    spread = math.prod(equation.params["lhs_dilation"])
    return 2 * outputs * per_output // spread


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    outputs = math.prod(equation.outvars[0].aval.shape)
    return 2 * outputs * math.prod(left[axis] for axis in contracted)
