"""Figures of curves: metrics by step, examples per second, and several runs in one panel."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from library.reporting import notation
from library.reporting.figures import (
    BLUE,
    COLOURS,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    blank,
    styled,
)
from library.reporting.runs import Curve
from library.reporting.seeds import Band

MAX_PANELS = 16
"""The most panels of a figure; only the table shows further metrics."""
_MAX_POINTS = 600
_SPLIT_COLOURS = {"train": BLUE, "test": VERMILLION, "validation": GREEN, "val": GREEN}


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
        figure = blank(0.5 + 2.45 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, (metric, keys) in zip(grid.flat, panels):
            for key in keys:
                draw_curve(axes, *curves[key], **_line(notation.split_name(key), splits))
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


def throughput(seconds: Float[np.ndarray, " n"], rate: Float[np.ndarray, " n"]) -> Figure:
    """Draws examples per second over the time of the run, and their median.

    Args:
      seconds: seconds since the start of the run.
      rate: examples per second.
    """
    unit, scale = next((u, s) for u, s in (("h", 3600), ("min", 60), ("s", 1)) if _long(seconds, s))
    with styled():
        figure = blank(2.3)
        axes = figure.subplots()
        draw_curve(axes, np.asarray(seconds) / scale, rate, color=BLUE)
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
        figure = blank(3.5 + 0.17 * math.ceil(len(labels) / columns))
        panels = figure.subplots(1, max(len(keys), 1), squeeze=False)[0]
        for axes, key in zip(panels, keys):
            for place in reversed(range(len(runs))):
                if key in runs[place][1]:
                    line = _run_line(place, named)
                    steps, values, *ends = runs[place][1][key]
                    draw_curve(axes, steps, values, band=0, **line)
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


def _line(split: str, splits: Sequence[str]) -> dict:
    base = split.removesuffix("_ema")
    others = [s for s in dict.fromkeys(s.removesuffix("_ema") for s in splits)]
    others = [s for s in others if s not in _SPLIT_COLOURS]
    spare = (PURPLE, ORANGE, SKY, INK)
    colour = _SPLIT_COLOURS.get(base) or (BLUE if not base else spare[others.index(base) % 4])
    return {"color": colour, "linestyle": (0, (4, 1.6)) if split.endswith("_ema") else "-"}


def draw_curve(axes: Axes, x, y, band: float = 0.15, **line) -> None:
    """Draws a curve, a long one as means of bins, in a band of their least to greatest values."""
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
