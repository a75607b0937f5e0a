"""Pooling that remembers places, and unpooling, against loops over pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.unpooling import max_pool_with_switches, max_unpool


def by_hand(x, size):
    """Returns the maxima, the first place of each in its window, and the unpooled maxima."""
    batch, height, width, channels = x.shape
    shape = (batch, -(-height // size), -(-width // size), channels)
    pooled, place, spread = np.zeros(shape), np.zeros(shape, int), np.zeros_like(x)
    for b, i, j, c in np.ndindex(*shape):
        window = x[b, i * size : (i + 1) * size, j * size : (j + 1) * size, c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        pooled[b, i, j, c] = window[row, column]
        place[b, i, j, c] = row * size + column
        spread[b, i * size + row, j * size + column, c] = window[row, column]
    return pooled, place, spread


@pytest.mark.parametrize(("size", "shape"), [(2, (4, 6)), (2, (5, 7)), (3, (7, 6))])
def test_each_maximum_goes_back_to_its_place(size, shape):
    # Small whole numbers, so that many windows have several greatest values.
    x = np.random.default_rng(0).integers(-3, 4, (2, *shape, 3)).astype(np.float32)
    pooled, place, spread = by_hand(x, size)
    found, switches = max_pool_with_switches(jnp.asarray(x), size)
    np.testing.assert_array_equal(found, pooled)
    np.testing.assert_array_equal(switches, place)
    np.testing.assert_array_equal(max_unpool(found, switches, shape, size), spread)


def test_gradients_go_to_the_places_alone():
    x = jnp.asarray([[1.0, 1.0, 0.0], [0.0, 1.0, 5.0]])[None, ..., None]

    def summed(x):
        pooled, switches = max_pool_with_switches(x)
        weights = jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1)
        return jnp.sum(max_unpool(pooled, switches, (2, 3)) * weights)

    expected = np.float32([[1, 0, 0], [0, 0, 6]])
    np.testing.assert_array_equal(jax.grad(summed)(x)[0, ..., 0], expected)


def test_a_value_that_is_not_known_makes_its_window_unknown():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    pooled, switches = max_pool_with_switches(x)
    found = np.isnan(max_unpool(pooled, switches, (4, 4))[0, ..., 0])
    np.testing.assert_array_equal(found, np.kron([[1, 0], [0, 0]], np.ones((2, 2))))
