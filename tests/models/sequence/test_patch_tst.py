"""PatchTST: its patches, what it sees, and how a forecast follows the scale of its series."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence import patch_tst

KNOWN, CHANNELS, AHEAD = 11, 3, 2
SIZES = dict(patch=4, stride=3, width=4, depth=1, num_heads=2, hidden=6, dropout=0.0)


def series():
    draw = np.random.default_rng(0)
    return jnp.asarray(draw.normal(size=(2, KNOWN, CHANNELS)), jnp.float32)


def made():
    """Returns a compiled network, from series to forecasts (b, ahead, channels)."""
    model = patch_tst.PatchTST(AHEAD * CHANNELS, **SIZES)
    shapes = jax.eval_shape(model.init, jax.random.key(0), series())
    draw = np.random.default_rng(1)
    variables = jax.tree.map(lambda p: jnp.asarray(draw.normal(size=p.shape), p.dtype), shapes)
    return jax.jit(lambda x: model.apply(variables, x).reshape(-1, AHEAD, CHANNELS))


def test_patches_overlap_and_the_last_step_is_repeated():
    found = patch_tst.patches(jnp.arange(11.0)[None], patch=4, stride=3)[0]
    expected = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [9, 10, 10, 10]]
    np.testing.assert_array_equal(found, expected)
    assert patch_tst.patches(jnp.zeros((1, 512)), 16, 8).shape == (1, 64, 16)


def test_no_channel_sees_another_and_all_share_the_network():
    forecast, x = made(), series()
    found = forecast(x)
    other = forecast(x.at[:, :, 1].add(jnp.arange(KNOWN)))
    np.testing.assert_array_equal(found[..., [0, 2]], other[..., [0, 2]])
    assert np.abs(found[..., 1] - other[..., 1]).max() > 0.1
    turned = forecast(x[..., ::-1])
    np.testing.assert_allclose(turned[..., ::-1], found, rtol=1e-5, atol=1e-5)


def test_a_forecast_moves_and_scales_with_its_series():
    # Beside so large a variance, what is added to it does not count.
    forecast, x = made(), 1000 * series()
    np.testing.assert_allclose(forecast(5 + 3 * x), 5 + 3 * forecast(x), rtol=1e-3, atol=3)
    flat = forecast(jnp.full_like(x, 4.0))
    assert np.isfinite(flat).all()


def test_number_of_params():
    model = patch_tst.patch_tst(96 * 7)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 512, 7)))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    block = 4 * (16 * 16 + 16) + 16 * 128 + 128 + 128 * 16 + 16 + 2 * 2 * 16
    assert count == 16 * 16 + 16 + 64 * 16 + 3 * block + 64 * 16 * 96 + 96


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="width=4 cannot be divided among num_heads=3"):
        patch_tst.PatchTST(6, **{**SIZES, "num_heads": 3})
    with pytest.raises(ConfigError, match="patch=12: the series has 11 steps; nearest: 11"):
        patch_tst.PatchTST(6, **{**SIZES, "patch": 12}).init(jax.random.key(0), series())
    with pytest.raises(ConfigError, match="num_outputs=7 are no whole steps of 3 channels"):
        patch_tst.PatchTST(7, **SIZES).init(jax.random.key(0), series())
