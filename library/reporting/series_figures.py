"""Figures of models of series."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from library.reporting import figures, notation

_STYLES = ("-", "--", "-.", ":")


def is_forecast(key: str, values: np.ndarray) -> bool:
    """Returns whether an array is one of `forecast`, by its name and shape."""
    named = key.rpartition("/")[2] == "forecast"
    return named and values.ndim == 3 and values.shape[0] > 0 and values.shape[1] >= 4


def forecast(values: Float[np.ndarray, "m r t"]) -> Figure:
    """Draws windows of a series, a panel each, with the median and the interval of the forecast.

    Args:
      values: the series in the first row, then quantiles, from the lowest to the highest, which are
        nan where the series is known.
    """
    with figures.styled():
        figure = Figure(figsize=(5.6, 1.6 * len(values)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(values), sharex=True, squeeze=False)[:, 0]
        for axes, (series, *quantiles) in zip(panels, values):
            steps = np.arange(len(series)) - np.isnan(quantiles[0]).sum() + 1
            axes.fill_between(
                steps, quantiles[0], quantiles[-1], color=figures.BLUE, alpha=0.25, linewidth=0
            )
            axes.plot(steps, quantiles[len(quantiles) // 2], color=figures.BLUE, label="forecast")
            axes.plot(steps, series, color=figures.INK, linewidth=1, label="series")
        panels[-1].set_xlabel("steps after the last that is known")
        panels[0].legend(loc="upper left")
    return figure


def gradient_norms(norms: Mapping[str, Float[np.ndarray, " t"]]) -> Figure:
    """Draws the gradient of the loss by how far a step is from the last, a curve for each model.

    The norms are on a logarithmic axis: a gradient that vanishes at a constant rate is a straight
    line. Norms of 0 are left out.

    Args:
      norms: the norm by distance for each model, NaN where there is none.
    """
    with figures.styled():
        figure = Figure(figsize=(5.6, 2.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for place, (name, values) in enumerate(norms.items()):
            shown = np.where(values > 0, values, np.nan).astype(float)
            style = _STYLES[place % len(_STYLES)]
            colour = figures.COLOURS[place % len(figures.COLOURS)]
            label = notation.printable(name, 40)
            axes.plot(np.arange(len(values)), shown, style, color=colour, label=label)
        axes.set_yscale("log")
        axes.set_xlabel("steps before the last")
        axes.set_ylabel("gradient norm")
        if len(norms) > 1:
            axes.legend()
    return figure
