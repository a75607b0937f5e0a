"""Samplers on data whose best denoiser is known: x_0 ~ N(MEAN, DEVIATION^2) in each pixel."""

import numpy as np
import pytest

from library.config import ConfigError
from library.diffusion.process import make_process
from library.diffusion.samplers import ancestral, ddim, dpm_solver

MEAN, DEVIATION = 0.2, 0.5
LINEAR = make_process("linear", 1000)


def shrinkage(table):
    """E[x_0 | x_t] = MEAN + shrinkage (x_t - alpha MEAN)."""
    variance = table.alpha**2 * DEVIATION**2
    return table.alpha * DEVIATION**2 / (variance + table.sigma**2)


def final_moments(table):
    """Mean and variance of what a sampler without memory makes of standard normal noise."""
    mean, variance = 0.0, 1.0
    for i, k in enumerate(shrinkage(table)):
        slope = table.on_x[i] + table.on_x0[i] * k
        mean = slope * mean + table.on_x0[i] * MEAN * (1 - k * table.alpha[i])
        variance = slope**2 * variance + table.noise[i] ** 2
    return mean, variance


def solve(table, x):
    """Runs a sampler without noise from `x`."""
    last = np.zeros_like(x)
    for i, k in enumerate(shrinkage(table)):
        x0 = MEAN + k * (x - table.alpha[i] * MEAN)
        x = table.on_x[i] * x + table.on_x0[i] * x0 + table.on_last[i] * last
        last = x0
    return x


def exact(x, process=LINEAR):
    """Where the probability flow leads from `x` at the last time (Song et al. 2021, eq. 13)."""
    alpha, sigma = process.alpha[-1], process.sigma[-1]
    scale = DEVIATION / np.sqrt(alpha**2 * DEVIATION**2 + sigma**2)
    return MEAN + scale * (x - alpha * MEAN)


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ancestral_sampling_reaches_the_data(schedule, variance):
    mean, deviation = final_moments(ancestral(make_process(schedule, 1000), variance))
    np.testing.assert_allclose(mean, MEAN, atol=0.005)
    np.testing.assert_allclose(np.sqrt(deviation), DEVIATION, rtol=0.01)


def test_more_steps_are_nearer():
    errors = [
        abs(final_moments(ancestral(LINEAR, "beta_tilde", steps=steps))[1] - DEVIATION**2)
        for steps in (10, 50, 250, 1000)
    ]
    assert errors == sorted(errors, reverse=True)


def test_ddim_with_eta_1_is_ancestral_sampling_with_beta_tilde():
    ours, theirs = ddim(LINEAR, steps=40, eta=1.0), ancestral(LINEAR, "beta_tilde", steps=40)
    for name in ("time", "alpha", "sigma", "on_x", "on_x0", "on_last", "noise"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_steps_keep_the_moments_of_the_forward_process(eta):
    table = ddim(LINEAR, steps=10, eta=eta)
    alpha, sigma = np.append(table.alpha[1:], 1), np.append(table.sigma[1:], 0)
    # With x = alpha x_0 + sigma noise, for any x_0 (Song et al. 2021, lemma 1).
    np.testing.assert_allclose(table.on_x * table.alpha + table.on_x0, alpha, atol=1e-12)
    total = (table.on_x * table.sigma) ** 2 + table.noise**2
    np.testing.assert_allclose(total, sigma**2, atol=1e-12)
    assert eta > 0 or not table.noise.any()


def test_a_single_step_is_the_mean_of_the_image():
    for table in (ddim(LINEAR, steps=1), dpm_solver(LINEAR, steps=1)):
        assert table.time.tolist() == [999]
        np.testing.assert_allclose([table.on_x, table.on_x0, table.noise], [[0], [1], [0]])


@pytest.mark.parametrize("steps", [2, 10, 25, 600, 1000])
def test_times_of_second_order_are_even_in_the_log_signal_to_noise_ratio(steps):
    table = dpm_solver(LINEAR, steps=steps)
    assert len(table.time) == steps
    assert (table.time[0], table.time[-1]) == (999, 0)
    assert np.all(np.diff(table.time) < 0)
    if steps <= 25:
        advance = np.diff(np.log(table.alpha / table.sigma))
        # A time at the end of the schedule is a quarter off of its place at most.
        np.testing.assert_allclose(advance, advance.mean(), rtol=0.5)


def test_two_times_of_first_order_are_ddim():
    ours, theirs = dpm_solver(LINEAR, steps=2), ddim(LINEAR, steps=2)
    np.testing.assert_allclose(ours.on_x, theirs.on_x, atol=1e-12)
    np.testing.assert_allclose(ours.on_x0, theirs.on_x0, atol=1e-12)


def test_second_order_extrapolates_along_the_log_signal_to_noise_ratio():
    table = dpm_solver(LINEAR, steps=12)
    advance = np.diff(np.log(table.alpha / table.sigma))
    base = table.on_x0 + table.on_last
    alpha, sigma = np.append(table.alpha[1:], 1), np.append(table.sigma[1:], 0)
    np.testing.assert_allclose(base, alpha - sigma / table.sigma * table.alpha, rtol=1e-9)
    np.testing.assert_allclose(table.on_x, sigma / table.sigma, rtol=1e-12)
    ratio = -table.on_last[1:-1] / base[1:-1]
    np.testing.assert_allclose(ratio, advance[1:] / (2 * advance[:-1]), rtol=1e-9)
    assert table.on_last[0] == table.on_last[-1] == 0


def test_errors_fall_with_the_order():
    x = np.linspace(-2, 2, 9)
    # Fewer steps than crowd at the end, where times are whole numbers.
    fine = make_process("linear", 100_000)
    first, second = (
        np.array([np.abs(solve(f(fine, steps=n), x) - exact(x, fine)).max() for n in (20, 40, 80)])
        for f in (ddim, dpm_solver)
    )
    assert np.all(second < first / 5)
    np.testing.assert_allclose(first[:-1] / first[1:], 2, rtol=0.25)
    np.testing.assert_allclose(second[:-1] / second[1:], 4, rtol=0.25)


def test_second_order_is_nearer_than_first_at_equal_steps():
    x = np.linspace(-2, 2, 9)
    for steps in (5, 10, 20, 50):
        first, second = (
            np.abs(solve(f(LINEAR, steps=steps), x) - exact(x)).max() for f in (ddim, dpm_solver)
        )
        assert second < first / 2


def test_all_steps_of_ddim_solve_the_flow():
    x = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(solve(ddim(LINEAR, steps=1000), x), exact(x), atol=0.01)


@pytest.mark.parametrize("steps", [0, -1, 1001])
@pytest.mark.parametrize("sampler", [ddim, dpm_solver])
def test_steps_are_those_that_the_schedule_has(sampler, steps):
    with pytest.raises(ConfigError, match=f"steps={steps}: valid are 1 to 1000"):
        sampler(LINEAR, steps=steps)
    with pytest.raises(ConfigError, match=f"steps={steps}: valid are 1 to 1000"):
        ancestral(LINEAR, "beta", steps=steps)


def test_eta_outside_of_its_range():
    with pytest.raises(ConfigError, match=r"eta=1\.5: valid are 0"):
        ddim(LINEAR, eta=1.5)
