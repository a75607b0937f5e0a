"""The figure of gradient norms shows what it is given."""

import numpy as np

from library.reporting import figures, series_figures


def test_each_model_has_a_curve_without_zeros():
    given = {"lstm": np.array([4.0, 2.0, 1.0]), "elman": np.array([3.0, 0.0, np.nan])}
    figure = series_figures.gradient_norms(given)
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    lstm, elman = axes.lines
    np.testing.assert_array_equal(lstm.get_ydata(), [4, 2, 1])
    np.testing.assert_array_equal(elman.get_ydata(), [3, np.nan, np.nan])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lstm", "elman"]
    assert lstm.get_linestyle() != elman.get_linestyle()
    assert figures.png(figure).startswith(b"\x89PNG")
