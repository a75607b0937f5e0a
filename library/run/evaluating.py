"""The evaluators of a run, and what they measure of a state."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from library import config, task
from library.evaluation.context import pausing
from library.run.feed import Feed
from library.run.recipe import Plan
from library.run.sections import evaluator
from library.task import TrainState


class Evaluation(NamedTuple):
    """An evaluator of the run: after how many steps it measures what, and of which params.

    Attributes:
      every: steps.
      measure: the evaluator.
      raw: whether the params are measured; running averages are wherever there are any.
    """

    every: int
    measure: Callable[[TrainState], Mapping[str, Any]]
    raw: bool


def evaluations(
    plan: Plan,
    feed: Feed,
    warn: Callable[[str], None] = print,
    pause: Callable[[], None] = lambda: None,
) -> dict[str, Evaluation]:
    """Builds the evaluators that a config names, with their intervals in steps.

    Args:
      plan: the run.
      feed: its data.
      warn: shows a line to whoever watches the run.
      pause: called before each of their batches; what it raises ends the evaluation.
    """
    context, built = pausing(feed.context(warn=warn), pause), {}
    for name, spec in plan.recipe.evaluate.items():
        entry = evaluator(name, spec)
        measure = config.build(entry.spec, "library.evaluation", "evaluator", context=context)
        measure = _telling(feed, measure, warn)
        built[name] = Evaluation(plan.steps(entry.every), measure, entry.ema != "only")
    return built


def _telling(feed: Feed, measure: Callable, warn: Callable[[str], None]) -> Callable:
    """Has an evaluator warn of what it could not read; its numbers are of the other examples."""

    def run(state: TrainState) -> Mapping[str, Any]:
        found = measure(state)
        feed.tell(warn)
        return found

    return run


def measured(name: str, evaluation: Evaluation, state: TrainState) -> dict[str, Any]:
    """Evaluates a state, and beside it, or alone, its running averages where it has them."""
    found = {name: evaluation.measure(state)} if evaluation.raw else {}
    if state.ema is not None:
        found[f"{name}_ema"] = evaluation.measure(task.averaged(state))
    return {f"{n}/{k}": v for n, values in found.items() for k, v in values.items()}
