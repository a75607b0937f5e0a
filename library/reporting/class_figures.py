"""Figures of what a classifier gets right: by class, by pairs of classes and by confidence."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from library.reporting import notation
from library.reporting.figures import BLUE, INK, MUTED, SHADES, SKY, blank, styled
from library.summaries import expected_calibration_error


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
    names = notation.class_names(label_names, classes)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    with styled({"axes.grid": False}):
        if classes <= 40:
            size = float(np.clip(2.0 + 0.4 * classes, 3.4, 8.0))
            figure = blank(size * 0.88, size if classes > 2 else 3.8)
            _draw_matrix(figure.subplots(), shares, names)
        else:
            figure = blank(4.3)
            left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
            _draw_blocks(left, counts, shares)
            _draw_confused(right, counts, shares, names)
    return figure


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
        axes.text(
            0.8 * share / widest + 0.02, row + 0.27, notation.percent(share), va="center", size=7
        )


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
    totals = counts.sum(1)
    recall = np.divide(np.diag(counts), totals, out=np.full(len(counts), np.nan), where=totals > 0)
    mean = float(np.diag(counts).sum() / max(totals.sum(), 1))
    return class_shares(recall, label_names, mean, ("accuracy by true class", "overall"))


def class_shares(
    shares: Float[np.ndarray, " c"],
    label_names: Sequence[str] | None,
    mean: float,
    words: tuple[str, str],
) -> Figure:
    """Draws a share in [0, 1] of each class, the worst first, and a mean.

    With more than 30 classes it draws a profile of all classes, and names the worst and the best.

    Args:
      shares: one share a class; classes whose share is nan are left out.
      label_names: c names; numbers by default.
      mean: the mean.
      words: what a share is, and what the mean is.
    """
    names, seen = notation.class_names(label_names, len(shares)), np.flatnonzero(~np.isnan(shares))
    order = seen[np.argsort(shares[seen], kind="stable")]
    shares, names = shares[order], [names[i] for i in order]
    with styled({"axes.grid": False}):
        if len(shares) <= 30:
            figure = blank(0.8 + 0.21 * max(len(shares), 2), 6.4)
            axes = figure.subplots()
            _draw_class_bars(axes, shares, names, mean)
            axes.set_title(f"{words[0]} (dashed: {words[1]}, {100 * mean:.2f}%)")
            return figure
        figure = blank(3.6)
        left, worst, best = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
        left.fill_between(np.arange(len(shares)), shares, color=BLUE, alpha=0.25, linewidth=0)
        left.plot(shares, color=BLUE)
        left.axhline(mean, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        left.set(xlabel="classes, worst first", ylim=(0, 1), xlim=(0, len(shares) - 1))
        left.set_title(f"all {len(shares)} classes (dashed: {words[1]})")
        left.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}%"))
        _draw_class_bars(worst, shares[:12], names[:12])
        worst.set_title("worst")
        _draw_class_bars(best, shares[:-13:-1], names[:-13:-1])
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
        figure = blank(4.6, 4.6)
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
