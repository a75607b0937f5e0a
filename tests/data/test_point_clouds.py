import numpy as np
import pytest

from library.config import ConfigError
from library.data.preprocessing.point_clouds import ink_points


def image(pixels, side=8):
    """Returns a black image with some bright pixels."""
    values = np.zeros((side, side, 1), np.uint8)
    for (row, column), brightness in pixels.items():
        values[row, column] = brightness
    return {"image": values, "label": 3}


def test_points_are_of_the_ink_in_the_share_of_its_brightness():
    rng = np.random.default_rng(0)
    found = ink_points(num=4000)(image({(1, 2): 200, (6, 7): 50}), rng)
    assert set(found) == {"cloud", "label"}
    cloud = found["cloud"]
    assert cloud.shape == (4000, 3)
    assert cloud.dtype == np.float32
    bright = cloud[:, 2] > 0.5
    assert set(np.float32(cloud[:, 2])) == {np.float32(200 / 255), np.float32(50 / 255)}
    assert abs(bright.mean() - 0.8) < 0.03
    np.testing.assert_allclose(cloud[:, :2].mean(0), 0, atol=1e-5)
    assert np.linalg.norm(cloud[:, :2], axis=1).max() == pytest.approx(1)
    # The centres of the two pixels are (5, 5) apart, and a point is anywhere in its pixel.
    between = cloud[~bright, :2].mean(0) - cloud[bright, :2].mean(0)
    assert between[0] == pytest.approx(between[1], rel=0.02)
    sides = np.ptp(cloud[bright, :2], axis=0)
    np.testing.assert_allclose(sides, between / 5, rtol=0.02)


def test_noise_has_the_stated_deviation():
    quiet, loud = (
        ink_points(num=2000, jitter=jitter)(image({(4, 4): 255}), np.random.default_rng(0))["cloud"]
        for jitter in (0.0, 0.05)
    )
    np.testing.assert_allclose((loud - quiet).std(0), 0.05, rtol=0.1)


def test_bad_input():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="black everywhere"):
        ink_points(num=4)(image({}), rng)
    with pytest.raises(ValueError, match=r"uint8 \(8, 8, 3\), expected grey"):
        ink_points(num=4)({"image": np.zeros((8, 8, 3), np.uint8)}, rng)
    with pytest.raises(ConfigError, match="jitter=-1"):
        ink_points(num=4, jitter=-1.0)
    with pytest.raises(ConfigError):
        ink_points(num=0)
