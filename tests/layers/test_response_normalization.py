import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.response_normalization import local_response_norm


def by_the_formula(a, n, k, alpha, beta):
    """Krizhevsky et al. 2012, section 3.3, channel by channel in float64."""
    a = np.asarray(a, np.float64)
    channels = a.shape[-1]
    b = np.empty_like(a)
    for i in range(channels):
        low, high = max(0, i - n // 2), min(channels - 1, i + n // 2)
        total = sum(a[..., j] ** 2 for j in range(low, high + 1))
        b[..., i] = a[..., i] / (k + alpha * total) ** beta
    return b


@pytest.fixture
def x():
    return 30 * jax.random.normal(jax.random.key(0), (2, 3, 2, 9))


@pytest.mark.parametrize(
    ("window", "k", "alpha", "beta"),
    [(5, 2.0, 1e-4, 0.75), (3, 1.0, 0.1, 0.5), (21, 0.5, 1.0, 1.0)],
)
def test_formula_of_the_paper(x, window, k, alpha, beta):
    y = local_response_norm(x, window=window, k=k, alpha=alpha, beta=beta)
    np.testing.assert_allclose(y, by_the_formula(x, window, k, alpha, beta), rtol=2e-6)


def test_constants_of_the_paper_are_the_defaults(x):
    np.testing.assert_array_equal(
        local_response_norm(x), local_response_norm(x, window=5, k=2.0, alpha=1e-4, beta=0.75)
    )


def test_values_by_hand():
    x = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    y = local_response_norm(x, window=3, k=1.0, alpha=1.0, beta=1.0)
    np.testing.assert_allclose(y[0], [1 / 6, 2 / 15, 3 / 30, 4 / 26], rtol=1e-6)


def test_an_even_window_reaches_further_down_as_pytorchs_does():
    x = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    y = local_response_norm(x, window=2, k=1.0, alpha=1.0, beta=1.0)
    np.testing.assert_allclose(y[0], [1 / 2, 2 / 6, 3 / 14, 4 / 26], rtol=1e-6)


def test_gradient_is_that_of_the_formula(x):
    x = np.asarray(x[0, 0])
    weight = np.random.default_rng(0).standard_normal(x.shape)
    gradient = jax.grad(lambda x: (local_response_norm(x, alpha=1e-2) * weight).sum())(x)
    step = 1e-5
    for place in np.ndindex(x.shape):
        shift = np.zeros(x.shape)
        shift[place] = step
        ends = [(by_the_formula(x + s, 5, 2.0, 1e-2, 0.75) * weight).sum() for s in (shift, -shift)]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert float(gradient[place]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_bfloat16_is_summed_in_float32(x):
    rounded = x.astype(jnp.bfloat16)
    y = local_response_norm(rounded)
    assert y.dtype == jnp.bfloat16
    expected = local_response_norm(rounded.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(y, expected)
