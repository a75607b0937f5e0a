"""Tasks: named tuples of pure functions, which `minimize` and `alternate` help to write.

A task is everything that distinguishes one learning system from another. The loop, the data, the
mesh, the checkpoints and the launcher know nothing else about a system.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from library import averages, finite, gradients, rng, spreading, trees
from library.averages import Average
from library.config import ConfigError, check_choice
from library.summaries import Meaning

Batch = Mapping[str, Array]
Metrics = Mapping[str, tuple[Array, Array]]
Loss = Callable[[PyTree, PyTree, Batch, PRNGKeyArray], tuple[Metrics, PyTree]]

# The loop sets this bool in the batch of a run that has ended: the step must change nothing.
HALTED = "halted"


@flax.struct.dataclass
class TrainState:
    """The state of training: all that goes from one step to the next and into a checkpoint.

    Attributes:
      step: number of steps done, int32.
      params: the arrays that the optimizer updates.
      variables: collections that training updates otherwise: batch_stats, queues, teachers. The
        task declares how devices share each, see `library.spreading`.
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
      update: `(state, batch, key) -> (state, metrics)`, one training step. A step that reports the
        metric "nonfinite", as those of `minimize` and `alternate` do, keeps params and optimizer
        state if any flag is set or `batch[HALTED]` is true.
      evaluate: `(state, batch, key) -> metrics`, each metric a pair (sum, count).
      outputs: the outputs of the system, by name: `(state, batch, key) -> arrays`.
      summaries: summaries of the metrics that are more than a mean, by name, see
        `library.summaries`.
    """

    init: Callable[[PRNGKeyArray, Batch], TrainState]
    update: Callable[[TrainState, Batch, PRNGKeyArray], tuple[TrainState, Metrics]]
    evaluate: Callable[[TrainState, Batch, PRNGKeyArray], Metrics]
    outputs: Mapping[str, Callable[..., Any]]
    summaries: Mapping[str, Meaning] = {}


class Learner(NamedTuple):
    """A training method: `init(variables) -> TrainState` and the training step `update`."""

    init: Callable[[PyTree], TrainState]
    update: Callable[[TrainState, Batch, PRNGKeyArray], tuple[TrainState, Metrics]]


def minimize(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    average: Average | None = None,
    accumulate: int = 1,
    on_nonfinite: Literal["stop", "skip"] = "stop",
    axis_name: str | None = None,
    hold: Callable[[PyTree], PyTree] | None = None,
    spread: Mapping[str, str] | None = None,
) -> Learner:
    """Returns the training method that minimizes one loss over all params.

    The loss is `loss(params, variables, batch, key) -> (metrics, variables)`. The step
    differentiates the sum in `metrics["loss"]`, a pair (sum over examples, their weight), and
    divides the gradient by the weight of the whole batch. Accumulation and sharding therefore give
    the gradient of the full batch, as long as an example's loss does not depend on the others.
    (BatchNorm normalizes each part by the part's own statistics.) `key` is the key of the step, the
    same for every part of the batch: draw for an example with `rng.per_example`, and for a part as
    a whole (dropout) with `rng.for_batch`.

    If the loss, the gradient or the new state is not finite, the step keeps the old state apart
    from the step counter, and `metrics["nonfinite"]` flags entries of `nonfinite_names`. The flag
    of a leaf of the params means its gradient or, if all that comes before the optimizer is finite,
    its new value. Running averages are not checked: the params that they average are. The step
    decides before it changes anything, see `library.finite`, and so needs no memory for a second
    state.

    Schedules follow `state.step`, which the optimizer gets as `step`. It counts skipped steps, too.

    Gradients, metrics and weights are summed, over parts and devices, in float32 at least. The
    optimizer gets gradients in the params' dtype. Params in float16 are an error, because moments
    and epsilons of optimizers underflow there. There is no loss scale. A model that *computes* in
    float16 needs none if its loss is a sum of cross-entropies, whose gradients are larger than a
    mean's by the batch size. Other losses may have gradients below 6e-8, which become 0; a config
    with one is refused. A gradient above 65,504 is not finite in float16 and is treated so.

    Args:
      loss: the loss to minimize, as above.
      optimizer: an optax transformation.
      average: settings of the running averages in `state.ema`; None for no averages.
      accumulate: number of parts of the batch, which run one after the other.
      on_nonfinite: whether the loop stops at a step that is not finite or skips it.
      axis_name: the device axis to sum over, under `pmap`.
      hold: `params -> params`, which stops the gradient of the params that the optimizer does not
        update. Their gradient is then 0, and the part of the backward pass that only they need is
        not computed.
      spread: how devices share each collection of the variables, see `library.spreading`.
        "batch_stats" is "averaged".

    Raises:
      ConfigError: `accumulate` or the average's `every` is below 1, the decay is outside (0, 1), or
        a spread is unknown. `init` raises it for params in float16 and for variables that are not
        declared or that `pmap` does not support.
    """
    _check(average, on_nonfinite)
    spread = spreading.declared(spread)
    if accumulate < 1:
        raise ConfigError(f"accumulate={accumulate}: a batch is split into 1 or more parts")

    def held_loss(params: PyTree, *others: Any) -> tuple[Metrics, PyTree]:
        return loss(hold(params) if hold else params, *others)

    optimizer = optax.with_extra_args_support(optimizer)

    def init(variables: PyTree) -> TrainState:
        return _initial(variables, optimizer.init, average, spread, axis_name)

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        halted, batch = _halted(batch)
        batch = without_padding(batch)
        found = gradients.of_batch(
            held_loss, state.params, state.variables, batch, key, accumulate, spread, axis_name
        )

        def change(before: PyTree) -> PyTree:
            params, opt_state, _, ema = before
            moved = _optimized(optimizer, found.gradients, opt_state, params, state.step)
            ema = averages.moved(average, state.step, ema, moved[0], found.variables)
            return *moved, found.variables, ema

        still = spreading.moving(state.variables, spread)
        before = (state.params, state.opt_state, still, state.ema)
        flags = finite.flags_before(found.metrics["loss"][0], found.gradients, found.variables)
        (params, opt_state, variables, ema), flags = finite.update_if_finite(
            change, before, flags, halted
        )
        variables = {**state.variables, **variables}
        moved = TrainState(state.step + 1, params, variables, opt_state, ema)
        nonfinite = _listed(flags, state.variables)
        health = {"gradient_norm": (found.norm, 1.0), "nonfinite": (nonfinite, 1.0)}
        return moved, {**found.metrics, **health}

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
    spread: Mapping[str, str] | None = None,
) -> Learner:
    """Returns the training method of several players, which update their params in turn.

    `state.params` is a dict by player, and so are the collections of `state.variables`. A player's
    loss is `loss(params, variables, batch, key) -> (metrics, variables)`, as for `minimize`. It
    gets the current params of all players; its gradient updates the player's own params only. `key`
    is the key of the step, folded with the player's name.

    A player with k updates makes them in a row. The batch is split into as many interleaved parts
    as the largest number of updates, and the j-th update of each player sees the j-th part. A
    player thus sees no example twice in a step.

    Metrics are named "<player>_<metric>". If a step is not finite for one player, see `minimize`,
    all players keep their old state. The step therefore holds the old and the new params of every
    player except the last in memory.

    Args:
      losses: the loss of each player, in the order of the updates.
      optimizers: one optimizer for all players, or one for each.
      updates: number of updates per step for each player, 1 by default.
      average: running averages of all players' params and batch statistics.
      accumulate: must be 1: a batch splits only into the parts of the updates.
      on_nonfinite: see `minimize`.
      axis_name: the device axis to sum over, under `pmap`.
      spread: see `minimize`.

    Raises:
      ConfigError: an optimizer or a number of updates belongs to no player, a player has no
        optimizer, `accumulate` is not 1, or an error of `minimize`.
    """
    _check(average, on_nonfinite)
    spread = spreading.declared(spread)
    if accumulate != 1:
        raise ConfigError(f"accumulate={accumulate}: a task with {len(losses)} players takes 1")
    players = _players(losses, optimizers, updates or {})
    parts = max(player.updates for player in players)
    # A last player with one update has not moved if the step is not finite.
    still = players[-1].name if players[-1].updates == 1 else None

    def init(variables: PyTree) -> TrainState:
        def start(params: PyTree) -> PyTree:
            return {player.name: player.optimizer.init(params[player.name]) for player in players}

        return _initial(variables, start, average, spread, axis_name)

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        held, batch = _halted(batch)
        moved, metrics, found = state, {}, {}
        shares = gradients.interleaved(without_padding(batch), parts, f"updates={parts}")
        for player in players:
            name = player.name
            for j in range(player.updates):
                share = jax.tree.map(lambda x, j=j: x[j], shares)
                count = state.step * player.updates + j
                moved, flags, more = player.move(moved, share, key, count, held, spread, axis_name)
                held = held | finite.any_of(flags)
                metrics = {**metrics, **(trees.add(_only(metrics, more), more) if j else more)}
                found[name] = finite.either(found[name], flags) if j else flags

        def follow(ema: PyTree) -> PyTree:
            return averages.moved(average, state.step, ema, moved.params, moved.variables)

        settled = _settled(state, moved, held, still)
        ema = jax.lax.cond(held, lambda ema: ema, follow, state.ema)
        nonfinite = _listed(finite.of_all(found), state.variables)
        return settled.replace(ema=ema), {**metrics, "nonfinite": (nonfinite, 1.0)}

    return Learner(init, update)


def check_outputs(model: nn.Module, count: int, what: str) -> None:
    """Raises ConfigError unless a model's `num_classes`, if it has that field, is `count`."""
    width = getattr(model, "num_classes", count)
    if count < 1 or width != count:
        name = type(model).__name__
        raise ConfigError(f"model {name} has num_classes={width}, but the task has {what}={count}")


def pair(values: Array, mask: Array) -> tuple[Array, Array]:
    """Returns the metric (sum, count) of values (b, ...) over the examples whose mask is 1."""
    held = where_present(values.astype(mask.dtype), mask)
    return jnp.tensordot(mask, held, 1, precision="highest"), jnp.sum(mask)


def where_present(values: Array, mask: Array) -> Array:
    """Returns values (b, ...) with zeros where the mask, over their first axes, is 0.

    Every sum over examples needs it: padding may give NaN, and NaN times 0 is NaN.
    """
    present = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)) > 0
    return jnp.where(present, values, jnp.zeros((), values.dtype))


