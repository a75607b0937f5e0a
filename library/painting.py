"""Maps as pictures: a colour a class, over an image or alone."""

import colorsys

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

# A pixel of no known class.
_GREY = (128, 128, 128)
# Turns of the hue from class to class: the golden section keeps neighbours apart, however many.
_TURN = 0.618034


def colours(num: int) -> UInt8[np.ndarray, "num 3"]:
    """Returns a colour for each class; the first is black, which is most often the background."""
    bright = (colorsys.hsv_to_rgb((i * _TURN) % 1, 0.85, 1 - 0.3 * (i % 2)) for i in range(num - 1))
    return np.round(255 * np.array([(0, 0, 0), *bright])).astype(np.uint8)


def painted(classes: Int[Array, "*s"], num: int) -> UInt8[Array, "*s 3"]:
    """Returns the colour of each pixel's class; grey where it is none of `num`."""
    table = jnp.asarray(np.concatenate([colours(num), np.uint8([_GREY])]))
    known = (classes >= 0) & (classes < num)
    return table[jnp.where(known, classes, num)]


def overlaid(
    image: Float[Array, "*s h w c"], classes: Int[Array, "*s h w"], num: int, share: float = 0.5
) -> UInt8[Array, "*s h w 3"]:
    """Returns images with the colour of each pixel's class laid over them.

    The first class leaves its pixels as they are, and so do pixels that have none.

    Args:
      image: in [0, 1], of one or three channels.
      classes: of its pixels.
      num: of classes.
      share: of the colour.
    """
    rgb = jnp.broadcast_to(255 * jnp.clip(image, 0, 1), (*image.shape[:-1], 3))
    shown = ((classes > 0) & (classes < num))[..., None]
    mixed = jnp.where(shown, share * painted(classes, num) + (1 - share) * rgb, rgb)
    return jnp.round(mixed).astype(jnp.uint8)
