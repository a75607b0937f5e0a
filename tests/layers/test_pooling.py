import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.pooling import adaptive_average_pool, max_pool_to_the_edge


def windows(x, ranges, reduce):
    rows, columns = ranges
    return np.stack(
        [np.stack([reduce(x[:, r, c], axis=(1, 2)) for c in columns], axis=1) for r in rows], axis=1
    )


# Rows of each output row, as PyTorch's adaptive_avg_pool2d has them.
@pytest.mark.parametrize(
    ("shape", "size", "rows", "columns"),
    [
        ((14, 13), 4, ((0, 4), (3, 7), (7, 11), (10, 14)), ((0, 4), (3, 7), (6, 10), (9, 13))),
        ((4, 6), 2, ((0, 2), (2, 4)), ((0, 3), (3, 6))),
        ((2, 1), 3, ((0, 1), (0, 2), (1, 2)), ((0, 1), (0, 1), (0, 1))),
        ((3, 5), 1, ((0, 3),), ((0, 5),)),
    ],
)
def test_averages(shape, size, rows, columns):
    x = jax.random.normal(jax.random.key(0), (2, *shape, 3))
    ranges = [[slice(*ends) for ends in axis] for axis in (rows, columns)]
    expected = windows(np.float64(x), ranges, np.mean)
    np.testing.assert_allclose(adaptive_average_pool(x, size), expected, atol=1e-6)


def test_averages_of_the_same_size_are_the_identity():
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    np.testing.assert_array_equal(adaptive_average_pool(x, 5), x)


def test_averages_keep_the_type():
    x = jnp.ones((1, 5, 5, 2), jnp.bfloat16)
    assert adaptive_average_pool(x, 3).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("side", "size", "stride", "rows"),
    [
        (8, 3, 2, ((0, 3), (2, 5), (4, 7), (6, 8))),
        (7, 3, 2, ((0, 3), (2, 5), (4, 7))),
        (2, 3, 2, ((0, 2),)),
        (5, 2, 2, ((0, 2), (2, 4), (4, 5))),
        (1, 2, 2, ((0, 1),)),
    ],
)
def test_maxima_leave_nothing_out(side, size, stride, rows):
    x = -jnp.exp(jax.random.normal(jax.random.key(0), (2, side, 9, 3)))
    columns = [(i * stride, min(i * stride + size, 9)) for i in range(-(-(9 - size) // stride) + 1)]
    ranges = [[slice(*ends) for ends in axis] for axis in (rows, columns)]
    expected = windows(np.asarray(x), ranges, np.max)
    np.testing.assert_array_equal(max_pool_to_the_edge(x, size, stride), expected)