def without_padding(batch: Batch) -> dict[str, Array]:
    """Returns a batch in which padding and skipped examples hold 0 instead of NaN or infinity.

    Their losses have weight 0, but gradients flow through them, and 0 times NaN is NaN. A batch
    without a mask has no such examples.
    """
    if "mask" not in batch:
        return dict(batch)
    mask = batch["mask"]

    def cleared(x: Array) -> Array:
        # Arrays without one row per example, such as nodes of graphs, hold zeros as padding.
        if not jnp.issubdtype(x.dtype, jnp.floating) or x.shape[:1] != mask.shape:
            return x
        return jnp.where(jnp.isfinite(x), x, where_present(x, mask))

    return {name: x if name == "mask" else cleared(x) for name, x in batch.items()}


def averaged(state: TrainState) -> TrainState:
    """Returns the state with its running averages in place of params and batch statistics."""
    part = averages.part(state.params, state.variables)
    means = jax.tree.map(lambda mean, x: mean.astype(x.dtype), state.ema, part)
    params = means.pop("params")
    return state.replace(params=params, variables={**state.variables, **means})


def learnt(state: TrainState, *, averages: bool = True) -> TrainState:
    """Returns the state to use: with its running averages, if it has any and `averages` is true."""
    return averaged(state) if averages and state.ema is not None else state


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
    if average is not None:
        averages.check(average)


