"""Evaluating a traced function with some of what it calls or computes replaced.

A network is traced into a jaxpr, and its equations are evaluated one by one. So a backward rule or
an activation can be another than the network's own, and the network's code knows nothing of it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var, jaxprs_in_params

from library.config import ConfigError

# What only groups equations is evaluated as if they stood there.
_GROUPS = ("jit", "pjit", "remat2", "checkpoint", "closed_call", "core_call")


def evaluate(
    jaxpr: ClosedJaxpr,
    arguments: Sequence[Any],
    *,
    calls: Mapping[str, Callable] | None = None,
    whole: Collection[str] = (),
    values: Mapping[Var, Any] | None = None,
) -> list[Any]:
    """Evaluates a traced function.

    Args:
      jaxpr: of `jax.make_jaxpr`.
      arguments: the function's, flattened.
      calls: by their names, what is called in place of functions of one argument that JAX traces
        as calls, such as `jax.nn.relu`.
      whole: names of calls within which nothing is replaced.
      values: what takes the place of variables of the outermost jaxpr.

    Returns:
      The function's results, flattened.

    Raises:
      ConfigError: a call that is to be replaced lies within a loop or a branch.
    """
    inner, computed = jaxpr.jaxpr, {}

    def read(atom):
        return computed[atom] if isinstance(atom, Var) else atom.val

    def write(variables, results):
        computed.update((v, (values or {}).get(v, x)) for v, x in zip(variables, results))

    write(inner.constvars, jaxpr.consts)
    write(inner.invars, arguments)
    for equation in inner.eqns:
        part = inner.replace(
            constvars=(),
            invars=[atom for atom in equation.invars if isinstance(atom, Var)],
            outvars=equation.outvars,
            eqns=[equation],
        )
        operands = list(map(read, equation.invars))
        write(equation.outvars, _results(part, operands, calls or {}, whole))
    return [read(atom) for atom in inner.outvars]


def count_calls(jaxpr: Jaxpr, name: str, whole: Collection[str] = ()) -> int:
    """Counts the calls of a function in a jaxpr and in all that lie within it.

    What lies within calls of the functions named in `whole` is left out.
    """

    def within(equation: JaxprEqn) -> int:
        if _is_call(equation, name):
            return 1
        if any(_is_call(equation, each) for each in whole):
            return 0
        return sum(count_calls(inner, name, whole) for inner in jaxprs_in_params(equation.params))

    return sum(map(within, jaxpr.eqns))


def _results(
    part: Jaxpr, operands: list[Any], calls: Mapping[str, Callable], whole: Collection[str]
) -> list[Any]:
    """Returns what a single equation computes."""
    (equation,) = part.eqns
    for name, replacement in calls.items():
        if _is_call(equation, name):
            return [replacement(*operands)]
    kind = equation.primitive.name
    if kind in _GROUPS and not any(_is_call(equation, name) for name in whole):
        group = equation.params["jaxpr" if "jaxpr" in equation.params else "call_jaxpr"]
        group = group if isinstance(group, ClosedJaxpr) else ClosedJaxpr(group, ())
        return evaluate(group, operands, calls=calls, whole=whole)
    for name in calls:
        if count_calls(part, name, whole):
            raise ConfigError(f"{name} is called within {kind}, where it cannot be replaced")
    known = [x for x, atom in zip(operands, equation.invars) if isinstance(atom, Var)]
    return jax.core.eval_jaxpr(part, (), *known)


def _is_call(equation: JaxprEqn, name: str) -> bool:
    """Tells a call of the function `name`, with a derivative rule of its own or without."""
    if equation.primitive.name == "custom_jvp_call":
        (body,) = jaxprs_in_params(equation.params)
        return len(body.eqns) == 1 and _is_call(body.eqns[0], name)
    return equation.params.get("name") == name
