"""The contract: a task is a named tuple of pure functions; `minimize` and `alternate` write most.

A task is everything that distinguishes one learning system from another. The loop, the data, the
mesh, the checkpoints and the launcher know nothing else about it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from library import rng, trees
from library.config import ConfigError, check_choice, nearest

Batch = Mapping[str, Array]
Metrics = Mapping[str, tuple[Array, Array]]
Loss = Callable[[PyTree, PyTree, Batch, PRNGKeyArray], tuple[Metrics, PyTree]]


@flax.struct.dataclass
class TrainState:
    """Everything that a run carries from one step to the next, and all that a checkpoint holds.

    Attributes:
      step: int32, updates done.
      params: what the optimizer moves.
      variables: collections that training moves otherwise: batch_stats, queues, teachers.
      opt_state: the optimizer's state.
      ema: None, or the running averages {"params": ..., "batch_stats": ...}.
    """

    step: Array
    params: PyTree
    variables: PyTree
    opt_state: PyTree
    ema: PyTree


class Task(NamedTuple):
    """A learning system.

    Attributes:
      init: `(key, batch) -> TrainState`; `batch` is a real training batch.
      update: `(state, batch, key) -> (state, metrics)`, one training step.
      evaluate: `(state, batch, key) -> metrics`, each metric a pair (sum, count).
      outputs: what the system is for, by name: `(state, batch, key) -> arrays`.
    """

    init: Callable[[PRNGKeyArray, Batch], TrainState]
    update: Callable[[TrainState, Batch, PRNGKeyArray], tuple[TrainState, Metrics]]
    evaluate: Callable[[TrainState, Batch, PRNGKeyArray], Metrics]
    outputs: Mapping[str, Callable[..., Any]]


class Learner(NamedTuple):
    """How a loss is minimized: `init(variables) -> TrainState` and the step `update`."""

    init: Callable[[PyTree], TrainState]
    update: Callable[[TrainState, Batch, PRNGKeyArray], tuple[TrainState, Metrics]]


class Average(NamedTuple):
    """Exponential moving average of the params and batch statistics.

    Attributes:
      decay: the share of the old average kept at each update.
      every: steps between updates.
      warmup: start with the smaller decay (1 + t) / (10 + t), t updates done, so that early
        averages forget the initial values (Abadi et al., TensorFlow's `num_updates`).
    """

    decay: float
    every: int = 1
    warmup: bool = False


def minimize(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    average: Average | None = None,
    accumulate: int = 1,
    on_nonfinite: Literal["stop", "skip"] = "stop",
    axis_name: str | None = None,
    hold: Callable[[PyTree], PyTree] | None = None,
) -> Learner:
    """Writes the training step that minimizes one loss over all params.

    The loss is `loss(params, variables, batch, key) -> (metrics, variables)`. It differentiates
    `metrics["loss"]`, a pair (sum over examples, their weight), and divides by the weight of the
    whole batch, so that accumulation and sharding give the gradient of the full batch. `key` is the
    step's, the same for every part of the batch: draw for an example with `rng.per_example`, for a
    part as a whole (dropout) with `rng.for_batch`.

    A step whose loss, gradient or resulting state is not finite leaves the state as it was, but for
    the step counter; `metrics["nonfinite"]` then flags the leaves of `nonfinite_names`: those of
    params by their gradients, and only where all gradients are finite by what the optimizer made
    of them.

    Args:
      loss: the objective, as above.
      optimizer: an optax transformation.
      average: running averages to keep in `state.ema`.
      accumulate: parts that the batch is split into, each run after the other.
      on_nonfinite: with "stop" the loop ends the run at such a step; with "skip" it goes on.
      axis_name: the device axis to sum over, under `pmap`.
      hold: `params -> params`, with the gradient of those stopped that the optimizer does not move:
        what only they need of the backward pass is then not computed, and their gradient is 0.

    Raises:
      ConfigError: `accumulate` below 1, a decay outside (0, 1), or averages every 0 steps.
    """
    _check(average, on_nonfinite)
    if accumulate < 1:
        raise ConfigError(f"accumulate={accumulate}: a batch is split into 1 or more parts")

    def held_loss(params: PyTree, *others: Any) -> tuple[Metrics, PyTree]:
        return loss(hold(params) if hold else params, *others)

    def init(variables: PyTree) -> TrainState:
        return _initial(variables, optimizer.init, average)

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        start, batch = (state.params, state.variables), without_padding(batch)
        summed = _summed_gradients(held_loss, *start, batch, key, accumulate)
        gradients, metrics, variables = _over_devices(*summed, axis_name)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = _move_average(average, state, params, variables)
        moved = TrainState(state.step + 1, params, variables, opt_state, ema)
        broken = _nonfinite_leaves(metrics["loss"][0], gradients, moved)
        moved = select(jnp.any(broken), state.replace(step=state.step + 1), moved)
        norm = optax.tree.norm(gradients)
        health = {"gradient_norm": (norm, 1.0), "nonfinite": (broken.astype(jnp.float32), 1.0)}
        return moved, {**metrics, **health}

    return Learner(init, update)


def alternate(
    losses: Mapping[str, Loss],
    *,
    optimizers: optax.GradientTransformation | Mapping[str, optax.GradientTransformation],
    updates: Mapping[str, int] | None = None,
    average: Average | None = None,
    accumulate: int = 1,
    on_nonfinite: Literal["stop", "skip"] = "stop",
    axis_name: str | None = None,
) -> Learner:
    """Writes the training step of several players, who move one after the other.

    `state.params` is a dict by player, and so are the collections of `state.variables`. A player's
    loss is `loss(params, variables, batch, key) -> (metrics, variables)`, as for `minimize`: it is
    handed the params of all players as they stand when it moves, and moves its own only. `key`
    is the step's, folded with the player's name.

    A player with k updates moves k times in a row. The batch is split into as many interleaved
    parts as the busiest player has updates, and the j-th move of each sees the j-th part: no
    example is seen twice by the player who moves most.

    Metrics are named "<player>_<metric>". A step that is not finite for one player leaves all of
    them as they were, see `minimize`.

    Args:
      losses: each player's, in the order of their moves.
      optimizers: one for all, or one each.
      updates: moves a step, by default one each.
      average: running averages of all players' params and batch statistics.
      accumulate: must be 1; a batch that is split has its parts for the moves.
      on_nonfinite: as in `minimize`.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: optimizers or updates of other players, or values out of range.
    """
    _check(average, on_nonfinite)
    if accumulate != 1:
        raise ConfigError(f"accumulate={accumulate}: {len(losses)} players take their batch whole")
    given = optimizers if isinstance(optimizers, Mapping) else dict.fromkeys(losses, optimizers)
    counts = {name: (updates or {}).get(name, 1) for name in losses}
    for name in (*given, *(updates or {})):
        check_choice("player in optimizer", name, losses)
    for name in losses:
        if name not in given:
            raise ConfigError(f"optimizer has no player {name!r}: it is for {', '.join(given)}")
    parts = max(counts.values())

    def init(variables: PyTree) -> TrainState:
        def start(params):
            return {name: given[name].init(params[name]) for name in losses}

        return _initial(variables, start, average)

    def move(name, state, batch, key):
        def own(params, variables, part, key):
            return losses[name]({**state.params, name: params}, variables, part, key)

        summed = _summed_gradients(own, state.params[name], state.variables, batch, key, 1)
        gradients, metrics, variables = _over_devices(*summed, axis_name)
        optimizer, before = given[name], state.params[name]
        steps, opt_state = optimizer.update(gradients, state.opt_state[name], before)
        moved = state.replace(
            params={**state.params, name: optax.apply_updates(before, steps)},
            variables=variables,
            opt_state={**state.opt_state, name: opt_state},
        )
        metrics = {**metrics, "gradient_norm": (optax.tree.norm(gradients), jnp.ones(()))}
        return moved, gradients, {f"{name}_{key}": value for key, value in metrics.items()}

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        moved, metrics, gradients = state, {}, {}
        shares = _interleaved(without_padding(batch), parts, f"updates={parts}")
        for name in losses:
            for j in range(counts[name]):
                share = jax.tree.map(lambda x, j=j: x[j], shares)
                moved, gradient, more = move(name, moved, share, rng.purpose(key, name))
                metrics = {**metrics, **(trees.add(_only(metrics, more), more) if j else more)}
                gradients[name] = trees.add(gradients[name], gradient) if j else gradient
        ema = _move_average(average, state, moved.params, moved.variables)
        moved = moved.replace(step=state.step + 1, ema=ema)
        total = sum(metrics[f"{name}_loss"][0] for name in losses)
        broken = _nonfinite_leaves(total, gradients, moved)
        moved = select(jnp.any(broken), state.replace(step=state.step + 1), moved)
        return moved, {**metrics, "nonfinite": (broken.astype(jnp.float32), 1.0)}

    return Learner(init, update)


def check_outputs(model: nn.Module, count: int, what: str) -> None:
    """Raises ConfigError unless a model's `num_classes`, if it has that field, is `count`."""
    width = getattr(model, "num_classes", count)
    if count < 1 or width != count:
        name = type(model).__name__
        raise ConfigError(f"model {name} has num_classes={width}, but the task has {what}={count}")


def pair(values: Array, mask: Array) -> tuple[Array, Array]:
    """Returns the metric (sum, count) of values (b, ...), one an example, where the mask is 1."""
    held = where_present(values.astype(mask.dtype), mask)
    return jnp.tensordot(mask, held, 1, precision="highest"), jnp.sum(mask)


def where_present(values: Array, mask: Array) -> Array:
    """Returns values (b, ...) with zeros where the mask, of their first axes, is 0.

    Whatever is summed over examples goes through it: on padding a value may not be a number, and
    that times 0 is none either.
    """
    present = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)) > 0
    return jnp.where(present, values, jnp.zeros((), values.dtype))


