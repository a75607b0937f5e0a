"""The best value of a metric so far. It decides the best checkpoint, and when a run stops early."""

import json
from collections.abc import Mapping
from typing import Any

from library import config
from library.reporting import notation
from library.run.sections import Recipe


class Best:
    """The best value so far of a metric of an evaluator.

    Attributes:
      value: the best value; None before the first finite one.
      step: the step of the best value, 0 before the first one.
      judged: the settings that determine the best value, as JSON values.
    """

    def __init__(
        self,
        recipe: Recipe,
        metric: str | None,
        mode: notation.Direction | None,
        min_delta: float = 0.0,
    ):
        """Starts without a value.

        Args:
          recipe: the run's config.
          metric: the metric, such as "test/accuracy"; None never has a value.
          mode: whether the "max" or the "min" is best.
          min_delta: a better value counts if it is better by more than this.
        """
        self.value: float | None = None
        self.step = 0
        self.judged = _judged(recipe, metric, mode)
        self._metric, self._mode = metric, mode
        self._margin = -min_delta if mode == "min" else min_delta

    def improves(self, step: int, row: Mapping[str, float]) -> bool:
        """Takes the metric of a row of metrics; returns whether it is the best value so far."""
        value = row.get(self._metric)
        bound = None if self.value is None else self.value + self._margin
        if value is None or not notation.is_better(value, bound, self._mode):
            return False
        self.value, self.step = value, step
        return True


def _judged(recipe: Recipe, metric: str | None, mode: notation.Direction | None) -> list[Any]:
    name = notation.split_name(metric or "").removesuffix("_ema")
    spec = {k: v for k, v in recipe.evaluate.get(name, {}).items() if k != "every"}
    split = recipe.splits.get(spec.get("split"))
    return json.loads(json.dumps(config.plain([metric, mode, spec, split])))
