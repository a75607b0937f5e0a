import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.stochastic_depth import StochasticDepth, rates


def test_each_example_is_dropped_or_scaled_whole():
    x = jax.random.normal(jax.random.key(0), (64, 5, 3))
    y = StochasticDepth(0.25).apply({}, x, True, rngs={"dropout": jax.random.key(1)})
    kept = np.asarray(y[:, 0, 0] != 0)
    assert 0 < kept.sum() < 64
    np.testing.assert_array_equal(np.asarray(y)[~kept], 0)
    np.testing.assert_allclose(
        np.asarray(y)[kept], np.asarray(x)[kept] / np.float32(0.75), rtol=1e-6
    )


def test_expectation_is_the_branch():
    x = jnp.ones((40_000, 1))
    y = StochasticDepth(0.2).apply({}, x, True, rngs={"dropout": jax.random.key(0)})
    # Each example has variance 0.2 / 0.8, so the mean's standard deviation is 0.0025.
    assert abs(float(y.mean()) - 1) < 4 * 0.0025


@pytest.mark.parametrize(("rate", "train"), [(0.0, True), (0.9, False)])
def test_nothing_is_dropped_and_no_key_is_asked_for(rate, train):
    x = jnp.ones((3, 2))
    np.testing.assert_array_equal(StochasticDepth(rate).apply({}, x, train), x)


def test_rates_grow_linearly_from_zero():
    np.testing.assert_allclose(rates(0.3, 4), [0, 0.1, 0.2, 0.3])
    assert rates(0.3, 1) == [0]
