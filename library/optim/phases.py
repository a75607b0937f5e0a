"""A run in phases of equal length, each with an optimizer that starts afresh.

It is for training part by part, such as one layer of a network after the other (see
`library.tasks.autoencoding`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from library.config import ConfigError


class PhasedState(NamedTuple):
    """The step after the last update, and the state of the optimizer of this phase."""

    count: Array
    inner: PyTree


def starts(total_steps: int, phases: int) -> tuple[int, ...]:
    """Returns the first step of each phase, counted from 0; phases are equal up to rounding.

    Raises:
      ConfigError: less than one phase, or more phases than steps.
    """
    if not 1 <= phases <= total_steps:
        raise ConfigError(
            f"phases={phases}: a run of {total_steps} steps has 1 to {total_steps} phases"
        )
    return tuple(-(-total_steps * phase // phases) for phase in range(phases))


def current(step: int | Int[Array, ""], first: tuple[int, ...]) -> Int[Array, ""]:
    """Returns the phase of a step, from 0; steps after the end belong to the last phase.

    Args:
      step: counted from 0.
      first: the first step of each phase, see `starts`.
    """
    return jnp.sum(step >= jnp.asarray(first[1:], jnp.int32), dtype=jnp.int32)


def within(schedule: optax.Schedule, first: tuple[int, ...]) -> optax.Schedule:
    """Returns the schedule of a run that repeats the given schedule in each phase."""

    def whole(step):
        return schedule(step - jnp.asarray(first, jnp.int32)[current(step, first)])

    return whole


def restarted(
    optimizer: optax.GradientTransformation, first: tuple[int, ...]
) -> optax.GradientTransformation:
    """Makes an optimizer forget its state, with its count of steps, when a phase begins.

    `update` may get the run's `step`, which then replaces the count of updates. The optimizer gets
    the step of its phase.

    Args:
      optimizer: the optimizer of one phase.
      first: the first step of each phase, see `starts`.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> PhasedState:
        return PhasedState(jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(
        updates: PyTree,
        state: PhasedState,
        params: PyTree,
        *,
        step: Int[Array, ""] | None = None,
        **others: object,
    ) -> tuple[PyTree, PhasedState]:
        step = state.count if step is None else step
        phase = current(step, first)
        begins = phase != current(state.count - 1, first)
        fresh = optimizer.init(params)
        inner = jax.tree.map(lambda a, b: jnp.where(begins, a, b), fresh, state.inner)
        own = step - jnp.asarray(first, jnp.int32)[phase]
        updates, inner = optimizer.update(updates, inner, params, step=own, **others)
        return updates, PhasedState(step + 1, inner)

    return optax.GradientTransformationExtraArgs(init, update)
