import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from library.config import ConfigError
from library.task import minimize
from library.tasks.angle import angle, angle_of, circular_error, on_circle, turned

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))


class Echo(nn.Module):
    """Outputs the image's channels plus a bias, so that a test can choose the outputs."""

    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
        return image[:, 0, 0] + bias


def make_batch(points, degrees, mask):
    return {
        "image": jnp.float32(points)[:, None, None, :],
        "target": jnp.float32(degrees),
        "index": jnp.arange(len(points), dtype=jnp.uint32),
        "mask": jnp.float32(mask),
    }


def test_points_and_angles_are_inverse_and_errors_take_the_shorter_arc():
    degrees = jnp.array([[-179, 0], [90, 45], [179, -90]], jnp.float32)
    np.testing.assert_allclose(angle_of(on_circle(degrees)), degrees, atol=1e-4)
    # The length of a point does not matter.
    np.testing.assert_allclose(angle_of(7 * on_circle(degrees)), degrees, atol=1e-4)
    a = jnp.array([179.0, -179, 10, 0, 90])
    b = jnp.array([-179.0, 179, 350, 180, -450])
    np.testing.assert_allclose(circular_error(a, b), [2, 2, 20, 180, 180], atol=1e-4)


def test_loss_gradient_and_errors_by_hand():
    points = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -2.0], [5.0, 5.0]])
    degrees, mask = np.array([[90.0], [90.0], [170.0], [0.0]]), np.array([1.0, 1.0, 1.0, 0.0])
    batch = make_batch(points, degrees, mask)
    task = angle(Echo(2), SGD)
    state = task.init(KEY, batch)
    moved, trained = jax.jit(task.update)(state, batch, KEY)
    radians = np.deg2rad(degrees[:, 0])
    difference = points - np.stack([np.sin(radians), np.cos(radians)], -1)
    expected = (mask[:, None] * difference**2).sum()
    np.testing.assert_allclose(trained["loss"][0], expected, rtol=1e-6)
    gradient = 2 * (mask[:, None] * difference).sum(0) / 3
    np.testing.assert_allclose(moved.params["bias"], -gradient, rtol=1e-5)
    errors = jax.jit(task.outputs["error"])(state, batch, KEY)
    np.testing.assert_allclose(errors, [90, 0, 10, 45], atol=1e-4)
    found = jax.jit(task.evaluate)(state, batch, KEY)["circular_error"]
    np.testing.assert_allclose(found, [100, 3], rtol=1e-6)


def test_an_image_is_turned_as_pil_turns_it():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
    quarter = turned(jnp.float32(image), jnp.float32(90))
    np.testing.assert_allclose(quarter, np.rot90(image), atol=1e-3)
    theirs = np.asarray(Image.fromarray(image[..., 0]).rotate(30, Image.Resampling.BILINEAR))
    ours = turned(jnp.float32(image), jnp.float32(30))[..., 0]
    # Near the border the two fill with other values.
    np.testing.assert_allclose(ours[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=1)


def test_righted_images_undo_the_predicted_turn():
    image = np.zeros((1, 5, 5, 2), np.float32)
    image[0, 0, 0] = [1, 0]  # the prediction is 90 degrees
    image[0, 0, 2] = [1, 1]
    batch = make_batch(np.zeros((1, 2)), np.zeros((1, 1)), np.ones(1)) | {
        "image": jnp.asarray(image)
    }
    task = angle(Echo(2), SGD)
    shown = jax.jit(task.outputs["righted"])(task.init(KEY, batch), batch, KEY)
    assert shown.shape == (1, 2, 5, 5, 2)
    np.testing.assert_allclose(shown[0, 1], np.rot90(image[0], -1), atol=1e-5)


def test_requests_that_do_not_fit():
    with pytest.raises(ConfigError, match="num_classes=3, but the task has 2 num_angles=2"):
        angle(Echo(3), SGD)
    batch = make_batch(np.zeros((2, 4)), np.zeros((2, 1)), np.ones(2))
    task = angle(Echo(4), SGD, num_angles=2)
    with pytest.raises(ConfigError, match=r"'target' has shape \(2, 1\), expected \(b, 2\)"):
        task.evaluate(task.init(KEY, batch), batch, KEY)
