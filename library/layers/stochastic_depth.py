"""Stochastic depth: residual branches dropped at random (Huang et al. 2016, arXiv 1603.09382)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class StochasticDepth(nn.Module):
    """Drops the whole branch of an example with probability `rate` ("drop path").

    A kept branch is divided by `1 - rate`, so its expectation is the branch itself, and evaluation
    needs no correction. It draws from the rng stream "dropout" in training, if the rate is not 0.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], train: bool = False) -> Float[Array, "b ..."]:
        """Returns `x` with each example either scaled or zeroed."""
        if not train or self.rate == 0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))


def rates(rate: float, depth: int) -> list[float]:
    """Returns the rate of each block. It grows linearly from 0 to `rate` (section 3, eq. 4)."""
    return [rate * block / max(depth - 1, 1) for block in range(depth)]
