"""The progress of a run for the user: a live bar on a terminal, lines elsewhere."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from rich.cells import cell_len
from rich.console import Console, ConsoleRenderable, RenderHook
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

_SHOWN = ("loss", "accuracy", "rmse")
_BAR, _SHORT_BAR, _WIDE = 30, 12, 110


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

    @property
    def left(self) -> str:
        """The remaining time, such as "1:04 left"."""
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        left = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return f"{left} left"

    @property
    def speed(self) -> str:
        """The steps per second."""
        return f"{self.steps_per_second:.3g} steps/s"

    @property
    def resources(self) -> list[str]:
        """The share of time that the loop waited for data, and the memory in use if known."""
        memory = [] if self.memory is None else [f"memory {self.memory / 1e9:.3g} GB"]
        return [f"waiting for data {self.waiting:.0%}", *memory]

    def __str__(self) -> str:
        return "  ".join([self.speed, self.left, *self.resources])


class _WholeWords(RenderHook):
    """Ends the lines of a terminal between words; a word longer than a line stays whole."""

    def __init__(self, console: Console):
        self._console = console

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [self._wrapped(x) if isinstance(x, Text) else x for x in renderables]

    def _wrapped(self, text: Text) -> Text:
        lines = [
            part
            for line in text.split("\n", allow_blank=True)
            for part in line.divide(_breaks(line.plain, self._console.width))
        ]
        for line in lines:
            line.rstrip()
        joined = Text("\n").join(lines)
        joined.end = text.end
        return joined


def _breaks(line: str, width: int) -> list[int]:
    """Returns the places in a line at which words begin that do not fit before them."""
    found, used, first = [], len(line) - len(line.lstrip()), True
    for word in re.finditer(r"\S+\s*", line):
        if not first and used + cell_len(word[0].rstrip()) > width:
            found.append(word.start())
            used = 0
        used, first = used + cell_len(word[0]), False
    return found


def make_console(**options: Any) -> Console:
    """Returns the console of a program, whose output breaks no word.

    On a terminal, lines end between words. Elsewhere each row is one line of any length.

    Args:
      **options: arguments of `rich.console.Console`.
    """
    # With soft_wrap, rich neither folds nor crops a line.
    console = Console(soft_wrap=True, **options)
    if console.is_terminal:
        console.push_render_hook(_WholeWords(console))
    return console


class _Parts(ProgressColumn):
    """The parts of a note that fit beside the bar, the most important ones first."""

    def __init__(self, console: Console, taken: int):
        super().__init__(table_column=Column(no_wrap=True))
        self._console, self._taken = console, taken

    def render(self, task: Task) -> Text:
        return Text(fitting(task.fields["parts"], self._console.width - self._taken))


def fitting(parts: Iterable[str], width: int) -> str:
    """Joins the first parts of a line that fit together into a width, in columns."""
    line = ""
    for part in parts:
        longer = f"{line}  {part}" if line else part
        if cell_len(longer) > width:
            break
        line = longer
    return line


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
        self._compiling, self._parts = start < total, []
        bar = _BAR if console.width >= _WIDE else _SHORT_BAR
        digits = len(f"{total:,}")
        # Columns have a space between them.
        taken = len("step") + 1 + 2 * digits + 1 + 1 + bar + 1
        self._bar = Progress(
            TextColumn("[bold]step"),
            TextColumn(f"{{task.completed:>{digits},.0f}}/{{task.total:,.0f}}"),
            BarColumn(bar_width=bar),
            _Parts(console, taken),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total, completed=start, parts=self._noted())

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def compiled(self, step: int) -> None:
        """Moves the bar to the first step of a start, which compiles, and no longer says so."""
        self._compiling = False
        self._bar.update(self._task, completed=step, parts=self._noted())

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
        if training:
            self._parts = _ordered(training, pace)
        self._bar.update(self._task, completed=step, parts=self._noted())
        evaluated = len(training) < len(shown)
        if not self.console.is_terminal:
            line = [*shown.values(), *([str(pace)] if pace else [])]
        else:
            line = [text for name, text in shown.items() if not name.startswith("train/")]
        if evaluated or not self.console.is_terminal:
            said = f"step {step}/{self.total}  {'  '.join(line)}"
            self.console.print(said, highlight=False, markup=False, soft_wrap=True)

    def _noted(self) -> list[str]:
        return ["compiling", *self._parts] if self._compiling else self._parts


def _ordered(training: Sequence[str], pace: Pace | None) -> list[str]:
    """Returns the parts of a note, the most important ones first."""
    own = [text.removeprefix("train/") for text in training]
    return [pace.left, *own, pace.speed, *pace.resources] if pace else own
