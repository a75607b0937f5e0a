"""Boxes: areas, overlaps and conversions, for arrays of NumPy and of JAX alike.

A box is (ymin, xmin, ymax, xmax), in fractions of an image or in pixels. Ratios of areas are the
same in both; `complete_overlap` also compares shapes, so it takes pixels.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Keeps quotients finite for boxes without area; as in the published programs.
_EPSILON = 1e-7


def areas(boxes: Any) -> Any:
    """Returns the areas (...) of boxes (..., 4); 0 for an inverted box."""
    xp = boxes.__array_namespace__()
    return xp.prod(xp.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def overlap(ours: Any, theirs: Any) -> Any:
    """Returns the intersection over union (...) of boxes (..., 4), pair by pair.

    It is 0 for two boxes without area.
    """
    xp = ours.__array_namespace__()
    low = xp.maximum(ours[..., :2], theirs[..., :2])
    high = xp.minimum(ours[..., 2:], theirs[..., 2:])
    shared = xp.prod(xp.maximum(high - low, 0), axis=-1)
    union = areas(ours) + areas(theirs) - shared
    return xp.where(union > 0, shared / xp.where(union > 0, union, 1), 0)


def overlaps(ours: Any, theirs: Any) -> Any:
    """Returns the intersection over union (..., n, m) of each of (..., n, 4) with each (..., m, 4).

    It is 0 for two boxes without area.
    """
    return overlap(ours[..., :, None, :], theirs[..., None, :, :])


def complete_overlap(
    ours: Float[Array, "... 4"], theirs: Float[Array, "... 4"]
) -> Float[Array, "..."]:
    """Returns the complete IoU of boxes in pixels, pair by pair (Zheng et al. 2020, 1911.08287).

    It is the IoU less the squared distance of the centres, in units of the diagonal of the smallest
    box around both, and less a penalty for different aspect ratios. Values are in (-1.5, 1]. No
    gradient flows through the weight of the penalty.
    """
    low, high = (
        jnp.minimum(ours[..., :2], theirs[..., :2]),
        jnp.maximum(ours[..., 2:], theirs[..., 2:]),
    )
    diagonal = jnp.sum(jnp.square(high - low), axis=-1) + _EPSILON
    apart = (ours[..., :2] + ours[..., 2:] - theirs[..., :2] - theirs[..., 2:]) / 2
    distance = jnp.sum(jnp.square(apart), axis=-1) / diagonal
    turn = _aspect(ours) - _aspect(theirs)
    shape = 4 / math.pi**2 * jnp.square(turn)
    shared = overlap(ours, theirs)
    weight = jax.lax.stop_gradient(shape / (shape - shared + 1 + _EPSILON))
    return shared - distance - weight * shape


def _aspect(boxes: Float[Array, "*b 4"]) -> Float[Array, "*b"]:
    """Returns the angle of each box's diagonal, in radians."""
    height, width = (boxes[..., i + 2] - boxes[..., i] for i in range(2))
    return jnp.arctan(width / (height + _EPSILON))


def from_centers(centers: Any) -> Any:
    """Converts (..., 4) y, x of the centre, height and width to boxes."""
    xp = centers.__array_namespace__()
    half = centers[..., 2:] / 2
    return xp.concat([centers[..., :2] - half, centers[..., :2] + half], axis=-1)


def to_centers(boxes: Any) -> Any:
    """Converts boxes (..., 4) to y, x of the centre, height and width."""
    xp = boxes.__array_namespace__()
    low, high = boxes[..., :2], boxes[..., 2:]
    return xp.concat([(low + high) / 2, high - low], axis=-1)
