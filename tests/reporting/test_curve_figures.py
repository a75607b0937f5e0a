"""Curves by metric, split and run, however many and long they are."""

import numpy as np
import pytest

from library.reporting import curve_figures
from tests.reporting.drawn import texts


def test_learning_curves_have_a_panel_a_metric_and_dashes_for_averaged_weights():
    x = np.array([10.0, 20.0, 40.0])
    curves = {
        "train/learning_rate": (x, x),
        "train/accuracy": (x, x / 50),
        "test/accuracy": (x, x / 60),
        "test_ema/accuracy": (x, x / 55),
        "train/loss": (x, np.array([3.0, np.nan, 1.0])),
    }
    figure = curve_figures.learning_curves(curves, steps_per_epoch=20)
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [p.get_title(loc="left") for p in panels] == ["loss", "accuracy", "learning rate"]
    train, test, averaged = panels[1].get_lines()
    assert (train.get_linestyle(), test.get_linestyle()) == ("-", "-")
    assert averaged.get_linestyle() == "--"
    assert averaged.get_color() == test.get_color() != train.get_color()
    np.testing.assert_array_equal(panels[0].get_lines()[0].get_xdata(), [10, 40])
    (above,) = panels[0].child_axes
    np.testing.assert_allclose(above.get_xlim(), np.array(panels[0].get_xlim()) / 20)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["train", "test", "test (EMA)"]


def test_long_curves_are_condensed_to_means_within_their_range():
    y = np.tile([0.0, 4.0], 500)
    axes = curve_figures.learning_curves({"train/loss": (np.arange(1000.0), y)}).axes[0]
    (line,) = axes.get_lines()
    assert len(line.get_xdata()) == 200
    assert line.get_ydata().mean() == pytest.approx(2.0, abs=0.05)
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0, 4)


def test_many_metrics_and_none_at_all_still_make_a_figure():
    x = np.arange(3.0)
    crowd = {f"train/metric{i}": (x, x) for i in range(30)}
    assert (
        sum(a.get_visible() for a in curve_figures.learning_curves(crowd).axes)
        == curve_figures.MAX_PANELS
    )
    none = curve_figures.learning_curves({"test/loss": (x[:1], np.array([np.nan]))})
    assert texts(none.axes[0]) == ["no finite values"]
    assert len(curve_figures.learning_curves({}).axes) == 1


def test_runs_compared_cap_their_legend():
    x = np.arange(3.0)
    runs = [(f"run{i}", {"test/accuracy": (x, x / 10)}) for i in range(30)]
    figure = curve_figures.compared(runs, ["test/accuracy", "train/loss"], named=3)
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["run0", "run1", "run2", "27 other runs"]
    assert len(figure.axes[0].get_lines()) == 30


def test_throughput_is_drawn_over_the_clock_in_its_unit():
    axes = curve_figures.throughput(
        np.array([60.0, 240.0, 600.0]), np.array([10.0, 30.0, 20.0])
    ).axes[0]
    np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), [1, 4, 10])
    assert axes.get_xlabel() == "time (min)"
    assert axes.get_ylim()[0] == 0
    assert "median, 20" in axes.get_title(loc="left")
