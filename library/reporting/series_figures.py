"""Figures of models of series."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from library.reporting import figures, notation

_STYLES = ("-", "--", "-.", ":")


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
