"""Figures of training, evaluation and data, drawn from plain arrays.

They use Matplotlib's object interface with the Agg canvas, in this project's style: without a
display, a figure registry or the user's settings. The colours are those of Okabe and Ito (Color
Universal Design, 2008), which are distinct under the common colour-vision deficiencies. A line
style, a mark or a word always repeats the information of a colour.
"""

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Int, Num, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from library import files
from library.reporting import mosaic as mosaics
from library.reporting import notation
from library.reporting.runs import Curve
from library.reporting.seeds import Band
from library.summaries import expected_calibration_error

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, INK, MUTED, FAINT = "#56B4E9", "#E69F00", "#2b2f33", "#6b7075", "#e4e6e8"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
SHADES = LinearSegmentedColormap.from_list(
    "shades", ["#ffffff", "#d3e6f3", "#85bbdc", "#2f86bf", "#0b4f83", "#06243f"], N=256
).with_extremes(bad="#efefef")
WIDTH, DPI = 8.0, 150
SCALE = 0.8
"""CSS pixels per pixel of these figures: their letters have the size of the page's letters."""
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    # Labels come from data: a dollar sign in a class name does not start a formula.
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#b9bdc1",
    "axes.linewidth": 0.8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.color": "#b9bdc1",
    "ytick.color": "#b9bdc1",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

MAX_PANELS = 16
"""The most panels of a figure; only the table shows further metrics."""
_MAX_POINTS = 600
_SPLIT_COLOURS = {"train": BLUE, "test": VERMILLION, "validation": GREEN, "val": GREEN}


