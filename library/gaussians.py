"""The divergence of a normal distribution from the standard one, that of latent variables."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def divergence_from_standard(
    mean: Float[Array, "b d"], log_variance: Float[Array, "b d"]
) -> Float[Array, "b d"]:
    """Returns KL(N(mean, variance) || N(0, 1)) by element (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance)
