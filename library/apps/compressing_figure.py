"""A figure and a page of the accuracy, size and FLOPs of a network and its smaller versions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from library import files
from library.reporting import figures, notation, page

HEADER = ("network", "setting", "accuracy", "bytes", "smaller", "numbers", "MFLOPs", "not with 0")
TITLES = {"original": "original", "prune": "pruned", "low_rank": "low rank", "int8": "int8"}
_MARKS = ("*", "o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
_NOTES = (
    "Bytes are those of all weights and statistics. Each array is stored in full or, if that is "
    "smaller, as one bit per element and the elements that are not zero.",
    "MFLOPs of one image count the products and sums of convolutions and matrices. The last column "
    "leaves out those with a zero weight, which only a library for sparse matrices saves.",
)


def cells(row: dict[str, Any]) -> list[str]:
    """Renders a row of `compressing.record`, in the order of HEADER."""
    return [
        notation.printable(TITLES.get(row["method"], row["method"]), 32),
        row["setting"],
        notation.shown("accuracy", row["accuracy"]),
        f"{row['bytes']:,}",
        f"{row['times_smaller']:.2f}x",
        f"{row['numbers']:,}",
        f"{row['flops'] / 1e6:,.3f}",
        f"{row['useful_flops'] / 1e6:,.3f}",
    ]


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Renders a table for the console."""
    table = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in table
    ]


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draws accuracy against bytes and against FLOPs, one line per method, on logarithmic axes.

    The accuracy axis is logarithmic in the error, so that 98 % and 99 % are distinct.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    panels = {"bytes": "bytes", "useful_flops": "FLOPs of an image, without those with a zero"}
    with figures.styled():
        figure = Figure(figsize=(figures.WIDTH, 3.9), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), panels.items()):
            for place, method in enumerate(methods):
                own = sorted((r for r in rows if r["method"] == method), key=lambda r: r[key])
                axes.plot(
                    [row[key] for row in own],
                    [_error(row) for row in own],
                    marker=_MARKS[place % len(_MARKS)],
                    markersize=9 if method == "original" else 5,
                    color=figures.COLOURS[(place - 1) % len(figures.COLOURS)],
                    label=notation.printable(TITLES.get(method, method), 32),
                )
            axes.axhline(_error(rows[0]), color=figures.MUTED, linewidth=0.8, zorder=1)
            axes.set(xscale="log", yscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_title(title)
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 - 100 * v:.4g}%"))
        axes.invert_yaxis()
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=_columns(labels))
    return figure


def _columns(labels: list[str]) -> int:
    """Returns how many of these names fit side by side below two plots."""
    return max(1, min(len(labels), 120 // (8 + max(map(len, labels)))))


def _error(row: dict[str, Any]) -> float:
    return max(1 - row["accuracy"], 1e-5)


def write(folder: Path, title: str, rows: Sequence[dict[str, Any]], notes: Sequence[str]) -> Path:
    """Writes compressed.png and compressed.html; returns the page's path.

    Args:
      folder: the folder, created if it does not exist.
      title: the title of the page.
      rows: rows of `compressing.record`, the original network first.
      notes: paragraphs under the title.
    """
    picture = figures.png(draw(rows))
    files.write(folder / "compressed.png", picture)
    header = page.tag("header", page.tag("h1", title), *(page.tag("p", note) for note in notes))
    drawn = page.section(
        "Accuracy against size",
        page.figure(picture, "", scale=figures.SCALE),
        page.table(HEADER, [cells(row) for row in rows], numeric=range(2, len(HEADER))),
        *(page.tag("p", note, class_="under") for note in _NOTES),
    )
    return files.write(folder / "compressed.html", page.render(title, header, drawn))
