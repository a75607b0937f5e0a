"""The progress of a run for the user: a live bar on a terminal, lines elsewhere."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

_SHOWN = ("loss", "accuracy", "rmse")


class Timing(NamedTuple):
    """The time of training steps, for the rates in rows, the bar and the summary.

    The first step of each start is left out, because it compiles.

    Attributes:
      steps: number of steps.
      seconds: time of the steps, waits for data included; see `Clock.training`.
      waited: time of the waits for data, in seconds.
    """

    steps: int
    seconds: float
    waited: float

    def since(self, earlier: "Timing") -> "Timing":
        """Returns the steps and the time since an earlier timing."""
        return Timing(*(now - before for now, before in zip(self, earlier)))

    def per_second(self, each: int = 1) -> float | None:
        """Returns the steps per second times `each`, the examples per step; None without steps."""
        return self.steps * each / self.seconds if self.steps and self.seconds > 0 else None

    def waiting(self) -> float | None:
        """Returns the share of the time in which the loop waited for data; None without time."""
        return self.waited / self.seconds if self.seconds > 0 else None


class Pace(NamedTuple):
    """The speed of a run.

    Attributes:
      steps_per_second: the speed since the last row.
      seconds_left: the remaining time of training, at the mean speed of this start, and of
        evaluations.
      waiting: share of the time since the last row in which the loop waited for data.
      memory: bytes in use on the first device; None if the device does not report it.
    """

    steps_per_second: float
    seconds_left: float
    waiting: float
    memory: int | None

    @classmethod
    def of(cls, row: Timing, start: Timing, left: int, evaluating: float) -> "Pace | None":
        """Returns the pace of a run; None if no step was timed.

        Args:
          row: the timing since the last row.
          start: the timing since the first step of this start.
          left: remaining steps.
          evaluating: seconds of the remaining evaluations.
        """
        now, whole = row.per_second(), start.per_second()
        if now is None or whole is None:
            return None
        memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_in_use")
        return cls(now, left / whole + evaluating, row.waiting(), memory)

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        left = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        parts = [f"{self.steps_per_second:.3g} steps/s", f"{left} left"]
        parts += [f"waiting for data {self.waiting:.0%}"]
        parts += [f"memory {self.memory / 1e9:.3g} GB"] if self.memory is not None else []
        return "  ".join(parts)


class Display:
    """Shows a run's progress; used as a context manager."""

    def __init__(self, console: Console, *, total: int, start: int):
        """Prepares the display.

        Args:
          console: the output; the bar is live if it is a terminal.
          total: steps of the run.
          start: steps done before.
        """
        self.console, self.total = console, total
        self._bar = Progress(
            TextColumn("[bold]step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total, completed=start, note="compiling")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Moves the bar to a step."""
        self._bar.update(self._task, completed=step)

    def show(self, step: int, row: Mapping[str, float], pace: Pace | None = None) -> None:
        """Shows a row of metrics: training metrics beside the bar, evaluations as a line.

        Without a bar, every row is a line, which ends with the pace.
        """
        shown = {
            name: f"{name} {value:.4f}"
            for name, value in row.items()
            if name.rpartition("/")[2] in _SHOWN
        }
        rate = row.get("train/examples_per_second")
        if rate:
            shown["train/examples_per_second"] = f"{rate:,.0f} examples/s"
        training = [text for name, text in shown.items() if name.startswith("train/")]
        self._bar.update(self._task, completed=step)
        if pace:
            shown["pace"] = str(pace)
            training.append(shown["pace"])
        if training:
            self._bar.update(self._task, note="  ".join(training))
        if not self.console.is_terminal or len(training) < len(shown):
            line = f"step {step}/{self.total}  {'  '.join(shown.values())}"
            self.console.print(line, highlight=False)