@contextlib.contextmanager
def styled(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Sets this project's style, without the user's settings of matplotlib, for a block of code.

    Args:
      changes: settings that extend or replace those of `STYLE`.
    """
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    with matplotlib.rc_context():
        matplotlib.rcParams.update({**defaults, **STYLE, **(changes or {})})
        yield


def failed(what: str, error: Exception) -> str:
    """Warns that a figure could not be drawn, and returns the line that replaces it."""
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    said = f"{what} could not be drawn: {notation.printable(reason, 200)}"
    warnings.warn(said, stacklevel=3)
    return said


def save(figure: Figure, path: str | os.PathLike) -> Path:
    """Writes a figure as a PNG file, and replaces an old file in one operation."""
    return files.write(Path(path), png(figure))


def png(figure: Figure) -> bytes:
    """Renders a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes; the tables show such class names.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _blank(height: float, width: float = WIDTH, layout: str | None = "constrained") -> Figure:
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def learning_curves(
    curves: Mapping[str, Curve], steps_per_epoch: float | None = None, told: str | None = None
) -> Figure:
    """Draws one panel per metric, the losses first; colours show the split, dashes the EMA weights.

    Args:
      curves: steps and values by key, such as "train/loss" or "test_ema/accuracy".
      steps_per_epoch: if given, adds an axis in epochs.
      told: the key of the run's main metric, whose panel comes after the losses.
    """
    panels = metric_panels(curves, told)[:MAX_PANELS]
    columns = min(2, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    splits = list(dict.fromkeys(notation.split_name(k) for _, keys in panels for k in keys))
    with styled():
        figure = _blank(0.5 + 2.45 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, (metric, keys) in zip(grid.flat, panels):
            for key in keys:
                _draw_curve(axes, *curves[key], **_line(notation.split_name(key), splits))
            axes.set_xlim(_steps(curves.values()))
            _finish_curves(axes, keys[0], metric, steps_per_epoch)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        if splits and splits != [""]:
            handles = [Line2D([], [], **_line(s, splits)) for s in splits]
            labels = [split.replace("_ema", " (EMA)") or "run" for split in splits]
            figure.legend(handles, labels, loc="outside upper right", ncols=min(len(splits), 5))
    return figure


def metric_panels(
    keys: Sequence[str] | Mapping[str, Curve], told: str | None = None
) -> list[tuple[str, list[str]]]:
    """Groups keys by metric, such as [("loss", ["train/loss", "test/loss"]), ...].

    The losses come first, such as "generator_loss". Then come the metric of `told`, the other
    metrics of its evaluator, and metrics of data that the run does not train on. Flags, which are
    always 0 or 1, come last.
    """
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(notation.metric_name(key), []).append(key)
    measured = _evaluator(told) if told else None

    def rank(metric):
        held_out = any(not key.startswith("train") and "/" in key for key in groups[metric])
        return (
            not metric.endswith("loss"),
            metric != "loss",
            told is None or metric != notation.metric_name(told),
            isinstance(keys, Mapping) and all(_is_flag(k, keys[k]) for k in groups[metric]),
            all(_evaluator(key) != measured for key in groups[metric]),
            not held_out,
            "accuracy" not in metric,
            metric,
        )

    def split_rank(key):
        return (not key.startswith("train"), "_ema" in key, key)

    return [(metric, sorted(groups[metric], key=split_rank)) for metric in sorted(groups, key=rank)]


def _evaluator(key: str) -> str:
    return notation.split_name(key).removesuffix("_ema")


def _is_flag(key: str, curve: Curve) -> bool:
    return not notation.is_judged(key) and bool(np.isin(curve[1], (0, 1)).all())


def _line(split: str, splits: Sequence[str]) -> dict:
    base = split.removesuffix("_ema")
    others = [s for s in dict.fromkeys(s.removesuffix("_ema") for s in splits)]
    others = [s for s in others if s not in _SPLIT_COLOURS]
    spare = (PURPLE, ORANGE, SKY, INK)
    colour = _SPLIT_COLOURS.get(base) or (BLUE if not base else spare[others.index(base) % 4])
    return {"color": colour, "linestyle": (0, (4, 1.6)) if split.endswith("_ema") else "-"}


def _draw_curve(axes: Axes, x, y, band: float = 0.15, **line) -> None:
    """Draws a curve; a long curve as means of bins, in a band of their least to greatest values."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, float)[finite], np.asarray(y, float)[finite]
    if len(x) > _MAX_POINTS:
        edges = np.linspace(0, len(x), 201).astype(int)[:-1]
        counts = np.diff(np.append(edges, len(x)))
        low, high = np.minimum.reduceat(y, edges), np.maximum.reduceat(y, edges)
        x, y = np.add.reduceat(x, edges) / counts, np.add.reduceat(y, edges) / counts
        if band:
            axes.fill_between(x, low, high, color=line["color"], alpha=band, linewidth=0)
    few = len(x) <= 12
    axes.plot(x, y, marker="o" if few else None, markersize=3.2, **line)


def _steps(curves: Iterable[Curve]) -> tuple[float, float]:
    """Returns the limits of the steps of all panels, with a small margin at both ends."""
    steps = np.concatenate([np.asarray(x, float) for x, _ in curves] or [np.zeros(1)])
    first, last = (float(steps.min()), float(steps.max())) if len(steps) else (0.0, 1.0)
    room = 0.02 * (last - first) or 1.0
    return first - room, last + room


def _finish_curves(axes: Axes, key: str, title: str, steps_per_epoch: float | None) -> None:
    axes.set_title(notation.printable(title.replace("_", " "), 48))
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    _scale_values(axes, key)
    left, right = axes.get_xlim()
    if steps_per_epoch and right - left > 0.2 * steps_per_epoch:
        above = axes.secondary_xaxis(
            "top", functions=(lambda s: s / steps_per_epoch, lambda e: e * steps_per_epoch)
        )
        above.xaxis.set_major_locator(MaxNLocator(6))
        above.xaxis.set_major_formatter(FuncFormatter(_short))
        above.spines["top"].set_visible(False)
        above.tick_params(length=0, pad=1)
        axes.annotate(
            "epoch",
            (1, 1),
            xytext=(0, 15),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            color=MUTED,
        )


def _scale_values(axes: Axes, key: str) -> None:
    drawn = [line.get_ydata() for line in axes.get_lines()]
    values = np.concatenate(drawn) if drawn else np.array([])
    if not len(values):
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=MUTED)
        return
    if notation.is_share(key):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}%"))
    elif values.min() > 0 and values.max() > 30 * np.median(values):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _=None) -> str:
    """Renders 1500 as "1.5k" and 2000000 as "2M"."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"


def confusion_matrix(
    counts: Num[np.ndarray, "c c"], label_names: Sequence[str] | None = None
) -> Figure:
    """Draws the share of each true class (row) that was predicted as each class (column).

    With up to 12 classes the cells show percentages. With up to 40 classes the axes show names.
    With more, a list beside the matrix names the classes that are confused most. With more than 200
    classes, cells are means over blocks.

    Args:
      counts: number of examples by true and predicted class.
      label_names: c names; numbers by default.
    """
    counts = np.asarray(counts, float)
    classes = len(counts)
    names = _names(label_names, classes)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    with styled({"axes.grid": False}):
        if classes <= 40:
            size = float(np.clip(2.0 + 0.4 * classes, 3.4, 8.0))
            figure = _blank(size * 0.88, size if classes > 2 else 3.8)
            _draw_matrix(figure.subplots(), shares, names)
        else:
            figure = _blank(4.3)
            left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
            _draw_blocks(left, counts, shares)
            _draw_confused(right, counts, shares, names)
    return figure


def _names(label_names, classes: int) -> list[str]:
    named = label_names is not None and len(label_names) == classes
    return [notation.printable(n) for n in label_names] if named else [*map(str, range(classes))]


def _draw_matrix(axes: Axes, shares, names: Sequence[str]) -> None:
    classes = len(names)
    axes.imshow(np.ma.masked_invalid(shares), cmap=SHADES, norm=PowerNorm(0.5, 0, 1))
    size = 8 if classes <= 20 else 5.5
    short = [notation.printable(name, 18) for name in names]
    longest = max(map(len, short))
    turn = 0 if longest * classes <= 34 else 90 if classes > 14 else 45
    place = {0: ("center", "top"), 45: ("right", "center"), 90: ("right", "center")}[turn]
    axes.set_xticks(range(classes), short, size=size, rotation=turn, rotation_mode="anchor")
    for label in axes.get_xticklabels():
        label.set(ha=place[0], va=place[1])
    axes.set_yticks(range(classes), short, size=size)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    if classes > 12:
        return
    for row, column in np.ndindex(classes, classes):
        share = shares[row, column]
        if np.isfinite(share) and share >= 0.0005:
            colour = "white" if share > 0.24 else INK
            text = f"{100 * share:.1f}" if classes <= 10 else f"{100 * share:.0f}"
            axes.text(column, row, text, ha="center", va="center", size=7.5, color=colour)


def _draw_blocks(axes: Axes, counts, shares) -> None:
    classes = len(counts)
    block = math.ceil(classes / 200)
    if block > 1:
        edges = np.arange(0, classes, block)
        filled = np.add.reduceat(np.add.reduceat(np.nan_to_num(shares), edges, 0), edges, 1)
        shares = filled / np.diff(np.append(edges, classes))[:, None]
    image = axes.imshow(
        np.ma.masked_invalid(shares),
        cmap=SHADES,
        norm=PowerNorm(0.35, 0, 1),
        extent=(-0.5, classes - 0.5, classes - 0.5, -0.5),
        interpolation="nearest",
        aspect="auto",
    )
    title = f"{classes} classes" + (f", {block} x {block} to a cell" if block > 1 else "")
    axes.set_title(title)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, ticks=(0, 0.01, 0.1, 0.5, 1))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g}%"))
    bar.outline.set_visible(False)


def _draw_confused(axes: Axes, counts, shares, names: Sequence[str], most: int = 14) -> None:
    off = counts * (1 - np.eye(len(counts)))
    order = np.argsort(-off, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(i, off.shape) for i in order if off.flat[i] > 0]
    axes.set_title("confused most often: true → predicted")
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(most - 0.3, -0.7))
    widest = max((shares[pair] for pair in pairs), default=1)
    for row, (true, guess) in enumerate(pairs):
        share = shares[true, guess]
        axes.barh(row + 0.27, 0.8 * share / widest, height=0.22, color=BLUE)
        text = f"{notation.printable(names[true], 20)} → {notation.printable(names[guess], 20)}"
        axes.text(0, row + 0.06, text, va="bottom", size=7.5)
        axes.text(0.8 * share / widest + 0.02, row + 0.27, _percent(share), va="center", size=7)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.1f}%"


