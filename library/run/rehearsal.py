"""The rehearsal of a run: it is traced once, so that errors appear before anything is compiled."""

import contextlib
import functools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from library import config, costs, task
from library.config import ConfigError, MisfitError, nearest
from library.data import preprocessing
from library.evaluation.context import Context
from library.optim import optimizers
from library.parallel import chips, sharding
from library.run import early_stopping, learning, own_files
from library.run.checks import check_batch_size
from library.run.inputs import eval_input, train_input
from library.run.plan import (
    Plan,
    context_parts,
    drawn_features,
    initial_state,
)
from library.run.sections import Checkpointing, Parallel, Recipe, evaluator
from library.summaries import summarize


def rehearsed(plan: Plan) -> Plan:
    """Returns the plan with the shapes and names that only a trace of the run can tell.

    Raises:
      ConfigError: the first step, a save, a log or an evaluation would fail.
    """
    state, metrics, flops = _traced(plan)
    plan = plan._replace(state=state, metrics=metrics, flops=flops)
    rules = config.read(Parallel, plan.recipe.parallel, "parallel").rules
    sharding.shardings(plan.state, plan.strategy.mesh, rules)
    _check_intervals(plan)
    measured = _measured_in_training(plan) | _measured_in_evaluations(plan)
    _check_metrics(plan.recipe, measured)
    early_stopping.check(plan, measured)
    return plan._replace(measured=measured)


def _traced(plan: Plan) -> tuple[task.TrainState, Mapping[str, Any], int | None]:
    """Traces the initialisation and one step, to find errors before anything is compiled.

    Returns:
      The shapes of the state and of a step's metrics, and the FLOPs of a step, see `Plan`.
    """
    batch = plan.loader.like(plan.dataset.batch_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    constants = {"key": key, "resident": {}}

    def first_step(state, batch, key):
        return plan.task.update(state, train_input(plan, batch, constants, key), key)[1]

    axes = _axes(plan)
    with _fitting():
        state = jax.eval_shape(functools.partial(initial_state, plan), batch, constants)
        for name, spec in learning.by_player(plan.recipe).items():
            optimizers.check_patterns(spec, state.params if name is None else state.params[name])
        step = plan.strategy.within(first_step)
        made, metrics = jax.make_jaxpr(step, axis_env=axes, return_shape=True)(state, batch, key)
    # Only a share of a known peak is shown, and the count of a large program takes a while.
    counted = chips.of(plan.strategy.mesh.devices.flat[0]) is not None
    flops = sum(costs.flops_by_path(made.jaxpr).values()) if counted else None
    return state, metrics, flops


def _axes(plan: Plan) -> list[tuple[str, int]] | None:
    """Returns an axis of one device with the strategy's name: sums over it can be traced."""
    axis = plan.strategy.axis_name
    return None if axis is None else [(axis, 1)]


def _check_intervals(plan: Plan) -> None:
    recipe = plan.recipe
    intervals = {
        "log_every": recipe.log_every,
        "checkpoint.every": config.read(Checkpointing, recipe.checkpoint, "checkpoint").every,
        **{f"evaluate.{k}.every": evaluator(k, v).every for k, v in recipe.evaluate.items()},
    }
    if recipe.histograms_every is not None:
        intervals["histograms_every"] = recipe.histograms_every
    for where, every in intervals.items():
        if plan.steps(every) < 1:
            raise ConfigError(f"{where}={every!r} is less than one step")


def _measured_in_training(plan: Plan) -> frozenset[str]:
    zeros = {k: [np.zeros(x.shape) for x in v] for k, v in plan.metrics.items() if k != "nonfinite"}
    found = summarize(zeros, plan.task.summaries)
    return frozenset(f"train/{name}" for name, value in found.items() if not np.ndim(value))


def _measured_in_evaluations(plan: Plan) -> frozenset[str]:
    measured, averages = set(), plan.state.ema is not None
    for name, section in plan.recipe.evaluate.items():
        found, only = _evaluate(plan, name, section), evaluator(name, section).ema == "only"
        if only and not averages:
            raise ConfigError(
                f"evaluate.{name}, ema='only': the run has no running averages; "
                "leave it out, or set config.ema"
            )
        measured |= {f"{name}/{key}" for key in found if not only}
        measured |= {f"{name}_ema/{key}" for key in found if averages}
    return frozenset(measured)


def _check_metrics(recipe: Recipe, measured: frozenset[str]) -> None:
    checkpointing = config.read(Checkpointing, recipe.checkpoint, "checkpoint")
    wanted = {"checkpoint.best": checkpointing.best}
    if recipe.reported and recipe.evaluate:
        wanted["reported.metric"] = recipe.reported["metric"]
    for where, metric in wanted.items():
        if metric is not None and metric not in measured:
            raise ConfigError(
                f"{where}={metric!r} is not measured: {nearest(metric, sorted(measured))}"
            )
    checkpointing.direction()


def _evaluate(plan: Plan, name: str, section: Mapping[str, Any]) -> list[str]:
    """Runs an evaluator on one blank batch, with zeros in place of all device computations.

    Returns:
      The names of the numbers that the evaluator returns.
    """
    spec = evaluator(name, section).spec

    def size_of(batch_size):
        size = batch_size or plan.dataset.eval_size
        check_batch_size(f"evaluate.{name}.batch_size", size, plan.strategy.batch_shards)
        return size

    def batches(split, batch_size):
        shapes = plan.splits(split).like(size_of(batch_size))
        yield {k: np.broadcast_to(np.zeros((), x.dtype), x.shape) for k, x in shapes.items()}

    def draws(num, batch_size=None, features=None):
        size = size_of(batch_size)
        place = np.arange(size, dtype=np.uint32)
        batch = {"index": place, "row": place, "mask": np.float32(place < num)}
        given = {**drawn_features(plan, num), **(features or {})}
        yield {**batch, **{k: x[np.minimum(place, num - 1)] for k, x in given.items()}}

    def computed(f):
        def on_inputs(state, batch):
            key = jax.eval_shape(lambda: jax.random.key(0))
            inputs = functools.partial(eval_input, plan, constants={"resident": {}})
            traced = jax.make_jaxpr(
                lambda s, b, k: f(s, inputs(b), k), axis_env=_axes(plan), return_shape=True
            )
            shapes = traced(state, batch, key)[1]
            return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)

        return on_inputs

    context = Context(
        plan.task,
        batches,
        measure=computed,
        collect=computed,
        draws=draws,
        num_examples=lambda split: len(plan.splits(split).source.records),
        warn=lambda message: None,
        **context_parts(plan),
    )
    with _fitting(f"evaluate.{name}: "), warnings.catch_warnings(action="ignore"):
        measure = config.build(spec, "library.evaluation", "evaluator", context=context)
        return [key for key, value in measure(plan.state).items() if not np.ndim(value)]


@contextlib.contextmanager
def _fitting(where: str = "") -> Iterator[None]:
    """Turns errors of tracing into MisfitErrors, unless they come from a file of one's own."""
    try:
        yield
    except (ConfigError, preprocessing.CorruptExample):
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        own_files.raise_own(error)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "; train --debug shows the traceback" if own_files.is_check(error) else ""
        raise MisfitError(f"{where}the config does not fit together: {reason}{hint}") from error
