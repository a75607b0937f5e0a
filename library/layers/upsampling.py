"""Enlargement by bilinear interpolation: as a fixed layer, and as the start of a learned one."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def bilinear(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b _ _ c"]:
    """Enlarges features by bilinear interpolation between the centres of pixels.

    Beyond the outermost centres the outermost values go on, as in PyTorch's `interpolate` with
    `align_corners=False`.

    Args:
      x: features.
      factor: rows and columns of the result for each of `x`.
    """
    return _along(_along(x, factor, 1), factor, 2)


def bilinear_kernel(key: Any, shape: tuple[int, ...], dtype: Any) -> Float[Array, "h w i o"]:
    """Initializes an up-convolution so that it enlarges each channel bilinearly.

    Long et al. 2015 (arXiv 1411.4038), section 3.3. A side of the kernel is twice the stride.

    Args:
      key: not used.
      shape: (height, width, channels in, channels out).
      dtype: type of the kernel.
    """
    rows, columns = (
        1 - np.abs(np.arange(side) - (side - 1) / 2) / (side / 2) for side in shape[:2]
    )
    return jnp.asarray(np.multiply.outer(np.outer(rows, columns), np.eye(*shape[2:])), dtype)


def _along(x: Float[Array, "b h w c"], factor: int, axis: int) -> Float[Array, "b _ _ c"]:
    x = jnp.moveaxis(x, axis, 1)
    before = jnp.concatenate([x[:, :1], x[:, :-1]], axis=1)[:, :, None]
    after = jnp.concatenate([x[:, 1:], x[:, -1:]], axis=1)[:, :, None]
    # The centres of the new pixels, from that of the old pixel that they lie in.
    away = (np.arange(factor) + 0.5) / factor - 0.5
    away = np.asarray(away, x.dtype)[:, None, None]
    # `where`, and no product with 0: a value is to depend on two old pixels only.
    other = jnp.where(away < 0, before, after)
    mixed = (1 - np.abs(away)) * x[:, :, None] + np.abs(away) * other
    whole = mixed.reshape(x.shape[0], x.shape[1] * factor, *x.shape[2:])
    return jnp.moveaxis(whole, 1, axis)
