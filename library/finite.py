"""Moves that are made only where everything about them is finite.

To select between the old and the new state needs both at once. So a move is decided on before it is
made: on its loss, gradients and variables, and on what the optimizer would make of them, which is
computed for its flags alone and not kept.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree


class Flags(NamedTuple):
    """What is not finite, each a bool.

    Attributes:
      loss: the loss.
      params: by leaf of the params, its gradient, or what the optimizer makes of it.
      variables: by leaf of the variables.
      opt_state: what the optimizer makes of its state.
    """

    loss: Bool[Array, ""]
    params: PyTree
    variables: PyTree
    opt_state: Bool[Array, ""]


def flags_before(loss: Array, gradients: PyTree, variables: PyTree) -> Flags:
    """Returns the flags of what is known before the optimizer moves anything."""
    found = Flags(
        broken(loss),
        jax.tree.map(broken, gradients),
        jax.tree.map(broken, variables),
        jnp.zeros((), bool),
    )
    # Without the barrier XLA repeats the checks of all leaves wherever their outcome is read, and
    # compilation takes time and memory in the square of their number.
    return jax.lax.optimization_barrier(found)


def moved(
    change: Callable[[PyTree], PyTree],
    before: PyTree,
    flags: Flags,
    held: Bool[Array, ""] | bool = False,
) -> tuple[PyTree, Flags]:
    """Returns what `change` makes of `before` where that is finite, else `before`, and the flags.

    `change` is done twice: once for the flags of its result, once for the result, which then
    takes the place of `before` in memory. So are its FLOPs.

    Args:
      change: the optimizer's move; it returns params and opt_state first.
      before: what it moves: a tuple of the params, opt_state and whatever else.
      flags: of what is known before.
      held: whether nothing is to move whatever the flags.
    """
    good = ~(any_of(flags) | held)
    # Traced once; the second trace is a copy of the first.
    change = jax.jit(change, inline=True)

    def found(before: PyTree) -> tuple[PyTree, Array]:
        params, opt_state, *_ = change(before)
        return jax.tree.map(broken, params), broken(*jax.tree.leaves(opt_state))

    def nothing(before: PyTree) -> tuple[PyTree, Array]:
        return jax.tree.map(lambda _: jnp.zeros((), bool), before[0]), jnp.zeros((), bool)

    # Outside a branch XLA keeps more: a fifth, with clipping by the norm and one loss (measured).
    params, opt_state = jax.lax.cond(good, found, nothing, before)
    flags = flags._replace(
        params=jax.tree.map(jnp.logical_or, flags.params, params), opt_state=opt_state
    )
    return jax.lax.cond(~(any_of(flags) | held), change, lambda x: x, before), flags


def either(a: Flags, b: Flags) -> Flags:
    """Returns what is flagged in one or the other."""
    return jax.tree.map(jnp.logical_or, a, b)


def of_all(flags: Mapping[str, Flags]) -> Flags:
    """Returns the flags of several players as one, their params by player."""
    first, *rest = flags.values()
    joined = functools.reduce(
        either, [each._replace(params=()) for each in rest], first._replace(params=())
    )
    return joined._replace(params={name: each.params for name, each in flags.items()})


def any_of(flags: Flags) -> Bool[Array, ""]:
    """Returns whether anything is flagged."""
    return jnp.any(jnp.stack(jax.tree.leaves(flags)))


def broken(*leaves: Array) -> Bool[Array, ""]:
    """Returns whether any element of arrays is not finite; whole numbers always are."""
    checks = [~jnp.all(jnp.isfinite(x)) for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.any(jnp.stack(checks)) if checks else jnp.zeros((), bool)
