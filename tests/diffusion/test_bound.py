import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from library.diffusion.bound import (
    discretized_log_likelihood,
    gaussian_kl,
    interpolated_log_variance,
    prior_bits,
    step_bits,
)
from library.diffusion.process import Process, make_process, posterior

RANDOM = np.random.default_rng(0)
GRID = np.linspace(-1, 1, 256)


def images(values):
    return jnp.asarray(np.reshape(values, (-1, 1, 1, 1)), jnp.float32)


def test_learned_variances_lie_between_beta_tilde_and_beta():
    raw = images([-1.0, 0.0, 1.0, 3.0])
    low, high = (jnp.full((1, 1, 1, 1), value) for value in (-8.0, -4.0))
    found = interpolated_log_variance(raw, low, high)
    np.testing.assert_allclose(found[:, 0, 0, 0], [-8, -6, -4, 0], rtol=1e-6)


def test_divergence_of_gaussians_by_integration():
    (m1, s1), (m2, s2) = (0.3, 0.7), (-0.2, 1.1)
    first, second = stats.norm(m1, s1), stats.norm(m2, s2)
    numeric, _ = integrate.quad(
        lambda x: first.pdf(x) * (first.logpdf(x) - second.logpdf(x)), -8, 8
    )
    logs = (jnp.float32(2 * np.log(s)) for s in (s1, s2))
    (log1, log2), (m1, m2) = logs, (jnp.float32(m) for m in (m1, m2))
    np.testing.assert_allclose(gaussian_kl(m1, log1, m2, log2), numeric, rtol=1e-5)


@pytest.mark.parametrize(
    ("mean", "scale"), [(0.1, 0.01), (-0.97, 0.05), (0.4, 0.5), (0.999, 0.004)]
)
def test_discretized_gaussian_by_its_distribution_function(mean, scale):
    found = discretized_log_likelihood(
        images(GRID), jnp.full((256, 1, 1, 1), mean), jnp.full((1, 1, 1, 1), 2 * np.log(scale))
    )[:, 0, 0, 0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(np.float64(found)).sum(), 1, rtol=1e-5)
    edges = np.concatenate([[-np.inf], (GRID[1:] + GRID[:-1]) / 2, [np.inf]])
    mass = np.diff(stats.norm(np.float32(mean), scale).cdf(edges))
    solid = mass > 1e-7
    assert solid.sum() > 3
    np.testing.assert_allclose(np.asarray(found)[solid], np.log(mass[solid]), rtol=2e-4, atol=2e-5)


def test_prior_by_hand():
    process = Process(np.array([0.9, 0.5, 0.2]))
    values = RANDOM.uniform(-1, 1, (3, 2, 2, 1))
    kept = process.alphas_cumprod[-1]
    each = 0.5 * (kept * values**2 + (1 - kept) - 1 - np.log(1 - kept)) / np.log(2)
    found = prior_bits(process, jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(found, each.mean((1, 2, 3)), rtol=1e-4)


def test_a_step_that_is_right_costs_nothing_and_an_error_its_square():
    process, time = make_process("linear", 20), jnp.array([1, 10, 19])
    x0, x = (jnp.asarray(RANDOM.normal(size=(3, 2, 2, 1)), jnp.float32) for _ in range(2))
    assert np.abs(step_bits(process, "beta_tilde", x0, x, time, x0, None)).max() < 1e-6
    q = posterior(process)
    found = step_bits(process, "beta_tilde", x0, x, time, x0 + 0.1, None)
    expected = (q.on_x0 * 0.1) ** 2 / np.exp(q.log_beta_tilde) / 2 / np.log(2)
    np.testing.assert_allclose(found, expected[np.asarray(time)], rtol=1e-4)


def test_the_larger_variance_costs_its_divergence():
    process, time = make_process("linear", 20), jnp.array([1, 10, 19])
    x0, x = (jnp.asarray(RANDOM.normal(size=(3, 2, 2, 1)), jnp.float32) for _ in range(2))
    found = step_bits(process, "beta", x0, x, time, x0, None)
    q = posterior(process)
    ratio = (q.log_beta_tilde - q.log_beta)[np.asarray(time)]
    np.testing.assert_allclose(
        found, 0.5 * (np.exp(ratio) - 1 - ratio) / np.log(2), rtol=1e-4, atol=1e-7
    )
    learned = step_bits(process, "learned", x0, x, time, x0, jnp.ones_like(x))
    np.testing.assert_allclose(learned, found, rtol=1e-4, atol=1e-7)
