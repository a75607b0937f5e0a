"""The figure of errors by true value."""

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from library.reporting import figures


def is_error_by_value(key: str, values: np.ndarray) -> bool:
    """Returns whether an array is that of the evaluator `error_by_value`, with examples."""
    four = values.ndim == 2 and values.shape[0] == 4 and values.dtype.kind in "iuf"
    return key.endswith("error_by_value") and four and values[2].sum() > 0


def error_by_value(values: Float[np.ndarray, "4 bins"]) -> Figure:
    """Draws the mean error by the true value, and the number of examples in each bin.

    Args:
      values: rows of lower edges, upper edges, counts and mean errors, by bin.
    """
    low, high, count, error = np.asarray(values, float)
    used = count > 0
    overall = float((count * error).sum() / count.sum())
    with figures.styled():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        FigureCanvasAgg(figure)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        place = dict(width=(high - low)[used], align="edge", edgecolor="white", linewidth=0.8)
        top.bar(low[used], error[used], color=figures.BLUE, **place)
        top.axhline(overall, color=figures.INK, linewidth=0.8, linestyle=(0, (3, 2)))
        top.set_title(f"mean error by true value (dashed: overall, {overall:.3g})")
        top.set(ylabel="mean error")
        bottom.bar(low[used], count[used], color=figures.MUTED, **place)
        bottom.set(xlabel="true value", ylabel="examples", xlim=(low[0], high[-1]))
    return figure
