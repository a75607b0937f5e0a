import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.diffusion import schedules
from library.diffusion.process import (
    PREDICTIONS,
    loss_weights,
    make_process,
    noised,
    posterior,
)

RANDOM = np.random.default_rng(0)


def test_linear_schedule_is_that_of_ddpm():
    betas = schedules.linear(1000)
    np.testing.assert_allclose(betas, [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)])
    kept = 1.0
    for beta in betas:
        kept *= 1 - beta
    process = make_process("linear", 1000)
    np.testing.assert_allclose(process.alphas_cumprod[-1], kept, rtol=1e-12)
    # About 1e-5 bits a dimension of an image are left at the end (Ho et al. 2020, section 4).
    assert 3e-5 < kept < 5e-5


def test_linear_schedule_of_other_lengths_adds_as_much_noise():
    ends = [make_process("linear", steps).alphas_cumprod[-1] for steps in (4000, 1000, 250)]
    np.testing.assert_allclose(np.log(ends), np.log(ends[1]), rtol=0.03)
    assert schedules.linear(3).max() < 1


def test_cosine_schedule_is_equation_17():
    process = make_process("cosine", 500)
    time = np.arange(501) / 500
    f = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(process.alphas_cumprod[:-1], f[1:-1] / f[0], rtol=1e-10)
    # The last beta, which would be 1, is clipped.
    ratio = process.alphas_cumprod[-1] / process.alphas_cumprod[-2]
    np.testing.assert_allclose(ratio, 1 - 0.999)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_noising_at_once_has_the_moments_of_noising_step_by_step(schedule):
    betas = getattr(schedules, schedule)(50)
    process, mean, variance = make_process(schedule, 50), 1.0, 0.0
    for t, beta in enumerate(betas):
        mean, variance = np.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        np.testing.assert_allclose(process.alpha[t], mean, rtol=1e-9)
        np.testing.assert_allclose(process.sigma[t] ** 2, variance, rtol=1e-9)
    x0 = jnp.full((40_000, 1, 1, 1), 0.7)
    noise = jax.random.normal(jax.random.key(0), x0.shape)
    x = np.asarray(noised(process, x0, jnp.full(40_000, 20), noise), np.float64)
    np.testing.assert_allclose(x.mean(), 0.7 * process.alpha[20], atol=4 / 200)
    np.testing.assert_allclose(x.var(), process.sigma[20] ** 2, rtol=4 * np.sqrt(2) / 200)


def test_each_example_has_its_own_time():
    process = make_process("linear", 10)
    x0, noise = (jnp.asarray(RANDOM.normal(size=(3, 2, 2, 1)), jnp.float32) for _ in range(2))
    time = np.array([0, 9, 4])
    alpha, sigma = (table[time].reshape(3, 1, 1, 1) for table in (process.alpha, process.sigma))
    found = noised(process, x0, jnp.asarray(time), noise)
    np.testing.assert_allclose(found, alpha * x0 + sigma * noise, rtol=1e-6)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_a_right_prediction_gives_back_the_image(kind):
    to_x0, target, _ = PREDICTIONS[kind]
    process = make_process("cosine", 20)
    x0, noise = RANDOM.normal(size=(2, 20))
    x = process.alpha * x0 + process.sigma * noise
    y = target(x0, noise, process.alpha, process.sigma)
    np.testing.assert_allclose(to_x0(x, y, process.alpha, process.sigma), x0, rtol=1e-8)


def test_targets_by_hand():
    targets = {kind: PREDICTIONS[kind][1](2.0, 3.0, 0.8, 0.6) for kind in PREDICTIONS}
    assert targets == pytest.approx({"epsilon": 3.0, "x0": 2.0, "v": 0.8 * 3 - 0.6 * 2})


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_min_snr_weights_are_those_of_the_error_of_the_image(kind):
    process = make_process("cosine", 30)
    alpha, sigma = process.alpha, process.sigma
    # An error e of the prediction is this error of the image.
    factor = {"epsilon": sigma / alpha, "x0": 1.0, "v": sigma}[kind]
    weights = loss_weights(process, kind, 5.0)
    np.testing.assert_allclose(weights, np.minimum((alpha / sigma) ** 2, 5) * factor**2, rtol=1e-9)
    np.testing.assert_array_equal(loss_weights(process, kind, None), np.ones(30))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_posterior_is_bayes_rule(schedule):
    process, betas = make_process(schedule, 30), getattr(schedules, schedule)(30)
    q = posterior(process)
    for t in range(1, 30):
        before = process.alphas_cumprod[t - 1]
        # Likelihood N(x_t; sqrt(1 - beta) x, beta) times prior N(x; sqrt(before) x_0, 1 - before).
        precision = (1 - betas[t]) / betas[t] + 1 / (1 - before)
        np.testing.assert_allclose(np.exp(q.log_beta_tilde[t]), 1 / precision, rtol=1e-9)
        on_x = np.sqrt(1 - betas[t]) / betas[t] / precision
        np.testing.assert_allclose(q.on_x[t], on_x, rtol=1e-9)
        on_x0 = np.sqrt(before) / (1 - before) / precision
        np.testing.assert_allclose(q.on_x0[t], on_x0, rtol=1e-9)
        np.testing.assert_allclose(np.exp(q.log_beta[t]), betas[t], rtol=1e-9)
    assert q.on_x[0] == 0
    np.testing.assert_allclose(q.on_x0[0], 1)
    assert q.log_beta_tilde[0] == q.log_beta_tilde[1]


def test_fixed_variances_differ_after_the_first_time():
    q = posterior(make_process("linear", 10))
    beta, tilde = (q.fixed_log_variance(kind) for kind in ("beta", "beta_tilde"))
    np.testing.assert_array_equal(tilde, q.log_beta_tilde)
    np.testing.assert_array_equal(beta[1:], q.log_beta[1:])
    assert beta[0] == tilde[0]


@pytest.mark.parametrize("steps", [1, 2, 7, 99, 100])
def test_respaced_times_reach_both_ends(steps):
    process = make_process("linear", 100)
    short, times = process.respaced(steps)
    assert len(np.unique(times)) == steps
    assert times[-1] == 99
    assert steps == 1 or times[0] == 0
    assert np.all(np.diff(times) > 0)
    np.testing.assert_array_equal(short.alphas_cumprod, process.alphas_cumprod[times])


def test_bad_requests_name_what_is_valid():
    with pytest.raises(ConfigError, match=r"unknown noise schedule 'cosin': did you mean 'cosine'"):
        make_process("cosin", 10)
    with pytest.raises(ConfigError, match="timesteps=1: a diffusion has 2 steps or more"):
        make_process("cosine", 1)
    with pytest.raises(ConfigError, match=r"min_snr=0\.0"):
        loss_weights(make_process("cosine", 10), "v", 0.0)
