"""The examples that a network takes for like a given one: its neighbours in feature space.

Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural
networks", section 6.1, judge by them what a network has learnt to see. The vote of neighbours, as a
classifier, is `library.evaluation.nearest_neighbours`.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from library.config import ConfigError

# Queries compared at once: 512 with 50,000 others are 100 MB.
_CHUNK = 512


def neighbours_in_feature_space(
    features: Float[np.ndarray, "n d"], queries: Float[np.ndarray, "m d"], k: int
) -> tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """Finds the k examples whose features are the most like each query's.

    Args:
      features: of the examples.
      queries: features of others.
      k: how many.

    Returns:
      Their numbers, the nearest first, and the cosine similarities.

    Raises:
      ConfigError: fewer than k examples.
    """
    if not 1 <= k <= len(features):
        raise ConfigError(f"k={k} neighbours: valid are 1 to {len(features)}, the examples")
    bank, found = _on_sphere(features), []
    for start in range(0, len(queries), _CHUNK):
        part = _on_sphere(queries[start : start + _CHUNK])
        found.append(lax.top_k(jnp.matmul(part, bank.T, precision="highest"), k))
    similarity, place = (np.concatenate(x) for x in zip(*found))
    return place, similarity


def _on_sphere(features):
    x = jnp.asarray(features)
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
