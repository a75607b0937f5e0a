"""Figures of words in the plane."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from library.reporting import figures, notation


def is_layout(values: np.ndarray, words: np.ndarray | None) -> bool:
    """Returns whether an array is places in the plane, (n, 2), and `words` their n names."""
    places = values.ndim == 2 and values.shape[1] == 2 and values.dtype.kind == "f"
    return places and words is not None and words.dtype.kind == "U" and len(words) == len(values)


def labelled_points(places: Float[np.ndarray, "n 2"], words: np.ndarray) -> Figure:
    """Draws each word at its place, without axes: only distances have a meaning."""
    with figures.styled({"axes.grid": False}):
        figure = figures.blank(7.0)
        axes = figure.subplots()
        axes.axis("off")
        axes.scatter(*places.T, s=4, color=figures.BLUE)
        for place, word in zip(places, words):
            name = notation.printable(str(word), 30)
            axes.annotate(name, place, xytext=(2, 2), textcoords="offset points", fontsize=6.5)
    return figure
