"""The operations of AutoAugment, RandAugment and TrivialAugment, and how each policy draws them.

An image is changed by a short sequence of (operation, strength, sign). Under `vmap` a switch
evaluates every branch for every image. The fifteen operations are therefore expressed by three: an
affine warp by a per-image matrix, a blend with a degenerate image, and a table of 256 values per
channel. Every drawn operation costs one gather of pixels, one histogram, one look-up and
elementwise work: 16 ms for 512 images of 32x32x3 on two CPU cores, where the switch takes 24 ms.

Colour operations work on the values 0..255 and round, as PIL does with uint8. The warp moves pixels
without rounding their values.

AutoAugment: Cubuk et al. 2019, arXiv 1805.09501. RandAugment: Cubuk et al. 2020, arXiv
1909.13719. TrivialAugment: Mueller & Hutter 2021, arXiv 2103.10158.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
BLENDS = ("brightness", "color", "contrast", "sharpness")
TABLES = ("posterize", "solarize", "auto_contrast", "equalize", "invert")
# RandAugment and TrivialAugment draw from all but the last; only AutoAugment uses "invert".
OPERATIONS = ("identity", *GEOMETRIC, *BLENDS, *TABLES)
NUM_DRAWN = len(OPERATIONS) - 1


class Ranges(NamedTuple):
    """The range of each operation: its amount at strength 1; strength 0 changes nothing."""

    shear: float  # tangent of the angle
    translate_share: float  # fraction of the side
    translate_pixels: float  # pixels, added to the fraction of the side
    rotate: float  # degrees
    blend: float  # the blend factor is 1 plus or minus this
    bits: int  # low bits that posterize drops


STANDARD = Ranges(0.3, 150 / 331, 0.0, 30.0, 0.9, 4)  # AutoAugment, Table 6
WIDE = Ranges(0.99, 0.0, 32.0, 135.0, 0.99, 6)  # TrivialAugment, TA (Wide)


class Draws(NamedTuple):
    """Drawn operations, in order: indices into OPERATIONS, strengths in [0, 1], signs +1 or -1."""

    operation: Int[Array, " layers"]
    strength: Float[Array, " layers"]
    sign: Float[Array, " layers"]


def draw_rand(
    key: PRNGKeyArray,
    num_layers: int,
    strength: float | Float[Array, ""],
    strength_std: float | Float[Array, ""],
    probability: float | Float[Array, ""],
) -> Draws:
    """Draws `num_layers` operations uniformly, with one strength (RandAugment, Section 3).

    If `strength_std` is not 0, each strength is drawn from a normal distribution with mean
    `strength` and clipped to [0, 1]. Each operation is skipped with probability `1 - probability`.
    """
    k_operation, k_strength, k_apply, k_sign = jax.random.split(key, 4)
    shape = (num_layers,)
    operation = jax.random.randint(k_operation, shape, 0, NUM_DRAWN)
    noise = strength_std * jax.random.normal(k_strength, shape)
    applied = jax.random.bernoulli(k_apply, probability, shape)
    return Draws(
        jnp.where(applied, operation, 0),
        jnp.clip(strength + noise, 0.0, 1.0),
        jax.random.rademacher(k_sign, shape, jnp.float32),
    )


def draw_trivial(key: PRNGKeyArray) -> Draws:
    """Draws one operation and one of 31 strengths, both uniform (TrivialAugment, Section 3)."""
    k_operation, k_strength, k_sign = jax.random.split(key, 3)
    return Draws(
        jax.random.randint(k_operation, (1,), 0, NUM_DRAWN),
        jax.random.randint(k_strength, (1,), 0, 31) / 30.0,
        jax.random.rademacher(k_sign, (1,), jnp.float32),
    )


def draw_auto(key: PRNGKeyArray, policy: str) -> Draws:
    """Draws one of a policy's 25 sub-policies and keeps each operation with its probability."""
    table = POLICIES[policy]
    operations = np.array([[OPERATIONS.index(o[0]) for o in pair] for pair in table])
    probabilities = np.array([[o[1] for o in pair] for pair in table], np.float32)
    strengths = np.array([[o[2] / 9 for o in pair] for pair in table], np.float32)
    k_pair, k_apply, k_sign = jax.random.split(key, 3)
    pair = jax.random.randint(k_pair, (), 0, len(table))
    applied = jax.random.bernoulli(k_apply, jnp.asarray(probabilities)[pair], (2,))
    return Draws(
        jnp.where(applied, jnp.asarray(operations)[pair], 0),
        jnp.asarray(strengths)[pair],
        jax.random.rademacher(k_sign, (2,), jnp.float32),
    )


