import io
import itertools
import os
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from PIL import Image

from library.reporting import figures


def texts(axes):
    return [text.get_text() for text in axes.texts]


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(figures.png(figure))).convert("RGB"))


def test_no_global_state_of_pyplot_is_touched():
    code = "import sys, library.reporting.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# A notebook's backend that is not installed, an unwritable home, and settings that break drawing.
ODD = {
    "text.usetex": True,
    "font.family": "NoSuchFont",
    "figure.dpi": 30,
    "image.lut": 3,
    "lines.linewidth": 9,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "axes.titlesize": 40,
    "legend.loc": "center",
}


def drawn():
    x = np.arange(4.0)
    curves = {"train/loss": (x, 1 / (1 + x)), "test/accuracy": (x, x / 8)}
    confusion = np.arange(9).reshape(3, 3)
    return [
        figures.png(figures.learning_curves(curves, 2.0)),
        figures.png(figures.confusion_matrix(confusion)),
        figures.png(figures.compared([("a", curves)], ["train/loss"])),
    ]


def test_a_users_settings_of_matplotlib_change_no_figure():
    with matplotlib.rc_context(ODD):
        odd = drawn()
        assert matplotlib.rcParams["text.usetex"]
    assert odd == drawn()


def test_a_users_backend_and_home_break_no_figure(tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_text("backend: nosuch\nno.such.key: 1\nfont.size: rubbish\ntext.usetex: True\n")
    environment = {
        **os.environ,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(settings),
        "HOME": "/proc/nowhere",
        "MPLCONFIGDIR": "/proc/nowhere",
    }
    code = "import library.reporting, os; from tests.reporting.test_figures import drawn; drawn()"
    code += "; assert os.environ['MPLBACKEND'].startswith('module')"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_the_same_figure_is_the_same_file(tmp_path):
    sums = np.array([[0.2, 2.5], [0.0, 4.0], [1.0, 8.0]])
    paths = [figures.save(figures.reliability(sums), tmp_path / f"{i}.png") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert Image.open(paths[0]).size == (690, 690)


def test_learning_curves_have_a_panel_a_metric_and_dashes_for_averaged_weights():
    x = np.array([10.0, 20.0, 40.0])
    curves = {
        "train/learning_rate": (x, x),
        "train/accuracy": (x, x / 50),
        "test/accuracy": (x, x / 60),
        "test_ema/accuracy": (x, x / 55),
        "train/loss": (x, np.array([3.0, np.nan, 1.0])),
    }
    figure = figures.learning_curves(curves, steps_per_epoch=20)
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
    axes = figures.learning_curves({"train/loss": (np.arange(1000.0), y)}).axes[0]
    (line,) = axes.get_lines()
    assert len(line.get_xdata()) == 200
    assert line.get_ydata().mean() == pytest.approx(2.0, abs=0.05)
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0, 4)


def test_many_metrics_and_none_at_all_still_make_a_figure():
    x = np.arange(3.0)
    crowd = {f"train/metric{i}": (x, x) for i in range(30)}
    assert sum(a.get_visible() for a in figures.learning_curves(crowd).axes) == figures.MAX_PANELS
    none = figures.learning_curves({"test/loss": (x[:1], np.array([np.nan]))})
    assert texts(none.axes[0]) == ["no finite values"]
    assert len(figures.learning_curves({}).axes) == 1


def test_confusion_cells_hold_percentages_of_the_true_class():
    counts = np.array([[8, 1, 1], [0, 10, 0], [0, 0, 0]])
    axes = figures.confusion_matrix(counts, ["cat", "dog", "frog"]).axes[0]
    cells = {t.get_position(): t.get_text() for t in axes.texts}
    assert cells == {(0, 0): "80.0", (1, 0): "10.0", (2, 0): "10.0", (1, 1): "100.0"}
    assert [t.get_text() for t in axes.get_xticklabels()] == ["cat", "dog", "frog"]
    assert axes.images[0].get_array().mask[2].all()


def test_confusion_of_many_classes_has_blocks_and_a_list_and_no_label_soup():
    counts = 9 * np.eye(1000)
    counts[3, 7], counts[998, 0] = 1, 3
    left, right, _ = figures.confusion_matrix(counts).axes
    blocks = left.images[0].get_array()
    assert blocks.shape == (200, 200)
    # Rows 0 to 4 hold five true classes, one with 1 of 10 examples in columns 5 to 9.
    assert blocks[0, 1] == pytest.approx(0.1 / 5)
    assert blocks[199, 0] == pytest.approx(0.25 / 5)
    assert texts(right) == ["998 → 0", "25%", "3 → 7", "10%"]
    assert len(left.get_xticklabels()) < 12


@pytest.mark.parametrize("classes", [2, 25])
def test_labels_of_the_matrix_do_not_meet_the_matrix(classes):
    names = [f"a rather long name {i}" for i in range(classes)]
    figure = figures.confusion_matrix(np.eye(classes), names)
    figure.canvas.draw()
    axes = figure.axes[0]
    bottom = axes.get_window_extent().y0
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(box.y1 <= bottom for box in boxes)
    assert all(a.x1 <= b.x1 for a, b in itertools.pairwise(boxes))
    assert all(box.y0 >= 0 for box in boxes)


def test_class_accuracy_is_sorted_and_leaves_absent_classes_out():
    counts = np.array([[6, 2, 0], [0, 5, 5], [0, 0, 0]])
    axes = figures.class_accuracy(counts, ["cat", "dog", "frog"]).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["dog", "cat"]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.75]
    assert "61.11%" in axes.get_title(loc="left")


