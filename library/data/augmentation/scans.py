"""Changes of laser scans and of the motion between them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from library.data.augmentation._operations import Batch, Operation, check_within


def mirror_scans(
    probability: float = 0.5, scans: str = "scans", target: str = "target"
) -> Operation:
    """Mirrors scans left to right, and changes the sign of the yaw rate.

    Args:
      probability: probability of mirroring an example.
      scans: the feature with the scans, (b, k, s); beam i of k looks 360 i / k degrees to the left.
      target: the feature with the speed and the yaw rate, (b, 2).

    Raises:
      ConfigError: the probability is outside [0, 1].
    """
    check_within("mirror_scans, probability", probability, 0, 1)

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        mirrored = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(keys)
        # Beam 0 looks ahead and stays.
        around = jnp.roll(batch[scans][:, ::-1], 1, axis=1)
        sign = jnp.where(mirrored, -1, 1)[:, None] * jnp.array([0, 1]) + jnp.array([1, 0])
        return {
            **batch,
            scans: jnp.where(mirrored[:, None, None], around, batch[scans]),
            target: batch[target] * sign,
        }

    return op
