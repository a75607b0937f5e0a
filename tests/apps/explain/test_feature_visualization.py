import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import feature_visualization as visualization
from library.config import ConfigError

KEYS = jax.random.split(jax.random.key(0), 2)
SHAPE = (6, 5, 2)
RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("parameterization", visualization.PARAMETERIZATIONS)
def test_the_top_of_a_hill_is_found(parameterization):
    top = jnp.asarray(RANDOM.uniform(0.2, 0.8, SHAPE), jnp.float32)
    found = visualization.maximize(
        lambda x: -100 * jnp.mean((x - top) ** 2, axis=(1, 2, 3)),
        KEYS,
        SHAPE,
        steps=600,
        jitter=0,
        parameterization=parameterization,
    )
    assert found.shape == (2, *SHAPE)
    np.testing.assert_allclose(found, np.broadcast_to(top, (2, *SHAPE)), atol=5e-3)


def test_a_linear_unit_wants_its_sign():
    weight = jnp.asarray(RANDOM.choice([-1.0, 1.0], SHAPE), jnp.float32)
    found = visualization.maximize(
        lambda x: jnp.sum(weight * x, axis=(1, 2, 3)),
        KEYS,
        SHAPE,
        steps=200,
        jitter=0,
        parameterization="pixels",
    )
    np.testing.assert_array_equal(found > 0.9, np.broadcast_to(weight > 0, found.shape))
    np.testing.assert_array_equal(found < 0.1, np.broadcast_to(weight < 0, found.shape))


def test_distance_from_grey_is_weighed_against_the_objective():
    """The top of mean(w x) - mean((x - 1/2)^2) is 1/2 + w/2."""
    weight = jnp.asarray(RANDOM.uniform(-0.6, 0.6, SHAPE), jnp.float32)
    found = visualization.maximize(
        lambda x: jnp.mean(weight * x, axis=(1, 2, 3)),
        KEYS,
        SHAPE,
        steps=600,
        jitter=0,
        l2=1.0,
        parameterization="pixels",
    )
    expected = np.broadcast_to(0.5 + weight / 2, found.shape)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_roughness_is_weighed_against_the_objective():
    top = jnp.asarray(RANDOM.uniform(0.2, 0.8, SHAPE), jnp.float32)
    found = visualization.maximize(
        lambda x: -jnp.mean((x - top) ** 2, axis=(1, 2, 3)),
        KEYS,
        SHAPE,
        steps=300,
        learning_rate=0.01,
        jitter=0,
        total_variation=10.0,
        parameterization="pixels",
    )
    assert visualization.roughness(found).max() < 0.05 * visualization.roughness(top[None])[0]


def test_images_depend_on_their_own_keys_only():
    def objective(x):
        return -jnp.sum((x - jnp.linspace(0, 1, 30).reshape(1, 6, 5, 1)) ** 2, axis=(1, 2, 3))

    both = visualization.maximize(objective, KEYS, SHAPE, steps=3, jitter=2)
    alone = visualization.maximize(objective, KEYS[1:], SHAPE, steps=3, jitter=2)
    np.testing.assert_allclose(both[1:], alone, atol=1e-6)
    assert np.abs(both[0] - both[1]).max() > 1e-3


def test_roughness_by_hand():
    image = jnp.array([[1.0, 3.0], [2.0, 2.0]]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(visualization.roughness(image), (1 + 1) / 2 + (2 + 0) / 2)


@pytest.mark.parametrize("size", [(6, 4), (5, 7)])
def test_a_frequency_becomes_its_wave(size):
    """Of unit amplitude, frequency f is scaled by 1/f; the mean by the longer side."""
    height, width = size
    spectrum = np.zeros((1, 2, height, width // 2 + 1, 1), np.float32)
    spectrum[0, 0, 1, 1, 0] = 1
    rows, columns = np.indices(size)
    frequency = np.hypot(1 / height, 1 / width)
    wave = 2 * np.cos(2 * np.pi * (rows / height + columns / width))
    found = visualization.from_frequencies(jnp.asarray(spectrum), size)
    expected = wave / frequency / np.sqrt(height * width)
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-5)

    spectrum = np.zeros_like(spectrum)
    spectrum[0, 0, 0, 0, 0] = 1
    found = visualization.from_frequencies(jnp.asarray(spectrum), size)
    np.testing.assert_allclose(found, max(size) / np.sqrt(height * width), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(parameterization="fouriers"), "did you mean 'fourier'"),
        (dict(steps=0), "steps=0"),
        (dict(jitter=-1), "jitter=-1"),
        (dict(l2=float("nan")), "l2=nan"),
    ],
)
def test_settings_that_are_none(options, message):
    with pytest.raises(ConfigError, match=message):
        visualization.maximize(lambda x: x.sum((1, 2, 3)), KEYS, SHAPE, **options)
