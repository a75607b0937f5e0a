"""Early stopping: a run ends before its total when a metric no longer improves.

`sections.EarlyStopping` states when an evaluation counts. The best value, its step and the end are
in the checkpoint, so a resumed run stops at the same step.
"""

from collections.abc import Callable, Mapping
from typing import Any

from library import config
from library.config import ConfigError, nearest
from library.reporting import notation
from library.run.best import Best
from library.run.plan import Plan
from library.run.sections import EarlyStopping, evaluator


class EarlyStop:
    """Decides after each evaluation whether a run ends.

    Attributes:
      ended: the step after which the run ended early, or None.
    """

    def __init__(self, plan: Plan):
        """Starts without a value; the config must have the section `stop`."""
        self._settings = _read(plan)
        self._patience = self._settings.steps(plan.steps, _every(plan, self._settings))
        self._section = [config.plain(plan.recipe.stop), plan.total_steps]
        mode, min_delta = self._settings.direction(), self._settings.min_delta
        self._best = Best(plan.recipe, self._settings.metric, mode, min_delta)
        self.ended: int | None = None

    def ends(self, step: int, row: Mapping[str, float]) -> bool:
        """Takes the row of metrics of a step; returns whether the run ends after this step.

        The same row of the same step gives the same answer if it comes again.
        """
        if self._settings.metric not in row or self._best.improves(step, row):
            return False
        if step - self._best.step >= self._patience:
            self.ended = step
        return self.ended is not None

    def progress(self) -> dict[str, Any]:
        """Returns plain values for a checkpoint."""
        best = {"best": self._best.value, "step": self._best.step, "judged": self._best.judged}
        return {**best, "ended": self.ended, "section": self._section}

    def recall(
        self, kept: Mapping[str, Any] | None, step: int, warn: Callable[[str], None]
    ) -> None:
        """Restores the values of `progress` from a checkpoint.

        A run that ended early and is prolonged gets its patience anew.

        Args:
          kept: the values; None from a run without early stopping, whose patience starts here.
          step: the checkpoint's step.
          warn: shows a line to the user.
        """
        if kept is None or kept["judged"] != self._best.judged:
            self._best.step = step
            if kept is not None and kept["best"] is not None:
                warn(
                    f"the best {self._settings.metric} so far, {kept['best']:.6g}, no longer "
                    "counts: the settings of early stopping have changed"
                )
            return
        self._best.value, self._best.step = kept["best"], kept["step"]
        if kept["ended"] is not None and kept["section"] == self._section:
            self.ended = kept["ended"]
        elif kept["ended"] is not None:
            self._best.step = step

    def summary(self) -> dict[str, Any] | None:
        """Returns why the run ended early, for summary.json; None if it did not."""
        if self.ended is None:
            return None
        found = {"metric": self._settings.metric, "patience": self._settings.patience}
        found |= {"min_delta": self._settings.min_delta, "best": self._best.value}
        return {
            **found,
            "best_step": self._best.step,
            "step": self.ended,
            "total": self._section[1],
        }


def check(plan: Plan, measured: frozenset[str]) -> None:
    """Checks the section `stop` of a plan, if there is one.

    Args:
      plan: the run.
      measured: names of all numbers that the run logs.

    Raises:
      ConfigError: no evaluator measures the metric or only after the last step, its direction is
        unknown, or the patience is no duration or less than one step.
    """
    if plan.recipe.stop is None:
        return
    settings = _read(plan)
    known = sorted(name for name in measured if not name.startswith("train/"))
    if settings.metric not in known:
        hint = nearest(settings.metric, known) if known else "config.evaluate has none"
        raise ConfigError(
            f"stop.metric={settings.metric!r} is not measured by an evaluator: {hint}"
        )
    settings.direction()
    every = _every(plan, settings)
    settings.steps(plan.steps, every)
    if every >= plan.total_steps:
        name = _evaluator_of(settings.metric)
        raise ConfigError(
            f"stop.metric={settings.metric!r} is measured after step {plan.total_steps} only, the "
            f"last one: set evaluate.{name}.every to less, such as '10%'"
        )


def _read(plan: Plan) -> EarlyStopping:
    return config.read(EarlyStopping, plan.recipe.stop, "stop")


def _every(plan: Plan, settings: EarlyStopping) -> int:
    name = _evaluator_of(settings.metric)
    return plan.steps(evaluator(name, plan.recipe.evaluate[name]).every)


def _evaluator_of(metric: str) -> str:
    return notation.split_name(metric).removesuffix("_ema")
