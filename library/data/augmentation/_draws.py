"""Random boxes in an image, for crops and erasing."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

# Draws per box, because a drawn box may not fit into the image; 10 is the usual number.
_ATTEMPTS = 10


def inception_box(
    key: PRNGKeyArray,
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[Int[Array, ""], Int[Array, ""], Int[Array, ""], Int[Array, ""]]:
    """Draws the box of an "Inception crop" and returns (top, left, rows, columns).

    It is the first of ten draws that fits; if none fits, the largest central box of an allowed
    ratio.
    """
    k_box, k_corner = jax.random.split(key)
    rows, columns, fits = boxes(k_box, height, width, area, ratio)
    first, found = jnp.argmax(fits), jnp.any(fits)
    low, high = ratio
    central = (min(height, round(width / low)), min(width, round(height * high)))
    rows = jnp.where(found, rows[first], central[0])
    columns = jnp.where(found, columns[first], central[1])
    free = jnp.array([height, width]) - jnp.array([rows, columns])
    corner = jax.random.randint(k_corner, (2,), 0, free + 1)
    top, left = jnp.where(found, corner, free // 2)
    return top, left, rows, columns


def boxes(
    key: PRNGKeyArray,
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[Int[Array, " n"], Int[Array, " n"], Bool[Array, " n"]]:
    """Draws ten boxes and returns their rows, their columns, and whether each fits the image."""
    uniform = jax.random.uniform(key, (2, _ATTEMPTS))
    areas = area[0] + (area[1] - area[0]) * uniform[0]
    logs = math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * uniform[1]
    pixels, ratios = areas * height * width, jnp.exp(logs)
    rows = jnp.round(jnp.sqrt(pixels / ratios)).astype(jnp.int32)
    columns = jnp.round(jnp.sqrt(pixels * ratios)).astype(jnp.int32)
    fits = (rows >= 1) & (rows <= height) & (columns >= 1) & (columns <= width)
    return rows, columns, fits


def box(
    height: int, width: int, start: Int[Array, " 2"], stop: Int[Array, " 2"]
) -> Bool[Array, "{height} {width}"]:
    """Marks the pixels from `start` up to `stop`, both (row, column)."""
    row, column = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    rows = (start[0] <= row) & (row < stop[0])
    return rows & (start[1] <= column) & (column < stop[1])
