"""Noise schedules: the variance beta of each step, for a given number of steps."""

import numpy as np
from jaxtyping import Float

# A bound, so that no last step erases the image at once (Nichol & Dhariwal 2021, section 3.2).
MAX_BETA = 0.999


def linear(timesteps: int) -> Float[np.ndarray, " t"]:
    """Returns betas that grow evenly from 1e-4 to 0.02 over 1000 steps (Ho et al. 2020, section 4).

    For another number of steps, both ends are scaled so that the total noise stays the same.
    """
    scale = 1000 / timesteps
    return np.minimum(np.linspace(1e-4 * scale, 0.02 * scale, timesteps), MAX_BETA)


def cosine(timesteps: int) -> Float[np.ndarray, " t"]:
    """Returns the betas of alphas_cumprod(t) = f(t) / f(0), f(t) = cos(pi/2 (t/T + s) / (1 + s))^2.

    s is 0.008 (Nichol & Dhariwal 2021, arXiv 2102.09672, eq. 17).
    """
    time = np.arange(timesteps + 1) / timesteps
    f = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], MAX_BETA)
