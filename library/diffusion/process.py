"""The forward process of Gaussian diffusion, its posterior and what a model may predict of it.

x_t = alpha_t x_0 + sigma_t noise, with alpha^2 = alphas_cumprod and sigma^2 = 1 - alphas_cumprod.
Times count from 0, the least noise, to T - 1. Tables are numpy, computed in float64.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from library.config import ConfigError, check_choice, locate

# How each prediction makes x_0 of (x_t, prediction, alpha, sigma), what it is meant to be, as a
# function of (x_0, noise, alpha, sigma), and its weight in units of that of x_0 by (snr).
PREDICTIONS = {
    "epsilon": (
        lambda x, y, alpha, sigma: (x - sigma * y) / alpha,
        lambda x0, noise, alpha, sigma: noise,
        lambda snr: 1 / snr,
    ),
    "x0": (
        lambda x, y, alpha, sigma: y,
        lambda x0, noise, alpha, sigma: x0,
        lambda snr: np.ones_like(snr),
    ),
    # Salimans & Ho 2022, arXiv 2202.00512, appendix D.
    "v": (
        lambda x, y, alpha, sigma: alpha * x - sigma * y,
        lambda x0, noise, alpha, sigma: alpha * noise - sigma * x0,
        lambda snr: 1 / (snr + 1),
    ),
}
VARIANCES = ("beta", "beta_tilde", "learned")


class Process(NamedTuple):
    """A noise schedule.

    Attributes:
      alphas_cumprod: share of the variance that is the image's, by time.
    """

    alphas_cumprod: Float[np.ndarray, " t"]

    @property
    def timesteps(self) -> int:
        """T, the number of times."""
        return len(self.alphas_cumprod)

    @property
    def alpha(self) -> Float[np.ndarray, " t"]:
        """What is left of the image, by time."""
        return np.sqrt(self.alphas_cumprod)

    @property
    def sigma(self) -> Float[np.ndarray, " t"]:
        """Deviation of the noise, by time."""
        return np.sqrt(1 - self.alphas_cumprod)

    @property
    def snr(self) -> Float[np.ndarray, " t"]:
        """Ratio of signal to noise, alpha^2 / sigma^2, by time."""
        return self.alphas_cumprod / (1 - self.alphas_cumprod)

    def respaced(self, steps: int) -> tuple["Process", Int[np.ndarray, " s"]]:
        """Returns the process of `steps` of the times, and these times, both ends included.

        They are evenly spaced and rounded (Nichol & Dhariwal 2021, section 4); one step is the
        last time's.
        """
        times = np.round(np.linspace(0, self.timesteps - 1, steps)).astype(np.int64)
        times[-1] = self.timesteps - 1
        return Process(self.alphas_cumprod[times]), times


class Posterior(NamedTuple):
    """q(x_{t-1} | x_t, x_0), and the variances that a model may give p(x_{t-1} | x_t), by time.

    Attributes:
      on_x: the mean is `on_x * x_t + on_x0 * x_0` (Ho et al. 2020, eq. 7).
      on_x0: see `on_x`.
      log_beta_tilde: log variance of the posterior; at time 0, where it is none, time 1's.
      log_beta: log variance of q(x_t | x_{t-1}).
    """

    on_x: Float[np.ndarray, " t"]
    on_x0: Float[np.ndarray, " t"]
    log_beta_tilde: Float[np.ndarray, " t"]
    log_beta: Float[np.ndarray, " t"]

    def fixed_log_variance(self, variance: str) -> Float[np.ndarray, " t"]:
        """Returns the log variances of p for "beta" or "beta_tilde", alike at time 0.

        Ho et al. 2020, section 3.2; that time 0 has time 1's beta tilde is their program's.
        """
        if variance == "beta_tilde":
            return self.log_beta_tilde
        return np.concatenate([self.log_beta_tilde[:1], self.log_beta[1:]])


def make_process(schedule: str, timesteps: int) -> Process:
    """Builds the process of a schedule, a function of library/diffusion/schedules.py.

    Raises:
      ConfigError: an unknown schedule, or less than two steps.
    """
    if timesteps < 2:
        raise ConfigError(f"timesteps={timesteps}: a diffusion has 2 steps or more")
    betas = locate(schedule, "library.diffusion.schedules", "noise schedule")(timesteps)
    return Process(np.cumprod(1 - betas))


def posterior(process: Process) -> Posterior:
    """Computes the posterior of each step of a process (Ho et al. 2020, eq. 6 and 7)."""
    now = process.alphas_cumprod
    before = np.concatenate([[1.0], now[:-1]])
    alphas = now / before
    tilde = (1 - before) / (1 - now) * (1 - alphas)
    # With a single step there is no other to take the first one's variance from.
    tilde[0] = tilde[min(1, len(tilde) - 1)] or 1 - alphas[0]
    return Posterior(
        on_x=np.sqrt(alphas) * (1 - before) / (1 - now),
        on_x0=np.sqrt(before) * (1 - alphas) / (1 - now),
        log_beta_tilde=np.log(tilde),
        log_beta=np.log(1 - alphas),
    )


def at(table: np.ndarray, time: Int[Array, " b"], ndim: int = 4) -> Float[Array, "b ..."]:
    """Looks up each example's value of a table by time, shaped to multiply its image."""
    found = jnp.asarray(table, jnp.float32)[time]
    return found.reshape(found.shape + (1,) * (ndim - 1))


def noised(
    process: Process,
    x0: Float[Array, "b h w c"],
    time: Int[Array, " b"],
    noise: Float[Array, "b h w c"],
) -> Float[Array, "b h w c"]:
    """Draws from q(x_t | x_0), the noise given (Ho et al. 2020, eq. 4)."""
    return at(process.alpha, time) * x0 + at(process.sigma, time) * noise


def loss_weights(
    process: Process, prediction: str, min_snr: float | None
) -> Float[np.ndarray, " t"]:
    """Returns the weight, by time, of a prediction's squared error.

    One everywhere, or min(snr, min_snr) in units of the error of x_0 (Hang et al. 2023, arXiv
    2303.09556, section 3.4).

    Raises:
      ConfigError: a `min_snr` that is not above 0, or an unknown prediction.
    """
    check_choice("prediction", prediction, PREDICTIONS)
    if min_snr is None:
        return np.ones(process.timesteps)
    if not min_snr > 0:
        raise ConfigError(f"min_snr={min_snr}: a bound above 0; the paper's is 5")
    return np.minimum(process.snr, min_snr) * PREDICTIONS[prediction][2](process.snr)
