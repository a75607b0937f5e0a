"""The forward process of Gaussian diffusion, its posterior and the predictions of a model.

x_t = alpha_t x_0 + sigma_t noise, with alpha^2 = alphas_cumprod and sigma^2 = 1 - alphas_cumprod.
Times count from 0, with the least noise, to T - 1. Tables are NumPy arrays, computed in float64.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from library.config import ConfigError, check_choice, locate

# Three functions for each prediction: x_0 of (x_t, prediction, alpha, sigma); the target of (x_0,
# noise, alpha, sigma); and, of (snr), the factor that converts a weight of the squared error of x_0
# into a weight of the squared error of the prediction.
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
      alphas_cumprod: share of the variance that comes from the image, by time.
    """

    alphas_cumprod: Float[np.ndarray, " t"]

    @property
    def timesteps(self) -> int:
        """T, the number of times."""
        return len(self.alphas_cumprod)

    @property
    def alpha(self) -> Float[np.ndarray, " t"]:
        """Factor of the image in the noisy image, by time."""
        return np.sqrt(self.alphas_cumprod)

    @property
    def sigma(self) -> Float[np.ndarray, " t"]:
        """Standard deviation of the noise, by time."""
        return np.sqrt(1 - self.alphas_cumprod)

    @property
    def snr(self) -> Float[np.ndarray, " t"]:
        """Ratio of signal to noise, alpha^2 / sigma^2, by time."""
        return self.alphas_cumprod / (1 - self.alphas_cumprod)

    def respaced(self, steps: int) -> tuple["Process", Int[np.ndarray, " s"]]:
        """Returns the process with only `steps` of the times, and these times.

        The times include both ends, are evenly spaced and rounded (Nichol & Dhariwal 2021,
        section 4). A single step has the last time.
        """
        times = np.round(np.linspace(0, self.timesteps - 1, steps)).astype(np.int64)
        times[-1] = self.timesteps - 1
        return Process(self.alphas_cumprod[times]), times


class Posterior(NamedTuple):
    """The posterior q(x_{t-1} | x_t, x_0) and the variances for p(x_{t-1} | x_t), by time.

    Attributes:
      on_x: factor of x_t in the mean `on_x * x_t + on_x0 * x_0` (Ho et al. 2020, eq. 7).
      on_x0: factor of x_0 in the mean.
      log_beta_tilde: log variance of the posterior. At time 0, where the variance is 0, it has the
        value of time 1.
      log_beta: log variance of q(x_t | x_{t-1}).
    """

    on_x: Float[np.ndarray, " t"]
    on_x0: Float[np.ndarray, " t"]
    log_beta_tilde: Float[np.ndarray, " t"]
    log_beta: Float[np.ndarray, " t"]

    def fixed_log_variance(self, variance: str) -> Float[np.ndarray, " t"]:
        """Returns the log variances of p for "beta" or "beta_tilde" (Ho et al. 2020, section 3.2).

        At time 0 both have the beta tilde of time 1, as in the program of Ho et al.
        """
        if variance == "beta_tilde":
            return self.log_beta_tilde
        return np.concatenate([self.log_beta_tilde[:1], self.log_beta[1:]])


def make_process(schedule: str, timesteps: int) -> Process:
    """Builds the process of a schedule, a function in library/diffusion/schedules.py.

    Raises:
      ConfigError: the schedule is unknown, or there are fewer than two steps.
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
    # A single step has no time 1 to take the variance from.
    tilde[0] = tilde[min(1, len(tilde) - 1)] or 1 - alphas[0]
    return Posterior(
        on_x=np.sqrt(alphas) * (1 - before) / (1 - now),
        on_x0=np.sqrt(before) * (1 - alphas) / (1 - now),
        log_beta_tilde=np.log(tilde),
        log_beta=np.log(1 - alphas),
    )


def at(table: np.ndarray, time: Int[Array, " b"], ndim: int = 4) -> Float[Array, "b ..."]:
    """Returns the value of a table at each example's time, shaped to multiply its image."""
    found = jnp.asarray(table, jnp.float32)[time]
    return found.reshape(found.shape + (1,) * (ndim - 1))


def noised(
    process: Process,
    x0: Float[Array, "b h w c"],
    time: Int[Array, " b"],
    noise: Float[Array, "b h w c"],
) -> Float[Array, "b h w c"]:
    """Returns the sample of q(x_t | x_0) for the given noise (Ho et al. 2020, eq. 4)."""
    return at(process.alpha, time) * x0 + at(process.sigma, time) * noise


def loss_weights(
    process: Process, prediction: str, min_snr: float | None
) -> Float[np.ndarray, " t"]:
    """Returns the weight, by time, of the squared error of a prediction.

    Without `min_snr` all weights are one. With it, the weight of the squared error of x_0 is
    min(snr, min_snr) (Hang et al. 2023, arXiv 2303.09556, section 3.4).

    Raises:
      ConfigError: `min_snr` is not above 0, or the prediction is unknown.
    """
    check_choice("prediction", prediction, PREDICTIONS)
    if min_snr is None:
        return np.ones(process.timesteps)
    if not min_snr > 0:
        raise ConfigError(f"min_snr={min_snr}: valid are numbers above 0; the paper uses 5")
    return np.minimum(process.snr, min_snr) * PREDICTIONS[prediction][2](process.snr)
