"""Grids show the images themselves, and what a model says of each."""

import numpy as np

from library.reporting import image_figures
from tests.reporting.drawn import pixels, texts


def test_prediction_grid_says_what_was_predicted_and_what_it_is():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    probabilities = np.array([[0.9, 0.1], [0.03, 0.97]])
    figure = image_figures.prediction_grid(images, np.array([0, 0]), probabilities, ["cat", "dog"])
    assert texts(figure.axes[0]) == ["✓ cat, 90%", "✗ dog, 97%", "is cat"]


def test_image_grid_lists_the_five_most_probable_classes():
    probabilities = np.array([[0.05, 0.4, 0.3, 0.15, 0.06, 0.04]])
    images = np.full((1, 8, 8, 1), 0.5, np.float32)
    axes = image_figures.image_grid(images, probabilities=probabilities, label_names="abcdef").axes[
        0
    ]
    expected = ["b", "40%", "c", "30%", "d", "15%", "e", "6.0%", "a", "5.0%"]
    assert texts(axes) == expected
    widths = np.array([bar.get_width() for bar in axes.patches])
    np.testing.assert_allclose(widths / widths[0], np.array([0.4, 0.3, 0.15, 0.06, 0.05]) / 0.4)


def test_image_grid_shows_the_images_themselves():
    images = np.zeros((3, 4, 4, 3), np.uint8)
    images[0, ..., 0] = images[1, ..., 1] = images[2, ..., 2] = 255
    seen = {tuple(c) for c in pixels(image_figures.image_grid(images, columns=2)).reshape(-1, 3)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)} <= seen


def test_augmentation_grid_shows_each_original_before_its_views():
    images = np.zeros((3, 4, 8, 8, 1), np.uint8)
    axes = image_figures.augmentation_grid(images, rows=2).axes[0]
    left = [image.get_extent()[0] for image in axes.images]
    assert len(left) == 8
    assert left[:4] == left[4:] == sorted(left[:4])
    assert left[1] - left[0] > left[2] - left[1]
    assert texts(axes) == ["original", "augmented views"]
