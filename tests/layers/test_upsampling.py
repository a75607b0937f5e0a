"""Bilinear enlargement, as a layer and as an up-convolution, against interpolation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.upsampling import bilinear, bilinear_kernel

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 5, 3)), jnp.float32)


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_pixels_are_interpolated_between_their_centres(factor):
    found = np.asarray(bilinear(X, factor))
    assert found.shape == (2, 4 * factor, 5 * factor, 3)
    expected = np.asarray(X, np.float64)
    for axis in (1, 2):
        side = X.shape[axis]
        places = (np.arange(side * factor) + 0.5) / factor - 0.5
        old = np.arange(side)
        expected = np.apply_along_axis(lambda x: np.interp(places, old, x), axis, expected)  # noqa: B023
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 8])
def test_an_up_convolution_starts_as_the_same_interpolation(factor):
    kernel = bilinear_kernel(None, (2 * factor, 2 * factor, 3, 3), jnp.float32)
    made = jax.lax.conv_transpose(X, kernel, (factor, factor), "SAME")
    # At the border it fades, because there are zeros outside.
    inside = (slice(None), slice(factor, -factor), slice(factor, -factor))
    np.testing.assert_allclose(made[inside], bilinear(X, factor)[inside], rtol=1e-5, atol=1e-6)
