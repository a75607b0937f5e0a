"""Rotary position embedding (Su et al. 2021, RoFormer, arXiv 2104.09864, section 3.2)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def rotate(
    x: Float[Array, "b t h d"], positions: Int[Array, "#b t"], base: float = 10_000.0
) -> Float[Array, "b t h d"]:
    """Rotates pairs of features by angles proportional to the position (eq. 34).

    The inner product of a rotated query at position m and a rotated key at position n depends only
    on the two vectors and on m - n. Pair i of d/2 turns by base^(-2i/d) radians per position. As in
    GPT-NeoX and Llama, it consists of the features i and i + d/2. The paper pairs 2i and 2i + 1.

    Raises:
      ValueError: d is odd.
    """
    half, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ValueError(f"{x.shape[-1]} features per head: rotary positions need an even number")
    frequencies = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[..., None, None].astype(jnp.float32) * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)