def _initial(
    variables: PyTree,
    start: Callable[[PyTree], PyTree],
    average: Average | None,
    spread: Mapping[str, str],
    axis_name: str | None,
) -> TrainState:
    params = variables["params"]
    rest = {name: value for name, value in variables.items() if name != "params"}
    for path, leaf in trees.flatten(params).items():
        if leaf.dtype == jnp.float16:
            raise ConfigError(
                f"params/{path} is float16, in which moments and epsilons of optimizers underflow: "
                "use param_dtype='bfloat16' or 'float32'; dtype='float16' may stay"
            )
    spreading.check(rest, spread, axis_name)
    ema = averages.started(params, rest) if average else None
    return TrainState(jnp.zeros((), jnp.int32), params, rest, start(params), ema)


class _Player(NamedTuple):
    """A player of `alternate`.

    Attributes:
      name: the player's name.
      loss: the player's loss, of the params of all players.
      optimizer: the optimizer of the player's own params.
      updates: number of updates per step.
    """

    name: str
    loss: Loss
    optimizer: optax.GradientTransformationExtraArgs
    updates: int

    def move(
        self,
        state: TrainState,
        batch: Batch,
        key: PRNGKeyArray,
        count: Array,
        held: Bool[Array, ""] | bool,
        spread: Mapping[str, str],
        axis_name: str | None,
    ) -> tuple[TrainState, finite.Flags, Metrics]:
        """Returns the state after one update of the player, the flags of the update, the metrics.

        Args:
          state: the state before the update.
          batch: the part of the batch that the update sees.
          key: the key of the step.
          count: number of the player's updates in the run so far.
          held: whether to keep the state in any case.
          spread: how devices share each collection of the variables.
          axis_name: the device axis to sum over.
        """
        own = rng.purpose(key, self.name)
        params, opt_state = state.params[self.name], state.opt_state[self.name]

        def loss(params: PyTree, *rest: Any) -> tuple[Metrics, PyTree]:
            return self.loss({**state.params, self.name: params}, *rest)

        found = gradients.of_batch(loss, params, state.variables, batch, own, 1, spread, axis_name)

        def change(before: PyTree) -> PyTree:
            params, opt_state, _ = before
            moved = _optimized(self.optimizer, found.gradients, opt_state, params, count)
            return *moved, found.variables

        before = (params, opt_state, spreading.moving(state.variables, spread))
        flags = finite.flags_before(found.metrics["loss"][0], found.gradients, found.variables)
        (params, opt_state, variables), flags = finite.update_if_finite(change, before, flags, held)
        moved = state.replace(
            params={**state.params, self.name: params},
            variables={**state.variables, **variables},
            opt_state={**state.opt_state, self.name: opt_state},
        )
        metrics = {**found.metrics, "gradient_norm": (found.norm, jnp.ones(()))}
        return moved, flags, {f"{self.name}_{name}": value for name, value in metrics.items()}


