"""Bicubic resizing as the field's figures use it: that of MATLAB's `imresize`.

The kernel is that of Keys 1981, "Cubic convolution interpolation for digital image processing",
with a = -1/2. It widens when an image shrinks, so the result is antialiased. Beyond its border an
image continues as its mirror image, with the outermost pixel twice. PIL has the same kernel but
leaves out what lies beyond the border.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@functools.lru_cache(maxsize=64)
def weights(old: int, new: int) -> Float[np.ndarray, "{new} {old}"]:
    """Returns the matrix that resizes an axis of `old` pixels to `new` pixels."""
    scale = new / old
    shrinking = min(scale, 1.0)
    centre = (np.arange(new) + 0.5) / scale - 0.5
    reach = math.ceil(4 / shrinking) + 2
    pixel = np.floor(centre - 2 / shrinking)[:, None] + np.arange(reach)
    share = _kernel((centre[:, None] - pixel) * shrinking)
    share /= share.sum(axis=1, keepdims=True)
    folded = np.mod(pixel.astype(np.int64), 2 * old)
    folded = np.where(folded < old, folded, 2 * old - 1 - folded)
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.arange(new)[:, None], folded), share)
    return matrix


def resized(image: Float[Array, "*s h w c"], size: tuple[int, int]) -> Float[Array, "*s h2 w2 c"]:
    """Resizes images to (height, width), without clipping overshoots."""
    for axis, side in zip((-3, -2), size):
        if image.shape[axis] != side:
            matrix = jnp.asarray(weights(image.shape[axis], side), image.dtype)
            moved = jnp.tensordot(
                jnp.moveaxis(image, axis, -1), matrix, (-1, 1), precision=jax.lax.Precision.HIGHEST
            )
            image = jnp.moveaxis(moved, -1, axis)
    return image


def _kernel(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
