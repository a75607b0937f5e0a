import numpy as np
import pytest

from library.config import ConfigError
from library.data import features
from library.data.preprocessing.rotation import rotated


class Fixed:
    """A generator that draws one angle."""

    def __init__(self, degrees):
        self.degrees = degrees

    def uniform(self, low, high):
        assert (low, high) == (-180, 180)
        return self.degrees


def scene():
    y, x = np.mgrid[:8, :8]
    return {
        "image": np.stack([32 * y, 32 * x, 0 * x], -1).astype(np.uint8),
        "map": (300 * y + x).astype(np.int32),
        "field": np.stack([y, x], -1).astype(np.float32),
        "boxes": np.float32([[0.25, 0.5, 0.5, 1.0]]),
        "points": np.float32([[1.5 / 8, 3.5 / 8]]),
    }


@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_quarter_turns_move_all_features_alike(turns):
    example = scene()
    found = rotated()(example, Fixed(90.0 * turns))
    assert found["target"] == np.float32([90 * turns])
    for name in ("image", "map", "field"):
        np.testing.assert_array_equal(found[name], np.rot90(example[name], turns), err_msg=name)
        assert found[name].dtype == example[name].dtype
    row, column = np.argwhere(found["map"] == 300 * 1 + 3)[0]
    place = (np.float32([row, column]) + 0.5) / 8
    np.testing.assert_allclose(found["points"], [place], atol=1e-6)
    inside = np.zeros((8, 8), bool)
    inside[2:4, 4:8] = True
    rows, columns = np.nonzero(np.rot90(inside, turns))
    box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(found["boxes"], [np.float32(box) / 8], atol=1e-6)


def test_what_leaves_the_image_is_filled_or_removed():
    example = scene() | {"points": np.float32([[0.01, 0.01], [0.5, 0.5]])}
    found = rotated(fill=9, map_fill=77)(example, Fixed(45.0))
    assert (found["image"][0, 0] == 9).all()
    assert found["map"][0, 0] == 77
    assert (found["field"][0, 0] == 0).all()
    np.testing.assert_allclose(found["points"], [[0.5, 0.5]], atol=1e-6)


def test_angles_are_uniform_and_the_target_has_its_kind():
    operation, rng = rotated(degrees=20.0), np.random.default_rng(0)
    angles = [operation(scene(), rng)["target"][0] for _ in range(300)]
    assert -20 <= min(angles) < -18
    assert 18 < max(angles) <= 20
    assert features.after(operation, {"image": "image"})["target"] == "target"


@pytest.mark.parametrize("arguments", [dict(degrees=0.0), dict(degrees=181.0), dict(fill=256)])
def test_requests_that_do_not_fit(arguments):
    with pytest.raises(ConfigError, match="rotated, "):
        rotated(**arguments)
