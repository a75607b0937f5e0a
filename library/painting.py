"""Drawing of class maps and boxes: one colour per class, alone or over an image."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

# The colour of pixels without a known class.
_GREY = (128, 128, 128)
# Turns of the hue from class to class: the golden ratio keeps neighbours apart for any number.
_TURN = 0.618034


def colours(num: int) -> UInt8[np.ndarray, "num 3"]:
    """Returns a colour for each class; the first class, most often the background, is black."""
    bright = (colorsys.hsv_to_rgb((i * _TURN) % 1, 0.85, 1 - 0.3 * (i % 2)) for i in range(num - 1))
    return np.round(255 * np.array([(0, 0, 0), *bright])).astype(np.uint8)


def painted(classes: Int[Array, "*s"], num: int) -> UInt8[Array, "*s 3"]:
    """Returns the colour of each pixel's class; grey where the class is not in 0 to `num` - 1."""
    table = jnp.asarray(np.concatenate([colours(num), np.uint8([_GREY])]))
    known = (classes >= 0) & (classes < num)
    return table[jnp.where(known, classes, num)]


def overlaid(
    image: Float[Array, "*s h w c"], classes: Int[Array, "*s h w"], num: int, share: float = 0.5
) -> UInt8[Array, "*s h w 3"]:
    """Returns images blended with the colour of each pixel's class.

    Pixels of the first class, and pixels without a known class, keep the image's colour.

    Args:
      image: images in [0, 1], with one or three channels.
      classes: the class of each pixel.
      num: number of classes.
      share: weight of the class's colour, 0 to 1.
    """
    rgb = jnp.broadcast_to(255 * jnp.clip(image, 0, 1), (*image.shape[:-1], 3))
    shown = ((classes > 0) & (classes < num))[..., None]
    mixed = jnp.where(shown, share * painted(classes, num) + (1 - share) * rgb, rgb)
    return jnp.round(mixed).astype(jnp.uint8)


def framed(
    image: Float[Array, "b h w c"],
    boxes: Float[Array, "b n 4"],
    classes: Int[Array, "b n"],
    there: Bool[Array, "b n"],
    num: int,
) -> UInt8[Array, "b h w 3"]:
    """Returns images with a frame around each box, in the colour of the box's class.

    Args:
      image: images in [0, 1], with one or three channels.
      boxes: ymin, xmin, ymax, xmax as fractions of the image.
      classes: the class of each box.
      there: true for the boxes to draw.
      num: number of classes.
    """
    rgb = jnp.round(jnp.broadcast_to(255 * jnp.clip(image, 0, 1), (*image.shape[:-1], 3)))
    # The first class is not black here: a black frame is hard to see.
    table = jnp.asarray(colours(num + 1)[1:], jnp.float32)
    sides = np.array(image.shape[1:3])
    edges = jnp.floor(boxes * np.tile(sides, 2) + 0.5).astype(jnp.int32)
    edges = jnp.clip(edges, 0, np.tile(sides, 2) - 1)
    y, x = jnp.arange(sides[0])[None, :, None], jnp.arange(sides[1])[None, None, :]

    def draw(shown: Array, box: tuple[Array, Array, Array]) -> tuple[Array, None]:
        edge, number, real = box
        top, left, bottom, right = (edge[:, i, None, None] for i in range(4))
        inside = (y >= top) & (y <= bottom) & (x >= left) & (x <= right)
        frame = inside & ((y == top) | (y == bottom) | (x == left) | (x == right))
        frame &= real[:, None, None]
        colour = table[jnp.clip(number, 0, num - 1)][:, None, None]
        return jnp.where(frame[..., None], colour, shown), None

    each = (jnp.moveaxis(edges, 1, 0), classes.T, there.T)
    drawn, _ = jax.lax.scan(draw, rgb.astype(jnp.float32), each)
    return drawn.astype(jnp.uint8)


def plotted(
    curves: Float[np.ndarray, "k n"],
    low: float,
    high: float,
    height: int = 96,
) -> UInt8[np.ndarray, "height n 3"]:
    """Returns a picture of curves over a row of places, one colour each, on white.

    A curve connects its values; NaN leaves a gap, and what is beyond the limits is at the edge.

    Args:
      curves: values of k curves at n places, one column of pixels each. Later ones are on top.
      low: value at the lower edge.
      high: value at the upper edge, above `low`.
      height: height in pixels.
    """
    picture = np.full((height, curves.shape[1], 3), 255, np.uint8)
    share = (np.asarray(curves, np.float64) - low) / (high - low)
    rows = (height - 1) * (1 - np.clip(share, 0, 1))
    place = np.arange(height)[:, None]
    for row, colour in zip(rows, colours(len(rows) + 1)[1:], strict=True):
        before = np.concatenate([row[:1], row[:-1]])
        before = np.where(np.isnan(before), row, before)
        top, bottom = np.minimum(row, before), np.maximum(row, before)
        # A comparison with NaN is false.
        drawn = (place >= np.floor(top + 0.5)) & (place <= np.floor(bottom + 0.5))
        picture[drawn] = colour
    return picture
