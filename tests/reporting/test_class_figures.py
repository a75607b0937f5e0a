"""Figures of classes hold the numbers of the confusion matrix, and their labels fit."""

import itertools

import numpy as np
import pytest

from library.reporting import class_figures
from tests.reporting.drawn import texts


def test_confusion_cells_hold_percentages_of_the_true_class():
    counts = np.array([[8, 1, 1], [0, 10, 0], [0, 0, 0]])
    axes = class_figures.confusion_matrix(counts, ["cat", "dog", "frog"]).axes[0]
    cells = {t.get_position(): t.get_text() for t in axes.texts}
    assert cells == {(0, 0): "80.0", (1, 0): "10.0", (2, 0): "10.0", (1, 1): "100.0"}
    assert [t.get_text() for t in axes.get_xticklabels()] == ["cat", "dog", "frog"]
    assert axes.images[0].get_array().mask[2].all()


def test_confusion_of_many_classes_has_blocks_and_a_list_and_no_label_soup():
    counts = 9 * np.eye(1000)
    counts[3, 7], counts[998, 0] = 1, 3
    left, right, _ = class_figures.confusion_matrix(counts).axes
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
    figure = class_figures.confusion_matrix(np.eye(classes), names)
    figure.canvas.draw()
    axes = figure.axes[0]
    bottom = axes.get_window_extent().y0
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(box.y1 <= bottom for box in boxes)
    assert all(a.x1 <= b.x1 for a, b in itertools.pairwise(boxes))
    assert all(box.y0 >= 0 for box in boxes)


def test_class_accuracy_is_sorted_and_leaves_absent_classes_out():
    counts = np.array([[6, 2, 0], [0, 5, 5], [0, 0, 0]])
    axes = class_figures.class_accuracy(counts, ["cat", "dog", "frog"]).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["dog", "cat"]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.75]
    assert "61.11%" in axes.get_title(loc="left")


def test_shares_of_classes_leave_out_those_without_a_value():
    shares = np.array([0.5, np.nan, 0.25])
    words = ("iou by class", "their mean")
    axes = class_figures.class_shares(shares, ["cat", "dog", "frog"], 0.375, words).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["frog", "cat"]
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.5]
    assert axes.get_title(loc="left") == "iou by class (dashed: their mean, 37.50%)"


def test_class_accuracy_of_many_classes_names_the_worst_and_the_best():
    counts = np.diag(np.arange(50.0)) + np.diag(50.0 - np.arange(50))[::-1]
    _profile, worst, best = class_figures.class_accuracy(counts).axes
    recall = np.diag(counts) / counts.sum(1)
    assert worst.get_yticklabels()[0].get_text() == str(recall.argmin())
    assert best.get_yticklabels()[0].get_text() == str(recall.argmax())
    assert len(worst.get_yticklabels()) == len(best.get_yticklabels()) == 12
