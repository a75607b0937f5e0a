"""Figures of arrays of which only the shape and the values are known."""

import numpy as np
from jaxtyping import Num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from library.reporting import notation
from library.reporting.curve_figures import draw_curve
from library.reporting.figures import BLUE, SHADES, blank, styled
from library.reporting.image_figures import image_grid


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
        figure = blank(2.4 if values.ndim == 1 else 3.6, 5.6)
        axes = figure.subplots()
        axes.set_title(notation.printable(title, 60))
        if values.ndim == 1:
            draw_curve(axes, np.arange(len(values)), values.astype(float), color=BLUE)
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
