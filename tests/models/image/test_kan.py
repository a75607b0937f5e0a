"""Kolmogorov-Arnold networks against SciPy's B-splines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline

from library.config import ConfigError
from library.layers.splines import spline_basis
from library.models.image import kan

RANDOM = np.random.default_rng(0)


def knots_of(intervals, degree, span):
    return np.arange(-degree, intervals + degree + 1) * 2 * span / intervals - span


@pytest.mark.parametrize("degree", [pytest.param(1, marks=pytest.mark.full), 3])
def test_the_basis_is_that_of_scipy(degree):
    knots, x = knots_of(4, degree, 1.0), np.linspace(-0.999, 0.999, 50)
    basis = jax.jit(spline_basis, static_argnums=2)
    found = basis(jnp.float32(x), jnp.float32(knots), degree)
    expected = BSpline.design_matrix(x, knots, degree).toarray()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=2e-6)


def edge(u, kernel, spline, knots, degree):
    """Returns w silu(u) + sum_i c_i B_i(u) by SciPy, also beyond the grid."""
    step = knots[1] - knots[0]
    more = step * np.arange(1, degree + 1)
    wide = np.concatenate([knots[0] - more[::-1], knots, knots[-1] + more])
    curve = BSpline(wide, np.pad(spline, degree), degree, extrapolate=False)
    return kernel * u / (1 + np.exp(-u)) + np.nan_to_num(curve(u))


def test_a_network_adds_the_functions_of_its_edges():
    model = kan.KAN(num_classes=2, hidden=(3,), intervals=4, degree=2, span=1.5)
    # Some inputs, and some hidden units, lie beyond the grid.
    x, knots = RANDOM.uniform(-4, 4, (20, 2)), knots_of(4, 2, 1.5)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.float32(x))["params"]
    params = jax.tree.map(lambda p: RANDOM.normal(size=p.shape).astype(np.float32), shapes)
    hidden, edges = x, None
    for name in ("layer1", "head"):
        kernel, spline = params[name]["kernel"], params[name]["spline"]
        edges = np.stack(
            [
                [
                    edge(hidden[:, i], kernel[i, j], spline[i, j], knots, 2)
                    for j in range(kernel.shape[1])
                ]
                for i in range(kernel.shape[0])
            ]
        )
        hidden = edges.sum(0).T
    apply = jax.jit(lambda x: model.apply({"params": params}, x, mutable=["intermediates"]))
    found, recorded = apply(jnp.float32(x))
    np.testing.assert_allclose(found, hidden, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        recorded["intermediates"]["edges2"], edges.transpose(2, 0, 1), rtol=1e-4, atol=1e-4
    )


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match="degree=0: sizes and counts are 1 or more"):
        kan.KAN(degree=0)
    with pytest.raises(ConfigError, match=r"span=-1\.0: valid are finite numbers above 0"):
        kan.KAN(span=-1.0)
