"""What a person sees of a run: a live bar on a terminal, a line an interval elsewhere."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_SHOWN = ("loss", "accuracy", "rmse")


class Display:
    """Shows a run's progress; used as a context manager."""

    def __init__(self, console: Console, *, total: int, start: int):
        """Prepares the display.

        Args:
          console: where to write; the bar is live if it is a terminal.
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
            TextColumn("left"),
            TimeRemainingColumn(),
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

    def show(self, step: int, row: Mapping[str, float]) -> None:
        """Shows a row of metrics: those of training beside the bar, evaluations as a line.

        Where there is no bar, every row is a line.
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
        if training:
            self._bar.update(self._task, note="  ".join(training))
        if not self.console.is_terminal or len(training) < len(shown):
            line = f"step {step}/{self.total}  {'  '.join(shown.values())}"
            self.console.print(line, highlight=False)
