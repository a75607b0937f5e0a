"""What a terminal of 80 columns shows of a run, and what a pipe gets."""

import io
import re

from rich.console import Console

from library.run import progress
from library.run.progress import Display, Pace

ROW = {"train/loss": 0.125, "train/accuracy": 0.9123, "train/examples_per_second": 4000.4}
PACE = Pace(steps_per_second=0.25, seconds_left=3664.0, waiting=0.75, memory=12_300_000_000)


def terminal(width=80):
    return progress.make_console(
        file=io.StringIO(), force_terminal=True, width=width, color_system=None, _environ={}
    )


def bar(display):
    """Returns the bar as a terminal of the console's width shows it."""
    shown = io.StringIO()
    options = dict(width=display.console.width, color_system=None, force_terminal=True)
    Console(file=shown, soft_wrap=True, _environ={}, **options).print(
        display._bar.get_renderable(), end=""
    )
    return shown.getvalue()


def test_the_bar_shows_whole_parts_on_one_line_and_one_time():
    display = Display(terminal(), total=12_000, start=0)
    display.compiled(1)
    display.show(3, ROW, PACE)
    (line,) = bar(display).splitlines()
    assert len(line) <= 80
    assert line.startswith("step      3/12,000 ")
    # Speed, waiting and memory do not fit any more.
    assert line.rstrip().endswith(" 1:01:04 left  loss 0.1250  accuracy 0.9123")
    assert len(re.findall(r"\d:\d\d", line.replace("1:01:04", "1:04"))) == 1


def test_a_wide_terminal_shows_all():
    display = Display(terminal(200), total=12, start=0)
    display.compiled(1)
    display.show(3, ROW, PACE)
    (line,) = bar(display).splitlines()
    ending = "4,000 examples/s  0.25 steps/s  waiting for data 75%  memory 12.3 GB"
    assert line.rstrip().endswith(ending)


def test_compiling_goes_when_it_is_done():
    display = Display(terminal(), total=12, start=4)
    assert bar(display).rstrip().endswith(" compiling")
    # The work that was due before the start does not end the compilation.
    display.show(4, {"test/accuracy": 0.5})
    assert "compiling" in bar(display)
    display.compiled(5)
    assert "compiling" not in bar(display)
    assert "compiling" not in bar(Display(terminal(), total=12, start=12))


def test_lines_of_a_terminal_end_between_words():
    console = terminal(40)
    path = f"/runs/{'long/' * 12}report.html"
    said = f"[yellow]warning:[/] the generator has collapsed: samples differ by 0%\n  {path} done"
    console.print(said, highlight=False)
    lines = console.file.getvalue().splitlines()
    assert lines == [
        "warning: the generator has collapsed:",
        "samples differ by 0%",
        f"  {path}",
        "done",
    ]


def test_an_evaluation_is_a_line_above_the_bar():
    console = terminal(40)
    display = Display(console, total=12, start=0)
    display.show(3, {**ROW, "test/accuracy": 0.5, "test[ema]/loss": 1.25}, PACE)
    lines = console.file.getvalue().splitlines()
    assert lines == ["step 3/12  test/accuracy 0.5000", "test[ema]/loss 1.2500"]


def test_a_pipe_gets_one_line_a_row():
    piped = progress.make_console(file=io.StringIO(), width=40, _environ={})
    display = Display(piped, total=12, start=0)
    with display:
        display.compiled(1)
        for step in (3, 6):
            display.show(step, {**ROW, "test/accuracy": 0.5}, PACE)
    piped.print("warning: " + "word " * 30)
    lines = piped.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("step 3/12  train/loss 0.1250  train/accuracy 0.9123  test/acc")
    assert lines[1].endswith("  0.25 steps/s  1:01:04 left  waiting for data 75%  memory 12.3 GB")
