"""Evaluation of a traced function with some of its calls or values replaced.

A network is traced into a jaxpr, whose equations are evaluated one by one. This allows another
backward rule or another activation without a change of the network's code.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var, jaxprs_in_params

from library.config import ConfigError

# Primitives that only group equations are evaluated inline.
_GROUPS = ("jit", "pjit", "remat2", "checkpoint", "closed_call", "core_call")


def evaluate(
    jaxpr: ClosedJaxpr,
    arguments: Sequence[Any],
    *,
    calls: Mapping[str, Callable] | None = None,
    whole: Collection[str] = (),
    values: Mapping[Var, Any] | None = None,
) -> list[Any]:
    """Evaluates a traced function with replaced calls and values.

    Args:
      jaxpr: the function, traced by `jax.make_jaxpr`.
      arguments: the flat arguments of the function.
      calls: replacements by name, for functions of one argument that JAX traces as calls, such as
        `jax.nn.relu`.
      whole: names of calls within which nothing is replaced.
      values: replacements of variables of the outermost jaxpr.

    Returns:
      The flat results of the function.

    Raises:
      ConfigError: a call to replace is within a loop or a branch.
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
    """Counts the calls of a function in a jaxpr and in all jaxprs within it.

    Calls within the functions named in `whole` do not count.
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
    """Returns the results of a single equation."""
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
    """Returns whether an equation calls the function `name`, with a custom derivative or not."""
    if equation.primitive.name == "custom_jvp_call":
        (body,) = jaxprs_in_params(equation.params)
        return len(body.eqns) == 1 and _is_call(body.eqns[0], name)
    return equation.params.get("name") == name
