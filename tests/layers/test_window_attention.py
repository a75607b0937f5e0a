import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.window_attention import (
    WindowAttention,
    adjacent,
    merge,
    partition,
    relative_positions,
)


def test_windows_are_cut_row_by_row_and_put_back():
    x = jnp.arange(4 * 6, dtype=jnp.float32).reshape(1, 4, 6, 1)
    windows = partition(x, 2)
    assert windows.shape == (1, 6, 4, 1)
    np.testing.assert_array_equal(windows[0, :, :, 0][:2], [[0, 1, 6, 7], [2, 3, 8, 9]])
    np.testing.assert_array_equal(windows[0, 5, :, 0], [16, 17, 22, 23])
    np.testing.assert_array_equal(merge(windows, 2, 4), x)


def test_rows_of_the_table_for_a_window_of_two():
    # Tokens (0, 0), (0, 1), (1, 0), (1, 1); offsets of the query from the key, from (-1, -1) on.
    expected = [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    np.testing.assert_array_equal(relative_positions(2), expected)


def test_what_is_adjacent_in_a_grid_of_four_shifted_by_one():
    mask = adjacent(4, 4, 2, (1, 1))[:, 0]
    # The last column and row were the first ones.
    columns = np.equal.outer([0, 1, 0, 1], [0, 1, 0, 1])
    rows = np.equal.outer([0, 0, 1, 1], [0, 0, 1, 1])
    np.testing.assert_array_equal(mask[0], np.ones((4, 4), bool))
    np.testing.assert_array_equal(mask[1], columns)
    np.testing.assert_array_equal(mask[2], rows)
    np.testing.assert_array_equal(mask[3], np.eye(4, dtype=bool))


def by_hand(x, params, heads, window, shift):
    """Attends from every token to every other that its window shows it, in float64."""
    (height, width), params = x.shape[1:3], jax.tree.map(np.float64, params)
    sides = [-(-side // window) * window for side in (height, width)]
    padding = [(0, full - side) for full, side in zip(sides, (height, width))]
    x = np.pad(np.float64(x), ((0, 0), *padding, (0, 0)))
    shifts = [shift if side > window else 0 for side in sides]
    y, x_ = np.meshgrid(*map(np.arange, sides), indexing="ij")
    # Where a token lies once the grid is shifted, and whether it wrapped around.
    place = [(axis.ravel() - move) % side for axis, move, side in zip((y, x_), shifts, sides)]
    wrapped = [axis.ravel() < move for axis, move in zip((y, x_), shifts)]
    keys = [p // window for p in place] + wrapped
    seen = np.all([k[:, None] == k for k in keys], axis=0)
    dy, dx = (np.clip(p[:, None] - p, 1 - window, window - 1) + window - 1 for p in place)
    bias = params["relative_bias"][dy * (2 * window - 1) + dx]
    tokens = x.reshape(len(x), -1, x.shape[-1])
    q, k, v = (
        np.einsum("btd,dhe->bhte", tokens, params[name]["kernel"]) + params[name]["bias"][:, None]
        for name in ("query", "key", "value")
    )
    logits = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1]) + bias.transpose(2, 0, 1)
    weight = np.exp(logits) * seen
    weight /= weight.sum(-1, keepdims=True)
    out = np.einsum("bhte,hed->btd", weight @ v, params["out"]["kernel"]) + params["out"]["bias"]
    return out.reshape(x.shape)[:, :height, :width]


@pytest.mark.parametrize(
    ("height", "width", "window", "shift"),
    [(4, 6, 2, 0), (4, 6, 2, 1), (6, 6, 3, 1), (5, 7, 3, 1), (3, 7, 4, 2), (2, 3, 4, 2)],
)
def test_every_token_attends_as_by_hand(height, width, window, shift):
    layer = WindowAttention(num_heads=2, window=window, shift=shift)
    x = jax.random.normal(jax.random.key(0), (2, height, width, 8))
    shapes = jax.eval_shape(layer.init, jax.random.key(1), x)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda p: jnp.float32(rng.normal(0, 0.5, p.shape)), shapes)
    assert variables["params"]["relative_bias"].shape == ((2 * window - 1) ** 2, 2)
    y = jax.jit(layer.apply)(variables, x)
    expected = by_hand(x, variables["params"], 2, window, shift)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_features_must_divide_among_the_heads():
    layer = WindowAttention(num_heads=3, window=2)
    with pytest.raises(ValueError, match="8 features cannot be divided among 3 heads"):
        jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 2, 2, 8)))


def test_bfloat16():
    layer = WindowAttention(num_heads=2, window=2, shift=1, dtype=jnp.bfloat16)
    x = jnp.zeros((1, 4, 4, 8), jnp.bfloat16)
    y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