def transform(
    image: Float[Array, "h w c"], draws: Draws, ranges: Ranges, fill: float
) -> Float[Array, "h w c"]:
    """Applies drawn operations in order to an image in [0, 1] with 1 or 3 channels."""
    if image.shape[-1] not in (1, 3):
        raise ValueError(f"augmentation needs images of 1 or 3 channels, got shape {image.shape}")
    for layer in range(draws.operation.shape[0]):
        operation, strength, sign = (field[layer] for field in draws)
        image = apply(image, operation, strength, sign, ranges, fill)
    return image


def apply(
    image: Float[Array, "h w c"],
    operation: Int[Array, ""],
    strength: Float[Array, ""],
    sign: Float[Array, ""],
    ranges: Ranges,
    fill: float,
) -> Float[Array, "h w c"]:
    """Applies one operation; "identity" returns the image bitwise."""
    height, width, _ = image.shape
    grid = jnp.round(255 * jnp.clip(image, 0, 1))
    warped = warp(image, _matrix(operation, sign * strength, ranges, height, width), fill)
    blended = _blend(grid, operation, 1 + sign * strength * ranges.blend)
    looked_up = _look_up(_table(grid, operation, strength, ranges), grid)
    result = jnp.where(_is_among(operation, TABLES), looked_up / 255, image)
    result = jnp.where(_is_among(operation, BLENDS), blended / 255, result)
    return jnp.where(_is_among(operation, GEOMETRIC), warped, result)


def _is_among(operation: Int[Array, ""], names: tuple[str, ...]) -> Bool[Array, ""]:
    first, last = OPERATIONS.index(names[0]), OPERATIONS.index(names[-1])
    return (operation >= first) & (operation <= last)


def warp(
    image: Float[Array, "h w c"], matrix: Float[Array, "2 3"], fill: float
) -> Float[Array, "h w c"]:
    """Resamples an image at `matrix @ (x, y, 1)`: nearest neighbour, `fill` outside the image.

    Coordinates are those of pixel centres, the first at (0.5, 0.5), in 16.16 fixed point as in
    PIL's `Image.transform(size, AFFINE, matrix)`. Integer arithmetic selects the pixels, so the
    result is the same on every device.
    """
    height, width, channels = image.shape
    centred = matrix.at[:, 2].add((matrix[:, 0] + matrix[:, 1]) / 2)
    fixed = jnp.floor(centred * 65536 + 0.5).astype(jnp.int32)
    x, y = jnp.arange(width)[None, :], jnp.arange(height)[:, None]
    column, row = ((a * x + b * y + c) >> 16 for a, b, c in fixed)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = jnp.where(inside, row * width + column, 0)
    pixels = image.reshape(-1, channels).at[index].get(mode="promise_in_bounds")
    return jnp.where(inside[..., None], pixels, fill)


def _matrix(
    operation: Int[Array, ""], amount: Float[Array, ""], ranges: Ranges, height: int, width: int
) -> Float[Array, "2 3"]:
    """Returns the matrix from output to input coordinates.

    Shears fix the top left corner, rotations the centre.
    """
    sides = jnp.array([width, height])
    # Rounded towards zero to whole pixels.
    shift = jnp.trunc(amount * (ranges.translate_share * sides + ranges.translate_pixels))
    angle = amount * jnp.deg2rad(ranges.rotate)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = width / 2, height / 2
    shear, one, zero = amount * ranges.shear, jnp.ones(()), jnp.zeros(())
    rows = (
        ((one, shear, zero), (zero, one, zero)),
        ((one, zero, zero), (shear, one, zero)),
        ((one, zero, shift[0]), (zero, one, zero)),
        ((one, zero, zero), (zero, one, shift[1])),
        ((cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y)),
    )
    matrices = jnp.array(rows, jnp.float32)
    return matrices[jnp.clip(operation - OPERATIONS.index(GEOMETRIC[0]), 0, 4)]


# The grid has integers as float32, in which all sums and quotients below are exact. XLA's integer
# division on CPUs is scalar and ten times slower.


