"""Crops, flips and quarter turns of images and their spatial features, see `library.data.features`.

Except for `random_resized_crop`, pixels are moved without interpolation.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, UInt

from library import maps, rng
from library.config import check_choice
from library.data import features
from library.data.augmentation._draws import inception_box
from library.data.augmentation._operations import (
    Batch,
    Motion,
    Operation,
    check_interval,
    check_within,
    spatial,
)
from library.data.features import Kinds

_RESIZING = {"bilinear": "linear", "bicubic": "cubic"}


def random_crop(
    padding: int = 0,
    mode: str = "constant",
    size: int | None = None,
    map_fill: int = maps.UNKNOWN,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Pads each side and crops at a uniformly drawn offset.

    With mode "reflect" this is the random translation of arXiv 2404.00498.

    Args:
      padding: pixels added to each side; with 0 and no `size` the image does not change.
      mode: "constant" pads images with 0, "reflect" mirrors about the outermost pixels.
      size: side of the square crop; None keeps the input's height and width.
      map_fill: value that pads maps with mode "constant".
      kinds: the kinds of the features.

    Raises:
      ConfigError: padding is negative, the mode is unknown, or size is below 1.
      ValueError: (when traced) the image has too few pixels to reflect, or the padded image is
        smaller than the crop.
    """
    check_within("random_crop, padding", padding, 0)
    check_choice("padding mode", mode, ("constant", "reflect"))
    if size is not None:
        check_within("random_crop, size", size, 1)

    def corner(key: PRNGKeyArray, height: int, width: int) -> Int[Array, " 2"]:
        room = 2 * padding
        if size is not None:
            room = np.array([height, width]) + room - size
            if min(room) < 0:
                raise ValueError(
                    f"random_crop, size={size}: images of {height}x{width} with padding={padding} "
                    "are smaller"
                )
        return jax.random.randint(key, (2,), 0, room + 1)

    def cut(values: Array, key: PRNGKeyArray, fill: int) -> Array:
        height, width, channels = values.shape
        if mode == "reflect" and padding >= min(height, width):
            raise ValueError(
                f"random_crop, padding={padding}: shape {values.shape} has too few pixels to "
                f"reflect, the limit is {min(height, width) - 1}"
            )
        widths = ((padding, padding), (padding, padding), (0, 0))
        given = {"constant_values": fill} if mode == "constant" else {}
        padded = jnp.pad(values, widths, mode=mode, **given)
        top, left = corner(key, height, width)
        shape = (size or height, size or width, channels)
        return jax.lax.dynamic_slice(padded, (top, left, 0), shape)

    def places(points: Array, key: PRNGKeyArray, shape: tuple[int, int]) -> Array:
        new = np.float32([size or side for side in shape])
        return (points * np.float32(shape) + padding - corner(key, *shape)) / new

    motion = Motion(
        lambda image, key: cut(image, key, 0), lambda x, key: cut(x, key, map_fill), places
    )
    return spatial(motion, kinds)


def flip_lr(probability: float = 0.5, kinds: Kinds = features.USUAL) -> Operation:
    """Flips images left to right with the given probability."""
    check_within("flip_lr, probability", probability, 0, 1)
    return _flip(probability, 1, kinds)


def flip_ud(probability: float = 0.5, kinds: Kinds = features.USUAL) -> Operation:
    """Flips images upside down with the given probability."""
    check_within("flip_ud, probability", probability, 0, 1)
    return _flip(probability, 0, kinds)


def quarter_turns(kinds: Kinds = features.USUAL) -> Operation:
    """Rotates square images by 0, 90, 180 or 270 degrees with equal probability.

    Raises:
      ValueError: (when traced) an image is not square.
    """

    def turned(values: Array, key: PRNGKeyArray) -> Array:
        if values.shape[0] != values.shape[1]:
            raise ValueError(f"quarter_turns needs square images, got shape {values.shape}")
        turns = jnp.stack([jnp.rot90(values, k) for k in range(4)])
        return turns[jax.random.randint(key, (), 0, 4)]

    def places(points: Array, key: PRNGKeyArray, shape: tuple[int, int]) -> Array:
        y, x = points[:, 0], points[:, 1]
        pairs = ((y, x), (1 - x, y), (1 - y, 1 - x), (x, 1 - y))
        turns = jnp.stack([jnp.stack(pair, axis=-1) for pair in pairs])
        return turns[jax.random.randint(key, (), 0, 4)]

    return spatial(Motion(turned, turned, places, any_size=True), kinds)


