"""The made sets of points hold what their table says."""

import numpy as np
import pytest

from library.config import ConfigError
from library.data import point_sets, sources


def opened(problem, split="train"):
    source = sources.open_source(f"points/{problem}", split)
    rows = [source.records[row] for row in range(len(source.records))]
    return source, {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def test_exclusive_or_has_four_examples():
    source, found = opened("xor")
    assert sorted(map(tuple, found["features"])) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    np.testing.assert_array_equal(found["label"], found["features"].sum(1) % 2)
    assert source.label_names == ("0", "1")


def test_the_line_separates_with_its_margin():
    _, found = opened("separable", "train+test")
    distance = found["features"] @ [0.6, -0.8] + 0.1
    assert np.abs(distance).min() >= 0.1 - 1e-6
    np.testing.assert_array_equal(found["label"], distance > 0)


def test_a_ring_is_around_a_disc():
    _, found = opened("rings")
    radius = np.linalg.norm(found["features"], axis=1)
    assert radius[found["label"] == 0].max() < 0.6 < radius[found["label"] == 1].min()


def test_targets_are_the_functions():
    _, wave = opened("wave", "test")
    x = wave["features"].astype(float)
    expected = np.sin(2 * np.pi * x) + np.sin(6 * np.pi * x) / 2
    np.testing.assert_allclose(wave["target"], expected, atol=1e-5)
    _, product = opened("product")
    x, y = product["features"].T.astype(float)
    expected = np.exp(np.sin(np.pi * x)) * np.exp(y**2)
    np.testing.assert_allclose(product["target"][:, 0], expected, rtol=1e-4)


def test_the_encoders_images_have_one_white_pixel():
    source, found = opened("encoder")
    assert found["image"].dtype == np.uint8
    np.testing.assert_array_equal(found["image"][:, 0, :, 0], 255 * np.eye(8))
    assert source.kinds == {"image": "image", "label": "label"}


@pytest.mark.parametrize("problem", point_sets.PROBLEMS)
def test_sizes_are_as_stated_and_slices_are_parts(problem):
    sizes = point_sets.PROBLEMS[problem].sizes
    assert sources.info(f"points/{problem}").splits == sizes
    for split, size in sizes.items():
        source, whole = opened(problem, split)
        assert len(source.records) == size
        _, part = opened(problem, f"{split}[2:4]")
        for key, values in whole.items():
            np.testing.assert_array_equal(part[key], values[2:4])
    fixed = problem in ("xor", "encoder")
    if "label" in whole and not fixed:
        assert not np.array_equal(opened(problem)[1]["features"][:9], whole["features"][:9])


def test_names_are_checked_and_nothing_is_prepared():
    with pytest.raises(ConfigError, match="points/xor"):
        sources.open_source("points/xro", "train")
    with pytest.raises(ConfigError, match="'points/xor' is generated when read"):
        sources.prepare("points/xor")
