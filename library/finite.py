"""Updates that happen only if all their numbers are finite.

A selection between the old and the new state would need memory for both. The decision therefore
comes before the update. It depends on the loss, the gradients, the variables and the optimizer's
result, which is computed for this check alone and not kept.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree


class Flags(NamedTuple):
    """Flags that are true where something is not finite.

    Attributes:
      loss: a flag of the loss.
      params: a flag for each leaf of the params: its gradient or its new value is not finite.
      variables: a flag for each leaf of the variables.
      opt_state: a flag of the optimizer's new state.
    """

    loss: Bool[Array, ""]
    params: PyTree
    variables: PyTree
    opt_state: Bool[Array, ""]


def flags_before(loss: Array, gradients: PyTree, variables: PyTree) -> Flags:
    """Returns the flags of the loss, the gradients and the variables, before the optimizer runs."""
    found = Flags(
        any_nonfinite(loss),
        jax.tree.map(any_nonfinite, gradients),
        jax.tree.map(any_nonfinite, variables),
        jnp.zeros((), bool),
    )
    # Without the barrier XLA repeats the checks of all leaves wherever their result is read. The
    # time and memory of compilation then grow with the square of the number of leaves.
    return jax.lax.optimization_barrier(found)


def update_if_finite(
    change: Callable[[PyTree], PyTree],
    before: PyTree,
    flags: Flags,
    held: Bool[Array, ""] | bool = False,
) -> tuple[PyTree, Flags]:
    """Returns `change(before)` if that is finite, else `before`, and the flags.

    `change` runs twice, and so do its FLOPs: once for the flags of its result, once for the
    result, which then replaces `before` in memory.

    Args:
      change: the optimizer's update; it returns params and opt_state first.
      before: the old state: a tuple of the params, opt_state and anything else.
      flags: the flags of `flags_before`.
      held: whether to keep `before` in any case.
    """
    good = ~(any_of(flags) | held)
    # Traced once; the second trace is a copy of the first.
    change = jax.jit(change, inline=True)

    def found(before: PyTree) -> tuple[PyTree, Array]:
        params, opt_state, *_ = change(before)
        return jax.tree.map(any_nonfinite, params), any_nonfinite(*jax.tree.leaves(opt_state))

    def nothing(before: PyTree) -> tuple[PyTree, Array]:
        return jax.tree.map(lambda _: jnp.zeros((), bool), before[0]), jnp.zeros((), bool)

    # Outside a branch XLA needs more memory: a fifth, with clipping by the norm and one loss.
    params, opt_state = jax.lax.cond(good, found, nothing, before)
    flags = flags._replace(
        params=jax.tree.map(jnp.logical_or, flags.params, params), opt_state=opt_state
    )
    return jax.lax.cond(~(any_of(flags) | held), change, lambda x: x, before), flags


def either(a: Flags, b: Flags) -> Flags:
    """Returns the flags that are true in `a` or in `b`."""
    return jax.tree.map(jnp.logical_or, a, b)


def of_all(flags: Mapping[str, Flags]) -> Flags:
    """Joins the flags of several players; those of the params stay apart, by player."""
    first, *rest = flags.values()
    joined = functools.reduce(
        either, [each._replace(params=()) for each in rest], first._replace(params=())
    )
    return joined._replace(params={name: each.params for name, each in flags.items()})


def any_of(flags: Flags) -> Bool[Array, ""]:
    """Returns whether any flag is true."""
    return jnp.any(jnp.stack(jax.tree.leaves(flags)))


def any_nonfinite(*leaves: Array) -> Bool[Array, ""]:
    """Returns whether any element of the arrays is not finite; integers always are finite."""
    checks = [~jnp.all(jnp.isfinite(x)) for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.any(jnp.stack(checks)) if checks else jnp.zeros((), bool)


def nan_unless(condition: Bool[Array, "..."], values: Array) -> Array:
    """Returns the values where the condition holds, and NaN elsewhere.

    JAX's check for NaN then stops at what is computed from such a NaN, and not at the constant NaN,
    which is there in any case.
    """
    with jax.debug_nans(False):
        return jnp.where(condition, values, jnp.nan)
