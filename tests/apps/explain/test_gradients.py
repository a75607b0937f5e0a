import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import gradients
from library.config import ConfigError

RANDOM = np.random.default_rng(0)
IMAGE = jnp.asarray(RANDOM.uniform(size=(3, 4, 5, 2)), jnp.float32)
LABEL = jnp.array([2, 0, 2])
WEIGHT = jnp.asarray(RANDOM.normal(size=(4, 5, 2, 3)), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), 3)


def linear(image):
    return jnp.einsum("bhwc,hwck->bk", image, WEIGHT) + 1.0


def quadratic(image):
    return jnp.einsum("bhwc,hwck->bk", image**2, WEIGHT)


def curved(image):
    hidden = jnp.tanh(jnp.einsum("bhwc,hwck->bk", image, WEIGHT))
    return hidden @ jnp.array([[1.0, 2, -1], [0.5, -2, 1], [1, 1, -3]])


def of_labels(weight):
    return np.moveaxis(np.asarray(weight), -1, 0)[np.asarray(LABEL)]


def test_the_gradient_of_a_linear_score_is_its_weights():
    found = gradients.input_gradient(linear, IMAGE, LABEL)
    np.testing.assert_array_equal(found, of_labels(WEIGHT))
    found = gradients.gradient_times_input(linear, IMAGE, LABEL)
    np.testing.assert_array_equal(found, of_labels(WEIGHT) * IMAGE)
    # With the bias, these are all of the score.
    score = gradients.class_score(linear(IMAGE), LABEL)
    np.testing.assert_allclose(found.sum((1, 2, 3)) + 1, score, rtol=1e-5)


def test_smooth_grad_of_a_quadratic_score():
    found = gradients.smooth_grad(quadratic, IMAGE, LABEL, KEYS, noise=0.2, samples=3)
    expected = np.zeros(IMAGE.shape)
    for i in range(3):
        scale = 0.2 * (IMAGE[i].max() - IMAGE[i].min())
        for sample in range(3):
            key = jax.random.fold_in(KEYS[i], sample)
            noisy = IMAGE[i] + scale * jax.random.normal(key, IMAGE.shape[1:])
            expected[i] += 2 * noisy * of_labels(WEIGHT)[i] / 3
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_smooth_grad_draws_for_each_example_by_its_key():
    both = gradients.smooth_grad(quadratic, IMAGE, LABEL, KEYS)
    alone = gradients.smooth_grad(quadratic, IMAGE[1:2], LABEL[1:2], KEYS[1:2])
    np.testing.assert_allclose(both[1:2], alone, rtol=1e-5, atol=1e-6)
    silent = gradients.smooth_grad(quadratic, IMAGE, LABEL, KEYS, noise=0.0)
    plain = gradients.input_gradient(quadratic, IMAGE, LABEL)
    np.testing.assert_allclose(silent, plain, rtol=1e-5)


def test_integrated_gradients_of_a_linear_score_are_exact():
    baseline = jnp.asarray(RANDOM.uniform(size=(4, 5, 2)), jnp.float32)[None]
    for steps in (1, 64):
        found = gradients.integrated_gradients(linear, IMAGE, LABEL, baseline, steps=steps)
        np.testing.assert_array_equal(found, (IMAGE - baseline) * of_labels(WEIGHT))


def test_integrated_gradients_of_a_quadratic_score():
    # The midpoint rule integrates the gradient, which is linear, without error.
    found = gradients.integrated_gradients(quadratic, IMAGE, LABEL, steps=2)
    np.testing.assert_allclose(found, IMAGE**2 * of_labels(WEIGHT), rtol=1e-6)


def test_integrated_gradients_are_complete():
    for baseline in (None, jnp.full((1, 1, 1, 1), 0.5)):
        found = gradients.integrated_gradients(curved, IMAGE, LABEL, baseline)
        start = jnp.broadcast_to(0.0 if baseline is None else baseline, IMAGE.shape)
        difference = curved(IMAGE) - curved(start)
        expected = gradients.class_score(difference, LABEL)
        np.testing.assert_allclose(found.sum((1, 2, 3)), expected, atol=1e-3)


def test_magnitude_is_the_greatest_of_the_channels():
    gradient = jnp.array([[[[1.0, -3.0], [0.5, 0.25]]]])
    np.testing.assert_array_equal(gradients.magnitude(gradient), [[[3.0, 0.5]]])


@pytest.mark.parametrize(
    ("function", "keys", "options"),
    [
        (gradients.smooth_grad, (KEYS,), dict(samples=0)),
        (gradients.smooth_grad, (KEYS,), dict(noise=-0.1)),
        (gradients.integrated_gradients, (), dict(steps=0)),
    ],
)
def test_settings_that_are_none(function, keys, options):
    with pytest.raises(ConfigError, match="valid are"):
        function(linear, IMAGE, LABEL, *keys, **options)
