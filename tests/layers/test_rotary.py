import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.rotary import rotate


def test_pairs_turn_by_their_frequency_times_the_position():
    x = jax.random.normal(jax.random.key(0), (1, 5, 2, 6))
    positions = np.array([[0, 1, 2, 7, 100]])
    rotated = rotate(x, jnp.asarray(positions))
    # As complex numbers: feature i with feature i + 3, multiplied by exp(i position 10000^(-i/3)).
    numbers = np.asarray(x[..., :3], np.float64) + 1j * np.asarray(x[..., 3:])
    angles = positions[..., None, None] * 10_000.0 ** (-np.arange(3) / 3)
    expected = numbers * np.exp(1j * angles)
    np.testing.assert_allclose(rotated[..., :3], expected.real, atol=5e-5)
    np.testing.assert_allclose(rotated[..., 3:], expected.imag, atol=5e-5)


def test_products_depend_on_the_distance_alone():
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def product(m, n):
        return jnp.sum(rotate(query, jnp.array([[m]])) * rotate(key, jnp.array([[n]])))

    for shift in (1, 9, 50):
        np.testing.assert_allclose(product(5 + shift, 2 + shift), product(5, 2), atol=1e-5)
    assert abs(product(5, 2) - product(5, 3)) > 1e-2
    # The order counts too: forwards is not backwards.
    assert abs(product(5, 2) - product(2, 5)) > 1e-2


def test_type_is_kept_and_odd_heads_are_refused():
    positions = jnp.zeros((1, 2), jnp.int32)
    assert rotate(jnp.ones((3, 2, 1, 4), jnp.bfloat16), positions).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="3 features"):
        rotate(jnp.ones((3, 2, 1, 3)), positions)
