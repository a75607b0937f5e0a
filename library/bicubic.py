"""Bicubic resizing as the field's figures use it: that of MATLAB's `imresize`.

The kernel is that of Keys 1981, "Cubic convolution interpolation for digital image processing",
with a = -1/2. It widens when an image shrinks, so the result is antialiased. Beyond its border an
image continues as its mirror image, with the outermost pixel twice. PIL has the same kernel but
leaves out what lies beyond the border.
"""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@functools.lru_cache(maxsize=64)
def taps(old: int, new: int) -> tuple[Int[np.ndarray, "{new} k"], Float[np.ndarray, "{new} k"]]:
    """Returns the pixels that make each pixel of an axis of `new` pixels, and their shares."""
    scale = new / old
    shrinking = min(scale, 1.0)
    centre = (np.arange(new) + 0.5) / scale - 0.5
    reach = math.ceil(4 / shrinking) + 2
    pixel = np.floor(centre - 2 / shrinking)[:, None] + np.arange(reach)
    share = _kernel((centre[:, None] - pixel) * shrinking)
    used = np.any(share, axis=0)
    pixel, share = pixel[:, used], share[:, used]
    folded = np.mod(pixel.astype(np.int64), 2 * old)
    folded = np.where(folded < old, folded, 2 * old - 1 - folded)
    return folded, share / share.sum(axis=1, keepdims=True)


def weights(old: int, new: int) -> Float[np.ndarray, "{new} {old}"]:
    """Returns the matrix that resizes an axis of `old` pixels to `new` pixels."""
    matrix = np.zeros((new, old))
    pixel, share = taps(old, new)
    np.add.at(matrix, (np.arange(new)[:, None], pixel), share)
    return matrix


def resized(image: Float[Array, "*s h w c"], size: tuple[int, int]) -> Float[Array, "*s h2 w2 c"]:
    """Resizes images to (height, width), without clipping overshoots."""
    for axis, side in zip((-3, -2), size):
        if image.shape[axis] != side:
            pixel, share = taps(image.shape[axis], side)
            # A sum of a few shifted images is faster than a matrix product, and a pixel is felt
            # in its neighbourhood alone, even if it is not finite.
            share = share.astype(np.float32).reshape(*share.shape, *[1] * (-axis - 1))
            parts = (
                share[:, i] * jnp.take(image, pixel[:, i], axis=axis, mode="clip")
                for i in range(pixel.shape[1])
            )
            image = functools.reduce(jnp.add, parts)
    return image


def _kernel(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