def alternating_flip(num_examples: int, kinds: Kinds = features.USUAL) -> Operation:
    """Flips images left to right in every other epoch (Jordan 2024, arXiv 2404.00498, Section 3.6).

    A pseudorandom function of `batch["row"]`, the same in every run, decides whether an example is
    flipped in the first epoch. From then on it alternates, so two consecutive epochs show each
    example in both orientations.

    Args:
      num_examples: examples per epoch; the epoch is `batch["index"] // num_examples`.
      kinds: the kinds of the features.
    """
    check_within("alternating_flip, num_examples", num_examples, 1)
    flip = spatial(_mirroring(lambda flipped: flipped, 1), kinds)

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        first = _first_flip(batch["row"])
        odd_epoch = (batch["index"] // num_examples) % 2 == 1
        return flip(batch, first ^ odd_epoch)

    return op


def _first_flip(row: UInt[Array, " b"] | Int[Array, " b"]) -> Bool[Array, " b"]:
    keys = rng.per_example(rng.purpose(rng.root(0), "alternating_flip"), row)
    return jax.vmap(jax.random.bernoulli)(keys)


def _flip(probability: float, axis: int, kinds: Kinds) -> Operation:
    return spatial(_mirroring(lambda key: jax.random.bernoulli(key, probability), axis), kinds)


def _mirroring(drawn: Callable[[Any], Bool[Array, ""]], axis: int) -> Motion:
    """Returns the motion that flips along an axis if `drawn` of the key is true."""

    def mirrored(values: Array, key: Array) -> Array:
        return jnp.where(drawn(key), jnp.flip(values, axis=axis), values)

    def places(points: Array, key: Array, shape: tuple[int, int]) -> Array:
        return jnp.where(drawn(key), points.at[:, axis].set(1 - points[:, axis]), points)

    return Motion(mirrored, mirrored, places, any_size=True)


def random_resized_crop(
    size: int | None = None,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "bilinear",
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Crops a box of random area and aspect ratio and resizes it ("Inception crop").

    The area is uniform and the ratio log-uniform (Szegedy et al. 2015, arXiv 1409.4842, Section 6);
    sides and corner are whole pixels. Of ten drawn boxes the first that fits is taken, else the
    largest central box whose ratio is allowed. Resizing is antialiased. As in PIL's
    `resize(box=...)`, pixels just outside the box contribute at its border. SimCLR uses this crop
    (arXiv 2002.05709, Appendix A); its authors' code resizes by cubic convolution.

    Args:
      size: side of the square output, (b, size, size, c); None keeps the input's height and width.
      area: (low, high) of the box's fraction of the image.
      ratio: (low, high) of width / height.
      method: method of resizing: "bilinear", or "bicubic", which clips overshoots to [0, 1].
      kinds: the kinds of the features.

    Raises:
      ConfigError: an interval is empty or not positive, an area is above 1, the method is unknown,
        or size is below 1.
    """
    check_interval("random_resized_crop, area", area, most=1.0)
    check_interval("random_resized_crop, ratio", ratio)
    check_choice("method of random_resized_crop", method, _RESIZING)
    if size is not None:
        check_within("random_resized_crop, size", size, 1)

    def window(key: PRNGKeyArray, height: int, width: int) -> tuple[tuple[int, int], Array, Array]:
        top, left, rows, columns = inception_box(key, height, width, area, ratio)
        out = (size or height, size or width)
        return out, jnp.array([top, left]), jnp.array([rows, columns])

    def resized(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h2 w2 c"]:
        out, corner, sides = window(key, *image.shape[:2])
        scale = jnp.array([out[0] / sides[0], out[1] / sides[1]])
        shift = -scale * corner
        return jax.image.scale_and_translate(
            image, (*out, image.shape[2]), (0, 1), scale, shift, method=_RESIZING[method]
        )

    def clipped(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h2 w2 c"]:
        return jnp.clip(resized(image, key), 0, 1)

    def nearest(values: Array, key: PRNGKeyArray) -> Array:
        out, corner, sides = window(key, *values.shape[:2])
        rows, columns = (
            corner[i] + jnp.floor((jnp.arange(out[i]) + 0.5) * sides[i] / out[i]).astype(jnp.int32)
            for i in range(2)
        )
        return values[rows[:, None], columns]

    def places(points: Array, key: PRNGKeyArray, shape: tuple[int, int]) -> Array:
        _, corner, sides = window(key, *shape)
        return (points * np.float32(shape) - corner) / sides

    image = clipped if method == "bicubic" else resized
    return spatial(Motion(image, nearest, places, field=resized), kinds)
