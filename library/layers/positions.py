"""Position embeddings for the tokens of a grid of patches, and of a sequence."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

POSITIONS = ("learned", "sincos2d")


class LearnedPositions(nn.Module):
    """Adds a learned vector to each position (Dosovitskiy et al. 2021, eq. 1)."""

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, tokens: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        """Returns the tokens with the param "embedding" (1, t, d) added."""
        init = nn.initializers.normal(stddev=0.02)
        embedding = self.param("embedding", init, (1, *tokens.shape[1:]), self.param_dtype)
        return tokens + embedding.astype(self.dtype)


def sincos2d(
    height: int, width: int, features: int, temperature: float = 10_000.0
) -> Float[np.ndarray, "n d"]:
    """Computes fixed position embeddings of a grid of patches, row by row (MoCo v3).

    Chen et al. 2021 describe them. Frequencies fall geometrically from 1 to 1/temperature, both
    included, as in big_vision. (The MoCo v3 code stops one step before the last.) The four quarters
    of the features are sin(x), cos(x), sin(y) and cos(y), where x counts columns and y counts rows.

    Args:
      height: rows of patches.
      width: columns of patches.
      features: size of a token, a multiple of 4 and at least 8.
      temperature: inverse of the lowest frequency, which is in radians per patch.

    Raises:
      ValueError: `features` is not a multiple of 4, or is less than 8.
    """
    if features % 4 or features < 8:
        below = max(features // 4 * 4, 8)
        raise ValueError(
            f"sincos2d positions need features that are a multiple of 4 and at least 8, "
            f"not {features}; "
            f"nearest: {below} or {below + 4}"
        )
    quarter = features // 4
    frequencies = temperature ** (-np.arange(quarter) / (quarter - 1))
    y, x = np.mgrid[:height, :width].reshape(2, -1, 1) * frequencies
    table = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)
    return table.astype(np.float32)


def sinusoidal(length: int, features: int) -> Float[Array, "t d"]:
    """Computes the fixed positions of a sequence (Vaswani et al. 2017, section 3.5).

    Feature 2i is sin(t / 10000^(2i / d)), and feature 2i + 1 the cosine of the same angle.

    Args:
      length: tokens of the sequence.
      features: d, the size of a token.
    """
    rate = 10_000.0 ** -(np.arange(0, features, 2) / features)
    angle = np.arange(length)[:, None] * rate
    both = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(length, -1)
    return jnp.asarray(both[:, :features], jnp.float32)
