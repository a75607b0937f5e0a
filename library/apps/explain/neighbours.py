"""Neighbours in feature space: the examples that are similar to a given example for a network.

Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural
networks", section 6.1, use them to judge what a network has learnt. A classifier by the vote of
neighbours is `library.evaluation.nearest_neighbours`.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from library.config import ConfigError

# Queries per comparison: the similarities of 512 with 50,000 others take 100 MB.
_CHUNK = 512


def neighbours_in_feature_space(
    features: Float[np.ndarray, "n d"], queries: Float[np.ndarray, "m d"], k: int
) -> tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """Finds the k examples whose features are most similar to those of each query.

    Args:
      features: features of the examples.
      queries: features of the queries.
      k: number of neighbours.

    Returns:
      The numbers of the neighbours, the nearest first, and their cosine similarities.

    Raises:
      ConfigError: there are fewer than k examples, or k is below 1.
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
