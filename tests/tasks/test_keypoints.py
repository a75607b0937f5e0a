import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.config import ConfigError
from library.data.builders import stick_figures
from library.task import minimize
from library.tasks import keypoints as module
from library.tasks.keypoints import keypoints

# One by one their operations take seconds to compile.
found_in, gaussians = jax.jit(module.found_in), jax.jit(module.gaussians, static_argnums=(1, 2))
KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))
POINTS = np.float32([[[0.25, 0.5], [0.8, 0.1]], [[0.5, 0.5], [0.1, 0.9]]])


class Echo(nn.Module):
    """Outputs the image's channels plus a bias, so that a test can choose the maps."""

    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        return image + self.param("bias", nn.initializers.zeros, (self.num_classes,))


def make_batch(maps, points=POINTS, mask=(1, 1), **others):
    return {
        "image": jnp.float32(maps),
        "points": jnp.asarray(points),
        "index": jnp.arange(len(maps), dtype=jnp.uint32),
        "mask": jnp.float32(mask),
        **others,
    }


def test_a_map_is_a_gaussian_about_its_point():
    maps = gaussians(jnp.asarray(POINTS), (8, 10), 1.5)
    assert maps.shape == (2, 8, 10, 2)
    y, x = np.mgrid[:8, :10] + 0.5
    expected = np.exp(-((y - 2) ** 2 + (x - 5) ** 2) / (2 * 1.5**2))
    np.testing.assert_allclose(maps[0, :, :, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("side", [16, 21])
def test_points_are_found_where_they_are(side):
    points = np.random.default_rng(0).uniform(0.1, 0.9, (4, 5, 2)).astype(np.float32)
    found = found_in(gaussians(jnp.asarray(points), (side, side), 1.5))
    # The quarter of a pixel towards the higher neighbour leaves at most a quarter.
    assert np.abs(found[..., :2] - points).max() * side <= 0.2501
    assert found[..., 2].min() > 0.85


def test_a_point_in_the_corner():
    maps = jnp.zeros((1, 4, 6, 1)).at[0, 3, 5, 0].set(2.0)
    y, x, score = found_in(maps)[0, 0]
    assert score == 2
    assert abs(4 * y - 3.5) <= 0.25
    assert abs(6 * x - 5.5) <= 0.25


def test_loss_gradient_and_distances_by_hand():
    sides, sigma = (8, 10), 1.5
    maps = np.random.default_rng(0).normal(size=(2, *sides, 2))
    there = jnp.float32([[1, 1], [1, 0]])
    batch = make_batch(maps, points_mask=there)
    task = keypoints(Echo(2), SGD, num_points=2, sigma=sigma)
    state = task.init(KEY, batch)
    moved, trained = jax.jit(task.update)(state, batch, KEY)
    gap = maps - np.asarray(gaussians(jnp.asarray(POINTS), sides, sigma))
    share = np.array([[0.5, 0.5], [1.0, 0.0]])
    factor = 80 / (2 * np.pi * sigma**2)
    expected = factor * (share * (gap**2).mean((1, 2))).sum(-1)
    np.testing.assert_allclose(trained["loss"][0], expected.sum(), rtol=1e-5)
    gradient = factor * (share * 2 * gap.mean((1, 2))).sum(0) / 2
    np.testing.assert_allclose(moved.params["bias"], -gradient, rtol=1e-4)
    each = (task.outputs["keypoints"], task.outputs["error"], task.evaluate)
    found, error, measured = jax.jit(lambda *given: [f(*given) for f in each])(state, batch, KEY)
    away = (np.asarray(found[..., :2]) - POINTS) * [1, 10 / 8]
    distance = np.linalg.norm(away, axis=-1)
    errors = (share * distance).sum(-1)
    np.testing.assert_allclose(error, errors, rtol=1e-5)
    np.testing.assert_allclose(measured["distance"][0], errors.sum(), rtol=1e-5)
    near = (share * (distance <= 0.05)).sum()
    np.testing.assert_allclose(measured["near"][0], near, atol=1e-6)


def test_true_maps_have_no_loss_and_are_all_near():
    batch = make_batch(gaussians(jnp.asarray(POINTS), (40, 40), 1.5))
    task = keypoints(Echo(2), SGD, num_points=2)
    state = task.init(KEY, batch)
    found = jax.jit(task.evaluate)(state, batch, KEY)
    assert found["loss"][0] == pytest.approx(0, abs=1e-9)
    assert found["near"][0] == 2
    # An image without a point has nothing to be near to; it counts in neither mean.
    bare = {**batch, "points_mask": jnp.float32([[1, 1], [0, 0]])}
    some = jax.jit(task.evaluate)(state, bare, KEY)
    assert (some["near"][0], some["near"][1]) == (1, 1)
    assert (some["distance"][1], some["loss"][1]) == (1, 2)


def test_the_overlay_marks_points_with_the_colour_of_their_kind():
    maps = gaussians(jnp.asarray(POINTS), (40, 40), 1.5)
    task = keypoints(Echo(2), SGD, num_points=2)
    batch = make_batch(maps) | {"image": jnp.zeros((2, 40, 40, 1))}

    class Known(nn.Module):
        num_classes: int = 2

        @nn.compact
        def __call__(self, image, train=False):
            self.param("bias", nn.initializers.zeros, (1,))
            return maps

    task = keypoints(Known(), SGD, num_points=2)
    shown = jax.jit(task.outputs["overlay"])(task.init(KEY, batch), batch, KEY)
    assert shown.shape == (2, 3, 40, 40, 3)
    assert shown.dtype == jnp.uint8
    assert shown[:, 0].max() == 0
    marks = np.asarray(shown[0, 1]).any(-1)
    assert marks[9:12, 19:22].sum() >= 4
    assert marks[31:34, 3:6].sum() >= 4
    assert marks.sum() <= 32
    # What is found differs from the truth by at most a pixel.
    assert np.asarray(shown[0, 2]).any(-1)[8:13, 18:23].any()


def test_requests_that_do_not_fit():
    with pytest.raises(ConfigError, match="num_classes=3, but the task has num_points=2"):
        keypoints(Echo(3), SGD, num_points=2)
    with pytest.raises(ConfigError, match="sigma=0"):
        keypoints(Echo(2), SGD, num_points=2, sigma=0.0)
    batch = make_batch(np.zeros((2, 4, 4, 3)))
    task = keypoints(Echo(3), SGD, num_points=3)
    with pytest.raises(ConfigError, match=r"shape \(2, 2, 2\), expected \(b, 3, 2\)"):
        task.evaluate(task.init(KEY, batch), batch, KEY)


def test_figures_show_their_joints_and_are_the_same_each_time():
    image, points = stick_figures.figure(np.random.RandomState([0, 5]))
    again, same = stick_figures.figure(np.random.RandomState([0, 5]))
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(points, same)
    assert image.shape == (64, 64)
    assert points.shape == (13, 2)
    assert points.min() >= 2 / 64
    assert points.max() <= 62 / 64
    # Each joint of a limb lies on a bright line; the head's centre lies within a circle.
    for y, x in (points[1:] * 64).astype(int):
        assert image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max() >= 150