def class_accuracy(
    counts: Num[np.ndarray, "c c"], label_names: Sequence[str] | None = None
) -> Figure:
    """Draws the accuracy of each true class, the worst first.

    With more than 30 classes it draws a profile of all classes, and names the worst and the best.

    Args:
      counts: number of examples by true and predicted class.
      label_names: c names; numbers by default.
    """
    counts = np.asarray(counts, float)
    totals, names = counts.sum(1), _names(label_names, len(counts))
    seen = np.flatnonzero(totals > 0)
    recall = np.diag(counts)[seen] / totals[seen]
    order = np.argsort(recall, kind="stable")
    recall, names = recall[order], [names[i] for i in seen[order]]
    mean = float(np.diag(counts).sum() / max(totals.sum(), 1))
    with styled({"axes.grid": False}):
        if len(recall) <= 30:
            figure = _blank(0.8 + 0.21 * max(len(recall), 2), 6.4)
            _draw_class_bars(figure.subplots(), recall, names, mean)
            return figure
        figure = _blank(3.6)
        left, worst, best = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
        left.fill_between(np.arange(len(recall)), recall, color=BLUE, alpha=0.25, linewidth=0)
        left.plot(recall, color=BLUE)
        left.axhline(mean, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        left.set(xlabel="classes, worst first", ylim=(0, 1), xlim=(0, len(recall) - 1))
        left.set_title(f"all {len(recall)} classes (dashed: overall)")
        left.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}%"))
        _draw_class_bars(worst, recall[:12], names[:12])
        worst.set_title("worst")
        _draw_class_bars(best, recall[:-13:-1], names[:-13:-1])
        best.set_title("best")
    return figure


