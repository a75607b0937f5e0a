"""The evaluators of a run, and the evaluation of a state."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from library import config, task
from library.evaluation.context import pausing
from library.run.feed import Feed
from library.run.plan import Plan
from library.run.sections import evaluator
from library.task import TrainState


class Evaluation(NamedTuple):
    """An evaluator of a run, its interval, and the params that it evaluates.

    Attributes:
      every: steps from one evaluation to the next.
      measure: the evaluator, `state -> numbers and arrays by name`.
      raw: whether to evaluate the params. Running averages, if any, are evaluated in any case.
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
      feed: the run's data.
      warn: shows a line to the user.
      pause: called before each batch and within long host work; its exception ends the evaluation.
    """
    context, built = pausing(feed.context(warn=warn), pause), {}
    for name, spec in plan.recipe.evaluate.items():
        entry = evaluator(name, spec)
        measure = config.build(entry.spec, "library.evaluation", "evaluator", context=context)
        measure = _with_warnings(feed, measure, warn)
        built[name] = Evaluation(plan.steps(entry.every), measure, entry.ema != "only")
    return built


def _with_warnings(feed: Feed, measure: Callable, warn: Callable[[str], None]) -> Callable:
    """Wraps an evaluator so that it warns of skipped examples, which its numbers leave out."""

    def run(state: TrainState) -> Mapping[str, Any]:
        found = measure(state)
        feed.tell(warn)
        return found

    return run


def measured(name: str, evaluation: Evaluation, state: TrainState) -> dict[str, Any]:
    """Evaluates a state's params, its running averages, or both, by "evaluator/metric".

    The results of running averages are named "evaluator_ema/metric".
    """
    found = {name: evaluation.measure(state)} if evaluation.raw else {}
    if state.ema is not None:
        found[f"{name}_ema"] = evaluation.measure(task.averaged(state))
    return {f"{n}/{k}": v for n, values in found.items() for k, v in values.items()}
