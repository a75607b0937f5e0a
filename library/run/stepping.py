"""One training step on the device, and the carry from step to step."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from library import rng, task, trees
from library.run.feed import Feed
from library.run.inputs import train_input
from library.run.plan import Plan, initial_state
from library.task import Metrics, TrainState


class Carry(NamedTuple):
    """The values that go from one compiled step to the next.

    Attributes:
      state: the task's state.
      totals: metrics summed since the last logged step.
      skipped: number of steps that were not finite, and of examples that could not be decoded,
        since the start.
      broken: flags of `task.nonfinite_names`, set by a step that stops the run.
    """

    state: TrainState
    totals: Metrics
    skipped: Mapping[str, jax.Array]
    broken: jax.Array


def step(
    plan: Plan, carry: Carry, batch: Mapping[str, jax.Array], constants: PyTree
) -> tuple[Carry, jax.Array]:
    """Runs one training step on the device: input, the task's update, sums of metrics.

    Returns:
      The new carry, and a scalar that is ready when the step is done.
    """
    key = rng.at_step(rng.purpose(constants["key"], "train"), carry.state.step)
    batch = train_input(plan, batch, constants, key)
    stops = plan.recipe.on_nonfinite == "stop"
    ended = jnp.any(carry.broken)
    given = {**batch, task.HALTED: ended} if stops else batch
    state, measured = plan.task.update(carry.state, given, key)
    metrics = {k: _pair(v) for k, v in measured.items() if k != "nonfinite"}
    flags = _flags(measured)
    failed = jnp.any(flags)
    absent = jnp.sum(1 - batch["mask"]).astype(jnp.int32)
    if plan.strategy.axis_name is not None:
        absent = jax.lax.psum(absent, plan.strategy.axis_name)
    skipped = {
        "steps": carry.skipped["steps"] + failed.astype(jnp.int32),
        "examples": carry.skipped["examples"] + absent,
    }
    totals = task.select(failed, carry.totals, trees.add(carry.totals, metrics))
    if not stops:
        return Carry(state, totals, skipped, carry.broken), state.step + 0
    # The first step that is not finite freezes everything, so that the host finds the state before
    # that step whenever it looks.
    stays = failed | ended
    if "nonfinite" in measured:
        # The update has kept everything else; a selection here would need memory for two states.
        state = state.replace(step=jnp.where(stays, carry.state.step, state.step))
    else:
        state = task.select(stays, carry.state, state)
    totals, skipped = task.select(stays, (carry.totals, carry.skipped), (totals, skipped))
    broken = jnp.where(ended, carry.broken, flags)
    return Carry(state, totals, skipped, broken), state.step + 0


def steps(
    plan: Plan, carry: Carry, batches: Mapping[str, jax.Array], constants: PyTree
) -> tuple[Carry, jax.Array]:
    """Runs the steps of one call on the device; see `Feed.train` for the batches."""

    def one(place, carry):
        return step(plan, carry, {k: x[place] for k, x in batches.items()}, constants)[0]

    # The count is a traced value, so that all calls share one program.
    count = jnp.sum(batches["mask"][:, 0] > 0)
    carry = jax.lax.fori_loop(0, count, one, carry)
    return carry, carry.state.step + 0


def initial_carry(plan: Plan, feed: Feed) -> Carry:
    """Makes the carry of step 0: the state with its shardings, the sums replicated."""
    initialise = functools.partial(initial_state, plan)
    state = plan.strategy.init(initialise, feed.first, feed.constants)
    return Carry(state, *plan.strategy.replicate(_zeros(plan)))


def carry_like(plan: Plan) -> Carry:
    """Returns the shapes of a plan's carry."""
    around = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), _zeros(plan))
    return Carry(plan.state, *around)


def saved(carry: Carry) -> dict[str, PyTree]:
    """Returns the parts of a carry that a checkpoint holds."""
    return {"state": carry.state, "totals": carry.totals, "skipped": carry.skipped}


def _zeros(plan: Plan) -> tuple[Any, Any, Any]:
    zeros = {k: [np.zeros(x.shape, np.float32) for x in v] for k, v in plan.metrics.items()}
    flags = zeros.pop("nonfinite", [np.zeros(1)])[0]
    skipped = {"steps": np.int32(0), "examples": np.int32(0)}
    totals = {name: tuple(pair) for name, pair in zeros.items()}
    return totals, skipped, flags > 0


def _flags(measured: Metrics) -> jax.Array:
    if "nonfinite" in measured:
        return measured["nonfinite"][0] > 0
    sums = [jnp.all(jnp.isfinite(total)) for total, _ in measured.values()]
    return ~jnp.all(jnp.stack(sums))[None]


def _pair(pair: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
    return tuple(jnp.asarray(value, jnp.float32) for value in pair)
