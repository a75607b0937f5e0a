import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.channel_shuffle import channel_shuffle


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (1, [0, 1, 2, 3, 4, 5]),
        (2, [0, 3, 1, 4, 2, 5]),
        (3, [0, 2, 4, 1, 3, 5]),
        (6, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_the_first_of_every_group_come_first(groups, expected):
    x = 10 * jnp.arange(4.0).reshape(1, 2, 2, 1) + jnp.arange(6.0)
    y = np.asarray(channel_shuffle(x, groups))
    np.testing.assert_array_equal(y[0, 0, 0], expected)
    np.testing.assert_array_equal(y[0, 1, 1], np.array(expected) + 30)


def test_a_shuffle_by_the_size_of_a_group_undoes_one_by_their_number():
    x = jnp.arange(24.0).reshape(1, 1, 2, 12)
    np.testing.assert_array_equal(channel_shuffle(channel_shuffle(x, 3), 4), x)
