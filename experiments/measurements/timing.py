"""Timing things in turn, so that their ratios hold while the machine's speed drifts."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Step = Callable[[], Any]


class Budget(NamedTuple):
    """How long to measure: steps a measurement, and rounds in which each thing is measured once."""

    steps: int
    rounds: int

    def for_large_steps(self) -> "Budget":
        """Returns fewer steps, for steps that each take a large part of a second."""
        return self._replace(steps=max(2, self.steps // 40))


def in_turn(budget: Budget, measures: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measures each thing once a round, one after the other; returns their values by round."""
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(budget.rounds)]
    return {name: [values[name] for values in rounds] for name in measures}


def pairs(
    budget: Budget, ours: Callable[[], float], theirs: Callable[[], float]
) -> dict[str, float]:
    """Measures two things in turn, in seconds; the ratio is the median over rounds."""
    found = in_turn(budget, {"ours": ours, "theirs": theirs})
    return {
        "ms": 1e3 * statistics.median(found["ours"]),
        "against ms": 1e3 * statistics.median(found["theirs"]),
        "ratio": ratio(found["ours"], found["theirs"]),
    }


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Returns the median over rounds of one thing's value over another's."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def seconds_each(step: Step, budget: Budget, wait: Callable[[Any], Any] | None = None) -> float:
    """Returns the seconds of a step, after one to warm up; it returns something to wait for.

    `wait` waits for that, by default as JAX does.
    """
    import jax

    wait = wait or jax.block_until_ready
    wait(step())
    begun = time.perf_counter()
    for _ in range(budget.steps):
        ticket = step()
    wait(ticket)
    return (time.perf_counter() - begun) / budget.steps
