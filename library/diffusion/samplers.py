"""Samplers as tables of the factors of x_t, the predicted x_0 and new noise in each step.

Every sampler here is linear: x_next = on_x x + on_x0 x_0 + on_last x_0' + noise z. x_0' is the
prediction of the step before, and z is standard normal. So one loop runs all samplers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from library.config import ConfigError
from library.diffusion.process import Process, posterior


class Table(NamedTuple):
    """The steps of a sampler, from noise to image. Arrays have one row for each step.

    Attributes:
      time: time at which the model predicts.
      alpha: factor of the image at that time.
      sigma: standard deviation of the noise at that time.
      on_x: factor of the noisy image.
      on_x0: factor of the predicted image.
      on_last: factor of the image that the step before predicted, 0 in the first step.
      noise: standard deviation of the new noise.
      log_variances: None, or (log beta tilde, log beta). A model with learned variances chooses the
        log variance of the new noise between them, in steps where `noise` is not 0.
    """

    time: Int[np.ndarray, " s"]
    alpha: Float[np.ndarray, " s"]
    sigma: Float[np.ndarray, " s"]
    on_x: Float[np.ndarray, " s"]
    on_x0: Float[np.ndarray, " s"]
    on_last: Float[np.ndarray, " s"]
    noise: Float[np.ndarray, " s"]
    log_variances: Float[np.ndarray, "s 2"] | None = None


def ancestral(process: Process, variance: str, *, steps: int | None = None) -> Table:
    """Samples the reverse chain (Ho et al. 2020, algorithm 2).

    Args:
      process: the noise schedule.
      variance: "beta", "beta_tilde" or "learned".
      steps: number of steps, by default that of the schedule. A smaller number gives a chain over
        evenly spaced times (Nichol & Dhariwal 2021, section 4).

    Raises:
      ConfigError: there is less than one step, or more than the schedule has.
    """
    short, times = _respaced(process, process.timesteps if steps is None else steps)
    q = posterior(short)
    learned = variance == "learned"
    log_variance = q.fixed_log_variance("beta" if learned else variance)
    # The last step adds no noise: its result is the mean.
    noise = np.where(np.arange(len(times)) > 0, np.exp(log_variance / 2), 0)
    bounds = np.stack([q.log_beta_tilde, q.log_beta], axis=-1)[::-1] if learned else None
    return _backward(short, times, q.on_x, q.on_x0, 0 * q.on_x, noise)._replace(
        log_variances=bounds
    )


def ddim(process: Process, *, steps: int = 50, eta: float = 0.0) -> Table:
    """Samples without new noise, or with `eta` times the noise of `ancestral` with "beta_tilde".

    Song et al. 2021, arXiv 2010.02502, eq. 12 and 16.

    Args:
      process: the noise schedule.
      steps: number of steps, at most that of the schedule.
      eta: factor of the noise, 0 to 1.

    Raises:
      ConfigError: the number of steps is invalid, see `ancestral`, or eta is outside [0, 1].
    """
    if not 0 <= eta <= 1:
        raise ConfigError(f"sampler, eta={eta}: valid are 0 (no noise) to 1 (ancestral)")
    short, times = _respaced(process, steps)
    alpha, sigma, before_alpha, before_sigma = _neighbours(short)
    noise = eta * before_sigma / sigma * np.sqrt(1 - (alpha / before_alpha) ** 2)
    on_noise = np.sqrt(before_sigma**2 - noise**2) / sigma
    on_x0 = before_alpha - on_noise * alpha
    return _backward(short, times, on_noise, on_x0, 0 * alpha, noise)


def dpm_solver(process: Process, *, steps: int = 20) -> Table:
    """Solves the equation of DDIM to second order: DPM-Solver++(2M), algorithm 2.

    Lu et al. 2022, arXiv 2211.01095. Times are evenly spaced in the log of the signal-to-noise
    ratio, as far as the schedule allows. The first step, which has no earlier prediction, and the
    last step, at whose end the ratio is infinite, are of first order.

    Args:
      process: the noise schedule.
      steps: number of steps, at most that of the schedule.

    Raises:
      ConfigError: the number of steps is invalid, see `ancestral`.
    """
    _check_steps(process, steps)
    times = _even_in_log_snr(process, steps)
    short = Process(process.alphas_cumprod[times])
    alpha, sigma, before_alpha, before_sigma = _neighbours(short)
    log_snr = np.log(alpha / sigma)
    advance = np.diff(log_snr[::-1])
    correction = np.zeros(len(times))
    correction[1:-1] = advance[1:] / advance[:-1] / 2
    on_x = before_sigma / sigma
    on_x0, correction = before_alpha - on_x * alpha, correction[::-1]
    return _backward(short, times, on_x, on_x0 * (1 + correction), -on_x0 * correction, 0 * alpha)


def _respaced(process, steps):
    _check_steps(process, steps)
    return process.respaced(steps)


def _check_steps(process, steps):
    if not 1 <= steps <= process.timesteps:
        raise ConfigError(
            f"sampler, steps={steps}: valid are 1 to {process.timesteps}, the schedule's timesteps"
        )


def _even_in_log_snr(process, steps):
    log_snr, last = np.log(process.snr), process.timesteps - 1
    wanted = np.linspace(log_snr[-1], log_snr[0], steps)[::-1]
    times = np.round(np.interp(-wanted, -log_snr, np.arange(last + 1))).astype(np.int64)
    # If the schedule is too coarse, two steps would share a time; then take the next free time.
    i = np.arange(steps)
    return np.minimum(np.maximum.accumulate(times - i) + i, last + 1 - steps + i)


def _neighbours(process):
    """Returns alpha and sigma of each time, and of the time before it, which has less noise."""
    alpha, sigma = process.alpha, process.sigma
    return alpha, sigma, np.append(1.0, alpha[:-1]), np.append(0.0, sigma[:-1])


def _backward(process, times, on_x, on_x0, on_last, noise):
    columns = (times, process.alpha, process.sigma, on_x, on_x0, on_last, noise)
    return Table(*(column[::-1] for column in columns))
