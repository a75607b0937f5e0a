import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.positions import LearnedPositions, sincos2d


def test_sincos2d_is_the_hand_computation():
    table = sincos2d(2, 3, 12, temperature=100.0)
    assert table.shape == (6, 12)
    frequencies = [1, 0.1, 0.01]
    for row in range(2):
        for column in range(3):
            expected = [math.sin(column * f) for f in frequencies]
            expected += [math.cos(column * f) for f in frequencies]
            expected += [math.sin(row * f) for f in frequencies]
            expected += [math.cos(row * f) for f in frequencies]
            np.testing.assert_allclose(table[3 * row + column], expected, atol=1e-7)


@pytest.mark.parametrize(("features", "near"), [(6, "8"), (50, "48"), (4, "8")])
def test_sincos2d_says_which_sizes_work(features, near):
    with pytest.raises(ValueError, match=rf"not {features}; nearest: {near}"):
        sincos2d(2, 2, features)


def test_learned_positions_are_added_to_every_example():
    tokens = jax.random.normal(jax.random.key(1), (3, 4, 5))
    module = LearnedPositions()
    params = module.init(jax.random.key(0), tokens)
    assert params["params"]["embedding"].shape == (1, 4, 5)
    y = module.apply(params, tokens)
    np.testing.assert_array_equal(y, tokens + np.asarray(params["params"]["embedding"]))


def test_learned_positions_start_small():
    tokens = jnp.zeros((1, 200, 200))
    embedding = LearnedPositions().init(jax.random.key(0), tokens)["params"]["embedding"]
    # The standard deviation of 40,000 draws is within 1.5 % with overwhelming probability.
    assert abs(float(embedding.std()) / 0.02 - 1) < 0.015
