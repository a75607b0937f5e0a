"""The variational bound of diffusion, term by term, in bits per dimension.

-log2 p(x_0) <= L_T + sum over t of L_t + L_0 (Ho et al. 2020, eq. 5). L_T is the divergence of the
last time from the prior, L_t the divergence of a step, and L_0 the cost of the 8-bit values given
x_1. Times count from 0: the step from time t >= 1 has a divergence, the step from time 0 the cost.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from library.diffusion.process import Process, at, posterior

_BITS = 1 / np.log(2)


def prior_bits(process: Process, x0: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    """Returns L_T, the divergence of q(x_T | x_0) from the standard normal."""
    mean, log_variance = process.alpha[-1] * x0, 2 * float(np.log(process.sigma[-1]))
    each = gaussian_kl(mean, jnp.float32(log_variance), 0.0, 0.0)
    return jnp.mean(each, axis=(1, 2, 3)) * _BITS


def step_bits(
    process: Process,
    variance: str,
    x0: Float[Array, "b h w c"],
    x: Float[Array, "b h w c"],
    time: Int[Array, " b"],
    predicted: Float[Array, "b h w c"],
    raw: Float[Array, "b h w c"] | None,
) -> Float[Array, " b"]:
    """Returns, for each example, the term of the step from its time.

    Args:
      process: the noise schedule.
      variance: "beta", "beta_tilde" or "learned".
      x0: images in [-1, 1].
      x: the same images with noise.
      time: time of each noisy image.
      predicted: the model's prediction of `x0`.
      raw: output of the model for learned variances, see `interpolated_log_variance`.
    """
    q = posterior(process)
    on_x, on_x0, tilde = (at(table, time) for table in (q.on_x, q.on_x0, q.log_beta_tilde))
    if variance == "learned":
        log_variance = interpolated_log_variance(raw, tilde, at(q.log_beta, time))
    else:
        log_variance = at(q.fixed_log_variance(variance), time)
    mean = on_x * x + on_x0 * predicted
    divergence = gaussian_kl(on_x * x + on_x0 * x0, tilde, mean, log_variance)
    cost = -discretized_log_likelihood(x0, mean, log_variance)
    first = (time == 0)[:, None, None, None]
    return jnp.mean(jnp.where(first, cost, divergence), axis=(1, 2, 3)) * _BITS


def interpolated_log_variance(
    raw: Float[Array, "b h w c"],
    log_beta_tilde: Float[Array, "#b 1 1 1"],
    log_beta: Float[Array, "#b 1 1 1"],
) -> Float[Array, "b h w c"]:
    """Returns learned log variances, from log beta tilde (`raw` -1) to log beta (`raw` 1).

    Nichol & Dhariwal 2021, eq. 15. As in their program, v of the equation is (raw + 1) / 2.
    """
    share = (raw + 1) / 2
    return share * log_beta + (1 - share) * log_beta_tilde


def gaussian_kl(
    mean1: Float[Array, "..."],
    log_variance1: Float[Array, "..."],
    mean2: Float[Array, "..."] | float,
    log_variance2: Float[Array, "..."] | float,
) -> Float[Array, "..."]:
    """Returns the divergence of N(mean1, variance1) from N(mean2, variance2), in nats."""
    ratio = log_variance1 - log_variance2
    squared = jnp.square(mean1 - mean2) * jnp.exp(-log_variance2)
    return 0.5 * (jnp.exp(ratio) - 1 - ratio + squared)


def discretized_log_likelihood(
    x0: Float[Array, "b h w c"],
    mean: Float[Array, "b h w c"],
    log_variance: Float[Array, "#b #h #w #c"],
) -> Float[Array, "b h w c"]:
    """Returns the log probability, in nats, of 8-bit values scaled to [-1, 1] under a Gaussian.

    The bin of a value extends half the distance to its neighbours. The outer bins extend to
    infinity (Ho et al. 2020, eq. 13).
    """
    scale = jnp.exp(-0.5 * log_variance)
    distance, half = x0 - mean, 1 / 255
    lowest, highest = x0 < -0.999, x0 > 0.999
    # By symmetry, use the lower tail: float32 resolves probabilities near 0, not near 1.
    centred = jnp.where(lowest, distance, jnp.where(highest, -distance, -jnp.abs(distance)))
    upper = jax.scipy.special.log_ndtr((centred + half) * scale)
    lower = jax.scipy.special.log_ndtr((centred - half) * scale)
    inner = upper + jnp.log(-jnp.expm1(jnp.minimum(lower - upper, -1e-6)))
    return jnp.where(lowest | highest, upper, inner)