def _players(
    losses: Mapping[str, Loss],
    optimizers: optax.GradientTransformation | Mapping[str, optax.GradientTransformation],
    updates: Mapping[str, int],
) -> list[_Player]:
    """Returns the players in the order of their losses.

    Raises:
      ConfigError: an optimizer or a number of updates belongs to no player, or a player has no
        optimizer.
    """
    given = optimizers if isinstance(optimizers, Mapping) else dict.fromkeys(losses, optimizers)
    for name in (*given, *updates):
        check_choice("player in optimizer", name, losses)
    for name in losses:
        if name not in given:
            raise ConfigError(f"optimizer has no player {name!r}; it has {', '.join(given)}")
    ready = {name: optax.with_extra_args_support(each) for name, each in given.items()}
    return [_Player(name, loss, ready[name], updates.get(name, 1)) for name, loss in losses.items()]


def _settled(
    before: TrainState, after: TrainState, held: Bool[Array, ""] | bool, still: str | None
) -> TrainState:
    """Returns the state after a step of all players: `after`, or where held `before`.

    The step is counted in either case. The averages are those of `after`.

    Args:
      before: the state before the step.
      after: the state after the updates of all players.
      held: whether the step changes nothing.
      still: a player whom no held step has moved, or None. Its old params need no memory.
    """

    def settled(old: PyTree, new: PyTree) -> PyTree:
        return {k: x if k == still else select(held, old[k], x) for k, x in new.items()}

    return after.replace(
        step=before.step + 1,
        params=settled(before.params, after.params),
        opt_state=settled(before.opt_state, after.opt_state),
        variables=select(held, before.variables, after.variables),
    )


def _halted(batch: Batch) -> tuple[Bool[Array, ""] | bool, dict[str, Array]]:
    """Returns whether the run has ended, see `HALTED`, and the batch without that flag."""
    return batch.get(HALTED, False), {name: x for name, x in batch.items() if name != HALTED}


def _only(metrics: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in names}


def _optimized(optimizer, gradient, opt_state, params, step) -> tuple[PyTree, PyTree]:
    """Returns the params and the optimizer's state after the update of number `step`, from 0."""
    updates, opt_state = optimizer.update(gradient, opt_state, params, step=step)
    return optax.apply_updates(params, updates), opt_state


def _listed(flags: finite.Flags, variables: PyTree) -> Array:
    """Returns flags, 0 or 1, in the order of `nonfinite_names`; 0 for constant variables."""
    still = jax.tree.map(lambda _: jnp.zeros((), bool), dict(variables))
    found = jax.tree.leaves((flags.params, {**still, **flags.variables}))
    return jnp.stack([flags.loss, *found, flags.opt_state]).astype(jnp.float32)
