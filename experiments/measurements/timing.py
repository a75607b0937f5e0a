"""Timing of functions in turn, so that a drift of the machine's speed does not change ratios."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Step = Callable[[], Any]


class Budget(NamedTuple):
    """The steps of each measurement, and the rounds, in which each function is measured once."""

    steps: int
    rounds: int

    def for_large_steps(self) -> "Budget":
        """Returns fewer steps, for steps that each take a large part of a second."""
        return self._replace(steps=max(2, self.steps // 40))


def in_turn(budget: Budget, measures: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Calls each measurement once per round, in turn, and returns its values by round."""
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(budget.rounds)]
    return {name: [values[name] for values in rounds] for name in measures}


def pairs(
    budget: Budget, ours: Callable[[], float], theirs: Callable[[], float]
) -> dict[str, float]:
    """Returns the medians of two measurements in seconds, taken in turn, and of their ratio."""
    found = in_turn(budget, {"ours": ours, "theirs": theirs})
    return {
        "ms": 1e3 * statistics.median(found["ours"]),
        "against ms": 1e3 * statistics.median(found["theirs"]),
        "ratio": ratio(found["ours"], found["theirs"]),
    }


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Returns the median over rounds of the ratio of two measurements."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def seconds_each(step: Step, budget: Budget, wait: Callable[[Any], Any] | None = None) -> float:
    """Returns the mean seconds of a step, after one step to warm up.

    Args:
      step: the step; it returns a value to wait for.
      budget: the number of steps.
      wait: waits for that value; `jax.block_until_ready` by default.
    """
    import jax

    wait = wait or jax.block_until_ready
    wait(step())
    begun = time.perf_counter()
    for _ in range(budget.steps):
        ticket = step()
    wait(ticket)
    return (time.perf_counter() - begun) / budget.steps