def _draw_class_bars(axes: Axes, recall, names: Sequence[str], mean: float | None = None) -> None:
    rows = np.arange(len(recall))
    axes.barh(rows, recall, height=0.66, color=BLUE)
    for row, value in zip(rows, recall):
        axes.text(1.02, row, f"{100 * value:.1f}%", va="center", size=7, color=MUTED)
    axes.set_yticks(rows, [notation.printable(name, 20) for name in names], size=7.5)
    axes.set_xticks([])
    axes.set(xlim=(0, 1.16), ylim=(len(recall) - 0.4, -0.6))
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(length=0)
    if mean is not None:
        axes.axvline(mean, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_title(f"accuracy by true class (dashed: overall, {100 * mean:.2f}%)")


def reliability(sums: Float[np.ndarray, "3 bins"]) -> Figure:
    """Draws accuracy by confidence, and the number of predictions in each bin.

    Args:
      sums: the summed confidence, the summed correctness and the count, by bin of confidence, with
        bins of equal width over [0, 1].
    """
    confidence, correct, count = np.asarray(sums, float)[:3]
    bins, used = len(count), np.asarray(count) > 0
    centre, width = (np.arange(bins) + 0.5) / bins, 1 / bins
    accuracy = np.divide(correct, count, out=np.zeros(bins), where=used)
    mean = np.divide(confidence, count, out=np.zeros(bins), where=used)
    with styled():
        figure = _blank(4.6, 4.6)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
        top.bar(centre[used], accuracy[used], width * 0.92, color=SKY, label="accuracy")
        top.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
        top.plot(
            mean[used], accuracy[used], "o", color=INK, ms=4, clip_on=False, label="mean confidence"
        )
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        top.set_title(f"calibration error {100 * expected_calibration_error(sums):.2f}%")
        top.legend(loc="upper left")
        bottom.bar(centre, count / max(count.sum(), 1), width * 0.92, color=MUTED)
        bottom.set(xlabel="confidence", ylabel="share")
        for axis in (top.xaxis, top.yaxis, bottom.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}%"))
    return figure


def prediction_grid(
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n k"],
    label_names: Sequence[str] | None = None,
    *,
    columns: int = 8,
) -> Figure:
    """Draws samples, and below each its predicted class, the probability and, if wrong, the truth.

    Args:
      images: one image per sample, uint8 or floats in [0, 1].
      labels: true classes.
      probabilities: predicted class probabilities.
      label_names: k names; numbers by default.
      columns: samples per row.
    """
    names = _names(label_names, probabilities.shape[1])
    letters = 128 // columns

    def caption(axes, i, x, y):
        guess, label = int(probabilities[i].argmax()), int(labels[i])
        right, share = guess == label, _percent(float(probabilities[i, guess]))
        text = notation.printable(names[guess], letters - len(share) - 2)
        mark, colour = ("✓", BLUE) if right else ("✗", VERMILLION)
        axes.text(x, y + 0.13, f"{mark} {text}, {share}", size=6.5, color=colour, va="center")
        if not right:
            true = names[label] if 0 <= label < len(names) else label
            text = notation.printable(f"is {true}", letters)
            axes.text(x, y + 0.28, text, size=6.5, color=MUTED, va="center")

    wrong = np.any(probabilities.argmax(1) != labels)
    return _draw_grid(images, columns, 0.4 if wrong else 0.26, caption)


def image_grid(
    images: UInt8[np.ndarray, "n h w c"],
    *,
    probabilities: Float[np.ndarray, "n k"] | None = None,
    label_names: Sequence[str] | None = None,
    columns: int = 8,
) -> Figure:
    """Draws images in rows, and below each its five most probable classes, if given.

    Args:
      images: uint8 or floats in [0, 1]; one or three channels.
      probabilities: predicted class probabilities; with them a row has at most 4 images.
      label_names: k names; numbers by default.
      columns: images per row.
    """
    if probabilities is None:
        return _draw_grid(images, columns, 0.0, lambda *_: None)
    names = _names(label_names, probabilities.shape[1])
    columns = min(columns, 4)
    room = (WIDTH - 0.12 * columns) / columns

    def caption(axes, i, x, y):
        order = np.argsort(-probabilities[i], kind="stable")[:5]
        for place, guess in enumerate(order):
            share, top = float(probabilities[i, guess]), y + 0.08 + 0.17 * place
            bar = Rectangle((x, top), room * share, 0.14, color=SKY, alpha=0.55, linewidth=0)
            axes.add_patch(bar)
            name = notation.printable(names[guess], int(room * 11))
            axes.text(x + 0.03, top + 0.075, name, size=7, va="center")
            axes.text(x + room, top + 0.075, _percent(share), size=7, va="center", ha="right")

    return _draw_grid(images, columns, 1.0, caption)


def mosaic(rows: UInt8[np.ndarray, "n k h w c"], names: Sequence[str] | None = None) -> Figure:
    """Draws rows of images side by side, with the name of each row at its left, if given."""
    picture = mosaics.mosaic(rows)
    left = 0.95 if names else 0.0
    tile = min((WIDTH - left) / rows.shape[1], 1.1)
    width = tile * rows.shape[1]
    height = width * picture.shape[0] / picture.shape[1]
    with styled():
        figure = _blank(height, left + width, layout=None)
        axes = figure.add_axes((left / (left + width), 0, width / (left + width), 1))
        axes.imshow(_pixels(picture), cmap="gray", vmin=0, vmax=1, aspect="auto")
        axes.set_axis_off()
        for i, name in enumerate(names or ()):
            middle = 1 - (i + 0.5) / len(rows)
            figure.text(0, middle, notation.printable(name, 16), size=8, color=MUTED, va="center")
    return figure


def captioned(images: UInt8[np.ndarray, "n *k h w c"], captions: Sequence[str]) -> Figure:
    """Draws images, or rows of images, with a caption below each.

    Args:
      images: (n, h, w, c), which are drawn three in a row; or (n, k, h, w, c), a row each.
      captions: n captions.
    """

    def caption(axes, i, x, y):
        text = notation.printable(captions[i], 44)
        axes.text(x, y + 0.12, text, size=8, color=MUTED, va="center")

    if images.ndim == 4:
        return _draw_grid(images, min(len(images), 3), 0.2, caption, across=3)
    joined = np.concatenate([mosaics.mosaic(row[None])[None] for row in images])
    return _draw_grid(joined, 1, 0.2, caption, across=1)


def augmentation_grid(images: UInt8[np.ndarray, "n k h w c"], *, rows: int = 8) -> Figure:
    """Draws each original image and, to its right, its augmented views.

    Args:
      images: k images per example, the original first.
      rows: the most examples to draw.
    """
    images = np.asarray(images)[:rows, :10]
    views = images.shape[1]

    def caption(axes, i, x, y):
        pass

    figure = _draw_grid(
        images.reshape(-1, *images.shape[2:]), views, 0.0, caption, after_first=0.14, above=0.24
    )
    axes, tile = figure.axes[0], (WIDTH - 0.14) / max(views, 6)
    with styled():
        axes.text(0, 0.1, "original", size=8, color=MUTED, va="center")
        if views > 1:
            axes.text(tile + 0.14, 0.1, "augmented views", size=8, color=MUTED, va="center")
    return figure


def _draw_grid(
    images, columns, room, caption, *, after_first=0.0, above=0.0, across=None
) -> Figure:
    """Draws a grid of images, in inches, with `room` below each for `caption(axes, i, x, y)`.

    An image takes the width of `across` columns, or of more if there are more columns.
    """
    images = np.asarray(images)
    columns = max(columns, 1)
    gap = 0.12
    tile = (WIDTH - after_first) / max(columns, across or (6 if room < 1 else 4))
    side = tile - gap
    tall = side * images.shape[1] / images.shape[2] if images.ndim == 4 else side
    rows = max(1, math.ceil(len(images) / columns))
    height = above + rows * (tall + room + gap)
    used = min(columns, max(len(images), 1))
    width = max(used * tile + after_first, 2.0)
    with styled():
        figure = _blank(height, width, layout=None)
        axes = figure.add_axes((0, 0, 1, 1))
        for i, image in enumerate(images):
            row, column = divmod(i, columns)
            x = column * tile + (after_first if column else 0)
            y = above + row * (tall + room + gap)
            axes.imshow(
                _pixels(image), cmap="gray", vmin=0, vmax=1, extent=(x, x + side, y + tall, y)
            )
            caption(axes, i, x, y + tall)
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        axes.set_axis_off()
    return figure


def _pixels(image) -> np.ndarray:
    """Returns an image as floats in [0, 1], (h, w) or (h, w, 3)."""
    image = np.asarray(image)
    image = image / 255.0 if image.dtype == np.uint8 else image.astype(float)
    image = np.clip(np.nan_to_num(image), 0, 1)
    return image[..., 0] if image.shape[-1] in (1, 2) else image[..., :3]


def throughput(seconds: Float[np.ndarray, " n"], rate: Float[np.ndarray, " n"]) -> Figure:
    """Draws examples per second over the time of the run, and their median.

    Args:
      seconds: seconds since the start of the run.
      rate: examples per second.
    """
    unit, scale = next((u, s) for u, s in (("h", 3600), ("min", 60), ("s", 1)) if _long(seconds, s))
    with styled():
        figure = _blank(2.3)
        axes = figure.subplots()
        _draw_curve(axes, np.asarray(seconds) / scale, rate, color=BLUE)
        middle = float(np.nanmedian(rate)) if len(rate) else 0.0
        axes.axhline(middle, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_title(f"examples per second (dashed: median, {notation.number(round(middle))})")
        axes.set_xlabel(f"time ({unit})")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        axes.yaxis.set_major_formatter(FuncFormatter(_short))
    return figure


def _long(seconds, unit: int) -> bool:
    return unit == 1 or (len(seconds) > 0 and float(np.max(seconds)) > 2 * unit)


def compared(
    runs: Sequence[tuple[str, Mapping[str, Curve | Band]]], keys: Sequence[str], *, named: int = 7
) -> Figure:
    """Overlays the same metrics of several runs, one panel per metric.

    Args:
      runs: names and curves of the runs, the best run first; a `Band` for several seeds.
      keys: the metrics.
      named: number of the best runs that have a colour and a name; the others are grey.
    """
    labels = [notation.printable(name, 100) for name, _ in runs[:named]]
    if len(runs) > named:
        labels.append(f"{len(runs) - named} other runs")
    columns = 1 if max(map(len, labels), default=0) > 45 else 2
    with styled():
        handles = [Line2D([], [], **_run_line(i, named)) for i in range(len(labels))]
        figure = _blank(3.5 + 0.17 * math.ceil(len(labels) / columns))
        panels = figure.subplots(1, max(len(keys), 1), squeeze=False)[0]
        for axes, key in zip(panels, keys):
            for place in reversed(range(len(runs))):
                if key in runs[place][1]:
                    line = _run_line(place, named)
                    steps, values, *ends = runs[place][1][key]
                    _draw_curve(axes, steps, values, band=0, **line)
                    if ends and place < named:
                        axes.fill_between(
                            steps, *ends, color=line["color"], alpha=0.15, linewidth=0
                        )
            axes.set_xlim(_steps([c[k][:2] for _, c in runs for k in keys if k in c]))
            _finish_curves(axes, key, key, None)
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=7.5)
    return figure


def _run_line(place: int, named: int) -> dict:
    if place >= named:
        return {"color": "#c4c8cc", "linewidth": 0.7, "zorder": 1.5}
    styles = ("-", "-", "-", "-", (0, (4, 1.6)), (0, (4, 1.6)), (0, (1, 1)))
    colour, style = COLOURS[place % len(COLOURS)], styles[place % len(styles)]
    return {"color": colour, "linestyle": style, "zorder": 3 + (named - place) / 100}


def array(values: Num[np.ndarray, "..."], title: str) -> Figure | None:
    """Draws an array of unknown meaning: images, a matrix or a curve; returns None for others.

    Args:
      values: (n, h, w, 1 or 3) uint8 or in [0, 1]; (rows, columns); or (n,).
      title: the title of the figure.
    """
    values = np.asarray(values)
    if not values.size or values.dtype.kind not in "biuf" or not np.isfinite(values).any():
        return None
    if is_images(values):
        return image_grid(values[:64])
    if values.ndim not in (1, 2) or values.shape[-1] < 2 or len(values) < 2:
        return None
    with styled({"axes.grid": values.ndim == 1}):
        figure = _blank(2.4 if values.ndim == 1 else 3.6, 5.6)
        axes = figure.subplots()
        axes.set_title(notation.printable(title, 60))
        if values.ndim == 1:
            _draw_curve(axes, np.arange(len(values)), values.astype(float), color=BLUE)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            return figure
        image = axes.imshow(np.ma.masked_invalid(values.astype(float)), cmap=SHADES, aspect="auto")
        axes.figure.colorbar(image, ax=axes).outline.set_visible(False)
    return figure


def is_images(values: np.ndarray) -> bool:
    """Returns whether an array is a stack of images: (n, h, w, 1 or 3), uint8 or in [0, 1]."""
    if values.ndim != 4 or values.shape[-1] not in (1, 3) or min(values.shape[1:3]) < 4:
        return False
    if values.dtype == np.uint8:
        return True
    return values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1