def _quotient(n: Float[Array, "*s"], divisor: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """Divides integers, 0 <= n < 2**23, rounding down; adding 0.5 makes the result exact."""
    return jnp.floor((n + 0.5) / divisor)


def _blend(
    grid: Float[Array, "h w c"], operation: Int[Array, ""], factor: Float[Array, ""]
) -> Float[Array, "h w c"]:
    """Blends with a degenerate image as PIL's ImageEnhance does; factor 1 changes nothing.

    A factor above 1 moves away from the degenerate image, a factor below 1 towards it.
    """
    luma = _luma(grid)
    # An integer sum does not depend on the order of its terms.
    total, pixels = jnp.sum(luma.astype(jnp.int32)), luma.size
    mean = ((2 * total + pixels) // (2 * pixels)).astype(jnp.float32)
    degenerates = (jnp.zeros_like(grid), luma, mean, _smooth(grid))
    chosen = operation - OPERATIONS.index(BLENDS[0])
    degenerate = jnp.select([chosen == i for i in range(4)], degenerates, 0.0)
    blended = degenerate + factor * (grid - degenerate)
    return jnp.floor(jnp.clip(blended, 0, 255))


def _luma(grid: Float[Array, "h w c"]) -> Float[Array, "h w 1"]:
    """Returns ITU-R 601 luma, computed in 16-bit fixed point like PIL's."""
    if grid.shape[-1] == 1:
        return grid
    red, green, blue = (grid[..., i : i + 1] for i in range(3))
    return jnp.floor((19595 * red + 38470 * green + 7471 * blue + 32768) / 65536)


def _smooth(grid: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    """Applies PIL's SMOOTH filter: 3x3 weights of 1 with centre 5; borders stay unchanged."""
    height, width, _ = grid.shape
    padded = jnp.pad(grid, ((1, 1), (1, 1), (0, 0)))
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    box = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    x, y = jnp.arange(width)[None, :, None], jnp.arange(height)[:, None, None]
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    # No quotient by 13 ends in a half, so this rounds exactly.
    return jnp.where(inner, jnp.floor((box + 4 * grid) / 13 + 0.5), grid)


def _table(
    grid: Float[Array, "h w c"],
    operation: Int[Array, ""],
    strength: Float[Array, ""],
    ranges: Ranges,
) -> Float[Array, "c 256"]:
    """Returns the new value for each of the 256 old values, by channel."""
    old = jnp.arange(256.0)
    counts = _histogram(grid)
    darkest = jnp.argmax(counts > 0, axis=-1, keepdims=True)
    brightest = 255 - jnp.argmax(counts[:, ::-1] > 0, axis=-1, keepdims=True)
    spread = (brightest - darkest).astype(jnp.float32)
    stretched = _quotient(255 * jnp.maximum(old - darkest, 0), jnp.maximum(spread, 1))
    # The step does not count pixels of the brightest value, so that this value maps to 255.
    below = jnp.cumsum(counts, axis=-1) - counts
    step = jnp.take_along_axis(below, brightest, axis=-1) // 255
    shifted = (step // 2 + below).astype(jnp.float32)
    equalized = _quotient(shifted, jnp.maximum(step, 1).astype(jnp.float32))
    unit = jnp.left_shift(1, jnp.round(strength * ranges.bits).astype(jnp.int32))
    tables = (
        jnp.floor(old / unit) * unit,
        jnp.where(old < 256 * (1 - strength), old, 255 - old),
        jnp.where(spread > 0, stretched, old),
        jnp.where(step > 0, equalized, old),
        255 - old,
    )
    chosen = operation - OPERATIONS.index(TABLES[0])
    tables = [jnp.broadcast_to(table, counts.shape) for table in tables]
    return jnp.clip(jnp.select([chosen == i for i in range(5)], tables, 0.0), 0, 255)


def _histogram(grid: Float[Array, "h w c"]) -> Int[Array, "c 256"]:
    channels = grid.shape[-1]
    bins = (grid.astype(jnp.int32) + 256 * jnp.arange(channels)).reshape(-1)
    counts = jnp.zeros(256 * channels, jnp.int32).at[bins].add(1, mode="promise_in_bounds")
    return counts.reshape(channels, 256)


def _look_up(table: Float[Array, "c 256"], grid: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    index = grid.astype(jnp.int32) + 256 * jnp.arange(table.shape[0])
    return table.reshape(-1).at[index].get(mode="promise_in_bounds")


# AutoAugment, Tables 7 to 9: pairs of (operation, probability, magnitude 0..9). The magnitude is 0
# for operations without a magnitude.
POLICIES = {
    "cifar": (
        (("invert", 0.1, 0), ("contrast", 0.2, 6)),
        (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
        (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
        (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
        (("auto_contrast", 0.5, 0), ("equalize", 0.9, 0)),
        (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
        (("color", 0.4, 3), ("brightness", 0.6, 7)),
        (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
        (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
        (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
        (("color", 0.7, 7), ("translate_x", 0.5, 8)),
        (("equalize", 0.3, 0), ("auto_contrast", 0.4, 0)),
        (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
        (("brightness", 0.9, 6), ("color", 0.2, 8)),
        (("solarize", 0.5, 2), ("invert", 0.0, 0)),
        (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
        (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
        (("color", 0.9, 9), ("equalize", 0.6, 0)),
        (("auto_contrast", 0.8, 0), ("solarize", 0.2, 8)),
        (("brightness", 0.1, 3), ("color", 0.7, 0)),
        (("solarize", 0.4, 5), ("auto_contrast", 0.9, 0)),
        (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
        (("auto_contrast", 0.9, 0), ("solarize", 0.8, 3)),
        (("equalize", 0.8, 0), ("invert", 0.1, 0)),
        (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 0)),
    ),
    "imagenet": (
        (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
        (("solarize", 0.6, 5), ("auto_contrast", 0.6, 0)),
        (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
        (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
        (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
        (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
        (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
        (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
        (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
        (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
        (("rotate", 0.8, 8), ("color", 0.4, 0)),
        (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
        (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
        (("invert", 0.6, 0), ("equalize", 1.0, 0)),
        (("color", 0.6, 4), ("contrast", 1.0, 8)),
        (("rotate", 0.8, 8), ("color", 1.0, 2)),
        (("color", 0.8, 8), ("solarize", 0.8, 7)),
        (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
        (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
        (("color", 0.4, 0), ("equalize", 0.6, 0)),
        (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
        (("solarize", 0.6, 5), ("auto_contrast", 0.6, 0)),
        (("invert", 0.6, 0), ("equalize", 1.0, 0)),
        (("color", 0.6, 4), ("contrast", 1.0, 8)),
        (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    ),
    "svhn": (
        (("shear_x", 0.9, 4), ("invert", 0.2, 0)),
        (("shear_y", 0.9, 8), ("invert", 0.7, 0)),
        (("equalize", 0.6, 0), ("solarize", 0.6, 6)),
        (("invert", 0.9, 0), ("equalize", 0.6, 0)),
        (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
        (("shear_x", 0.9, 4), ("auto_contrast", 0.8, 0)),
        (("shear_y", 0.9, 8), ("invert", 0.4, 0)),
        (("shear_y", 0.9, 5), ("solarize", 0.2, 6)),
        (("invert", 0.9, 0), ("auto_contrast", 0.8, 0)),
        (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
        (("shear_x", 0.9, 4), ("solarize", 0.3, 3)),
        (("shear_y", 0.8, 8), ("invert", 0.7, 0)),
        (("equalize", 0.9, 0), ("translate_y", 0.6, 6)),
        (("invert", 0.9, 0), ("equalize", 0.6, 0)),
        (("contrast", 0.3, 3), ("rotate", 0.8, 4)),
        (("invert", 0.8, 0), ("translate_y", 0.0, 2)),
        (("shear_y", 0.7, 6), ("solarize", 0.4, 8)),
        (("invert", 0.6, 0), ("rotate", 0.8, 4)),
        (("shear_y", 0.3, 7), ("translate_x", 0.9, 3)),
        (("shear_x", 0.1, 6), ("invert", 0.6, 0)),
        (("solarize", 0.7, 2), ("translate_y", 0.6, 7)),
        (("shear_y", 0.8, 4), ("invert", 0.8, 0)),
        (("shear_x", 0.7, 9), ("translate_y", 0.8, 3)),
        (("shear_y", 0.8, 5), ("auto_contrast", 0.7, 0)),
        (("shear_x", 0.7, 2), ("invert", 0.1, 0)),
    ),
}
