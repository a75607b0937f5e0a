"""Arrays of unknown meaning are drawn by their shape."""

import numpy as np
import pytest

from library.reporting import array_figures


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(0, 1, 5), "line"),
        (np.ones((3, 4)), "image"),
        (np.zeros((2, 8, 8, 3), np.uint8), "images"),
        (np.float32(2.0), None),
        (np.array(["a", "b"]), None),
        (np.full(4, np.nan), None),
        (np.zeros((0, 3)), None),
        (np.ones((2, 3, 4, 5)), None),
    ],
)
def test_unknown_arrays_are_drawn_by_their_shape(values, kind):
    figure = array_figures.array(values, "what")
    if kind is None:
        assert figure is None
        return
    axes = figure.axes[0]
    drawn = {"line": len(axes.get_lines()), "image": len(axes.images), "images": len(axes.images)}
    assert drawn[kind] == {"line": 1, "image": 1, "images": 2}[kind]