def without_padding(batch: Batch) -> dict[str, Array]:
    """Returns a batch with zeros for the numbers that its padding and skipped examples hold.

    Their losses count for nothing, but gradients flow through them: 0 times what is not a number.
    """
    mask = batch["mask"]

    def cleared(x: Array) -> Array:
        return where_present(x, mask) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return {name: x if name == "mask" else cleared(x) for name, x in batch.items()}


def recorded_outputs(model: nn.Module) -> dict[str, Callable[..., Any]]:
    """Returns the outputs that any model of images has by its records.

    They are "intermediates", all that the model records, nested as its submodules are, and
    "features" (b, d), by convention the input of its head.
    """

    def intermediates(state: TrainState, batch: Batch, key: PRNGKeyArray) -> PyTree:
        variables = {"params": state.params, **state.variables}
        _, recorded = model.apply(variables, batch["image"], train=False, mutable=["intermediates"])
        return recorded.get("intermediates", {})

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Array:
        recorded = intermediates(state, batch, key)
        if "features" not in recorded:
            name = type(model).__name__
            raise ValueError(f"{name} records no 'features': {nearest('features', recorded)}")
        return recorded["features"]

    return {"features": features, "intermediates": intermediates}


def averaged(state: TrainState) -> TrainState:
    """Returns the state with its running averages in place of params and batch statistics."""
    part = _averaged_part(state.params, state.variables)
    means = jax.tree.map(lambda mean, x: mean.astype(x.dtype), state.ema, part)
    params = means.pop("params")
    return state.replace(params=params, variables={**state.variables, **means})


