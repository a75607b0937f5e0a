"""Training step by step, without a workdir: what Python calls in place of the loop."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from library import task
from library.run import evaluating, fine_tuning, stepping
from library.run.feed import Feed
from library.run.loop import NonFiniteError
from library.run.plan import Plan
from library.summaries import summarize
from library.task import TrainState


class Training(NamedTuple):
    """The functions of a plan's training. They compile when they are first called.

    Attributes:
      init: `() -> state`, the state of step 0. It is the same in every call.
      step: `(state, batch) -> (state, metrics)`. The metrics are numbers, and arrays such as a
        confusion matrix, by name. The step takes the arrays of the old state over: keep only the
        new one. It raises NonFiniteError if the recipe stops at a step that is not finite.
      batches: `(start=0) -> iterator` of the batches of the steps from `start` on, without end.
      evaluate: `state -> {"test/accuracy": ...}`, the results of the recipe's evaluators.
    """

    init: Callable[[], TrainState]
    step: Callable[[TrainState, Mapping[str, jax.Array]], tuple[TrainState, dict[str, Any]]]
    batches: Callable[..., Iterator[dict[str, jax.Array]]]
    evaluate: Callable[[TrainState], dict[str, Any]]


def training(plan: Plan) -> Training:
    """Returns the functions that train a plan.

    States are those of the loop, to the bit: the compiled step is the same.

    Args:
      plan: the plan. Its training split is read now if it goes into device memory.
    """
    # Several steps in a call have the same bits as single ones.
    plan = plan._replace(recipe=dataclasses.replace(plan.recipe, steps_per_call=1))
    feed = Feed(plan)

    def init() -> TrainState:
        state = stepping.initial_carry(plan, feed).state
        # The next call loads it again.
        del feed.first
        if plan.recipe.init_from:
            state = fine_tuning.started(plan, state, Console(quiet=True))
        return state

    @functools.cache
    def evaluations() -> dict[str, evaluating.Evaluation]:
        return evaluating.evaluations(plan, feed, lambda text: warnings.warn(text, stacklevel=2))

    def evaluate(state: TrainState) -> dict[str, Any]:
        found = {}
        for name, evaluation in evaluations().items():
            found |= evaluating.measured(name, evaluation, state)
        return {k: x if np.ndim(x) else float(x) for k, x in found.items()}

    return Training(init, _step(plan, feed), lambda start=0: feed.train(start), evaluate)


def _step(plan: Plan, feed: Feed) -> Callable:
    around = stepping.carry_like(plan)._replace(state=None)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), around)
    compiled: list[Callable] = []

    def step(state: TrainState, batch: Mapping[str, jax.Array]) -> tuple[TrainState, dict]:
        carry = plan.strategy.replicate(zeros)._replace(state=state)
        if not compiled:
            compiled.append(plan.strategy.update(functools.partial(stepping.step, plan), carry))
        carry, _ = compiled[0](carry, batch, feed.constants)
        totals, skipped, broken = jax.device_get((carry.totals, carry.skipped, carry.broken))
        if broken.any():
            raise _not_finite(carry.state, broken)
        metrics = summarize(totals, plan.task.summaries)
        return carry.state, metrics | {f"skipped_{k}": int(v) for k, v in skipped.items() if v}

    return step


def _not_finite(state: TrainState, broken: np.ndarray) -> NonFiniteError:
    names = task.nonfinite_names(state)
    named = [n for n, flag in zip(names, broken) if flag] if len(names) == len(broken) else []
    shown = ", ".join(named[:8]) or "its metrics"
    return NonFiniteError(f"step {int(state.step) + 1} is not finite in {shown}")