def test_class_accuracy_of_many_classes_names_the_worst_and_the_best():
    counts = np.diag(np.arange(50.0)) + np.diag(50.0 - np.arange(50))[::-1]
    _profile, worst, best = figures.class_accuracy(counts).axes
    recall = np.diag(counts) / counts.sum(1)
    assert worst.get_yticklabels()[0].get_text() == str(recall.argmin())
    assert best.get_yticklabels()[0].get_text() == str(recall.argmax())
    assert len(worst.get_yticklabels()) == len(best.get_yticklabels()) == 12


def test_prediction_grid_says_what_was_predicted_and_what_it_is():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    probabilities = np.array([[0.9, 0.1], [0.03, 0.97]])
    figure = figures.prediction_grid(images, np.array([0, 0]), probabilities, ["cat", "dog"])
    assert texts(figure.axes[0]) == ["✓ cat, 90%", "✗ dog, 97%", "is cat"]


def test_image_grid_lists_the_five_most_probable_classes():
    probabilities = np.array([[0.05, 0.4, 0.3, 0.15, 0.06, 0.04]])
    images = np.full((1, 8, 8, 1), 0.5, np.float32)
    axes = figures.image_grid(images, probabilities=probabilities, label_names="abcdef").axes[0]
    expected = ["b", "40%", "c", "30%", "d", "15%", "e", "6.0%", "a", "5.0%"]
    assert texts(axes) == expected
    widths = np.array([bar.get_width() for bar in axes.patches])
    np.testing.assert_allclose(widths / widths[0], np.array([0.4, 0.3, 0.15, 0.06, 0.05]) / 0.4)


def test_image_grid_shows_the_images_themselves():
    images = np.zeros((3, 4, 4, 3), np.uint8)
    images[0, ..., 0] = images[1, ..., 1] = images[2, ..., 2] = 255
    seen = {tuple(c) for c in pixels(figures.image_grid(images, columns=2)).reshape(-1, 3)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)} <= seen


def test_augmentation_grid_shows_each_original_before_its_views():
    images = np.zeros((3, 4, 8, 8, 1), np.uint8)
    axes = figures.augmentation_grid(images, rows=2).axes[0]
    left = [image.get_extent()[0] for image in axes.images]
    assert len(left) == 8
    assert left[:4] == left[4:] == sorted(left[:4])
    assert left[1] - left[0] > left[2] - left[1]
    assert texts(axes) == ["original", "augmented views"]


def test_runs_compared_cap_their_legend():
    x = np.arange(3.0)
    runs = [(f"run{i}", {"test/accuracy": (x, x / 10)}) for i in range(30)]
    figure = figures.compared(runs, ["test/accuracy", "train/loss"], named=3)
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["run0", "run1", "run2", "27 other runs"]
    assert len(figure.axes[0].get_lines()) == 30


def test_throughput_is_drawn_over_the_clock_in_its_unit():
    axes = figures.throughput(np.array([60.0, 240.0, 600.0]), np.array([10.0, 30.0, 20.0])).axes[0]
    np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), [1, 4, 10])
    assert axes.get_xlabel() == "time (min)"
    assert axes.get_ylim()[0] == 0
    assert "median, 20" in axes.get_title(loc="left")


def test_names_from_data_are_text_whatever_they_hold():
    names = ["$\\frac{1", "<b>\n", "日本語"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(figures.confusion_matrix(np.eye(3), names)).shape[2] == 3


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
    figure = figures.array(values, "what")
    if kind is None:
        assert figure is None
        return
    axes = figure.axes[0]
    drawn = {"line": len(axes.get_lines()), "image": len(axes.images), "images": len(axes.images)}
    assert drawn[kind] == {"line": 1, "image": 1, "images": 2}[kind]