def nonfinite_names(state: TrainState) -> list[str]:
    """Names the entries of `metrics["nonfinite"]`, in order."""
    params = [f"params/{path}" for path in trees.paths(state.params)]
    variables = [f"variables/{path}" for path in trees.paths(state.variables)]
    return ["loss", *params, *variables, "opt_state"]


def select(condition: Bool[Array, ""], yes: PyTree, no: PyTree) -> PyTree:
    """Returns `yes` where the condition holds, else `no`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _check(average: Average | None, on_nonfinite: str) -> None:
    check_choice("on_nonfinite", on_nonfinite, ("stop", "skip"))
    if average is not None and not 0 < average.decay < 1:
        raise ConfigError(f"ema, decay={average.decay}: valid decays lie between 0 and 1")
    if average is not None and average.every < 1:
        raise ConfigError(f"ema, every={average.every}: valid are 1 step or more")


def _initial(variables: PyTree, start: Callable[[PyTree], PyTree], average: Average | None):
    params = variables["params"]
    rest = {name: value for name, value in variables.items() if name != "params"}
    ema = jax.tree.map(_wide_copy, _averaged_part(params, rest)) if average else None
    return TrainState(jnp.zeros((), jnp.int32), params, rest, start(params), ema)


def _only(metrics: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in names}


def _summed_gradients(loss, params, variables, batch, key, accumulate):
    """Returns the gradient of the summed loss, the summed metrics and the new variables."""

    def objective(params, variables, part):
        metrics, variables = loss(params, variables, part, key)
        metrics = {
            name: tuple(jnp.asarray(value, jnp.float32) for value in pair)
            for name, pair in metrics.items()
        }
        return metrics["loss"][0], (metrics, variables)

    gradient = jax.grad(objective, has_aux=True)
    if accumulate == 1:
        gradients, (metrics, variables) = gradient(params, variables, batch)
        return gradients, metrics, variables

    def part_step(carry, part):
        gradients, metrics, variables = carry
        more, (measured, variables) = gradient(params, variables, part)
        return (trees.add(gradients, more), trees.add(metrics, measured), variables), None

    parts = _interleaved(batch, accumulate, f"accumulate={accumulate}")
    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(gradient, params, variables, first)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes[0], shapes[1][0]))
    (gradients, metrics, variables), _ = jax.lax.scan(part_step, (*zeros, variables), parts)
    return gradients, metrics, variables


def _interleaved(batch: Batch, count: int, what: str) -> dict[str, Array]:
    """Splits a batch into `count` parts, stacked; part j holds the examples j, j + count, ...

    Every device then works on every part.
    """
    size = len(batch["index"])
    if size % count:
        raise ConfigError(f"{what} does not divide a device's {size} examples")
    return jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), dict(batch))


def _over_devices(gradients, metrics, variables, axis_name):
    """Sums over the devices, and divides the gradient by the weight of the whole batch."""
    if axis_name is not None:
        gradients, metrics = jax.lax.psum((gradients, metrics), axis_name)
        variables = _mean_over(variables, axis_name)
    weight = jnp.maximum(metrics["loss"][1], jnp.finfo(jnp.float32).tiny)
    return jax.tree.map(lambda g: g / weight.astype(g.dtype), gradients), metrics, variables


def _mean_over(variables: PyTree, axis_name: str) -> PyTree:
    # Each device normalizes by its own statistics; their running averages are linear in them, so
    # averaging every step equals averaging once at the end, and the state stays replicated.
    def mean(x):
        return jax.lax.pmean(x, axis_name) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(mean, variables)


def _averaged_part(params, variables):
    statistics = {"batch_stats": variables["batch_stats"]} if "batch_stats" in variables else {}
    return {"params": params, **statistics}


def _wide_copy(x):
    # Half precision would round away the small share of the new value.
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return jnp.array(x, wide if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype)


def _move_average(average, state, params, variables):
    if average is None:
        return None
    updates = state.step // average.every
    decay = jnp.float32(average.decay)
    if average.warmup:
        decay = jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))
    due = (state.step + 1) % average.every == 0
    keep = jnp.where(due, decay, 1.0)
    new = _averaged_part(params, variables)
    return jax.tree.map(
        lambda old, x: old + (1 - keep).astype(old.dtype) * (x - old), state.ema, new
    )


def _nonfinite_leaves(loss, gradients, moved: TrainState):
    def broken(*leaves):
        checks = [~jnp.all(jnp.isfinite(x)) for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]
        return jnp.any(jnp.stack(checks)) if checks else jnp.zeros((), bool)

    wrong = [broken(x) for x in jax.tree.leaves(gradients)]
    # One such gradient can spread to every leaf (by a clipped norm): only its own is to blame.
    spread = jnp.any(jnp.stack(wrong))
    flags = [broken(loss)]
    flags += [w | (broken(x) & ~spread) for w, x in zip(wrong, jax.tree.leaves(moved.params))]
    flags += map(broken, jax.tree.leaves(moved.variables))
    flags += [broken(*jax.tree.leaves(moved.opt_state)) & ~spread]
    # Without the barrier XLA repeats all of these checks in the selection of every leaf, and
    # compilation takes time and memory in the square of their number.
    return jax.lax.optimization_barrier(jnp.stack(flags))
