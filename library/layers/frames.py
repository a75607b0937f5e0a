"""Sequences of frames with a mask: what is in the padding changes no bit of what is made here."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Frames = Float[Array, "b t d"]
Mask = Float[Array, "b t"]


def cleared(x: Frames, mask: Mask) -> Frames:
    """Returns frames with zeros in the padding."""
    return jnp.where(mask[..., None] > 0, x, 0)


def mean_over_frames(x: Frames, mask: Mask) -> Float[Array, "b d"]:
    """Returns the mean of each number over the frames of the data."""
    count = jnp.maximum(jnp.sum(mask, axis=1), 1)
    return jnp.sum(cleared(x, mask), axis=1) / count[:, None]


def segment_means(x: Frames, mask: Mask, segments: int) -> Float[Array, "b s d"]:
    """Returns the means of `segments` parts of the data, of equal length to a frame.

    Frame i of n belongs to part floor(i segments / n). A part without frames is 0.
    """
    count = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(jnp.int32)
    part = jnp.arange(x.shape[1]) * segments // count[:, None]
    member = (part[:, None] == jnp.arange(segments)[:, None]) & (mask > 0)[:, None]
    member = member.astype(jnp.float32)
    total = jnp.einsum("bst,btd->bsd", member, cleared(x, mask), precision="highest")
    return total / jnp.maximum(member.sum(-1), 1)[..., None]


def pooled_statistics(x: Frames, mask: Mask) -> Float[Array, "b e"]:
    """Returns the mean and the standard deviation of each number over the frames, e = 2 d."""
    mean = mean_over_frames(x, mask)
    centred = cleared(x - mean[:, None], mask)
    # The square root has no gradient at 0, the deviation of a constant.
    deviation = jnp.sqrt(mean_over_frames(jnp.square(centred), mask) + 1e-6)
    return jnp.concatenate([mean, deviation], axis=-1)


def sinusoids(length: int, width: int) -> Float[np.ndarray, "t d"]:
    """Returns sines, then cosines, of positions (Vaswani et al. 2017, section 3.5)."""
    half = (width + 1) // 2
    angles = np.arange(length)[:, None] * np.exp(-math.log(1e4) * np.arange(half) / half)
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return table[:, :width].astype(np.float32)
