"""Colour spaces: luma and chroma of ITU-R BT.601, and CIE Lab.

RGB images are (..., 3) in [0, 1], encoded as sRGB (IEC 61966-2-1) where that matters.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST
# Rows are Y, Cb and Cr of red, green and blue, in units of 1/255; MATLAB's rgb2ycbcr.
_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
_YCBCR_OFFSET = np.array([16.0, 128.0, 128.0])
# Linear sRGB to CIE XYZ, and the white of D65, for the observer of two degrees.
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _XYZ.sum(axis=1)
_KNEE = 6 / 29


def luma(image: Float[Array, "*s c"]) -> Float[Array, "*s 1"]:
    """Returns luma, 16/255 for black to 235/255 for white, as MATLAB's `rgb2ycbcr` has it.

    A grey image, with one channel, counts as luma already.
    """
    return image if image.shape[-1] == 1 else to_ycbcr(image)[..., :1]


def to_ycbcr(image: Float[Array, "*s 3"]) -> Float[Array, "*s 3"]:
    """Returns luma and chroma, in units in which 255 is 1."""
    return _times(image, _YCBCR / 255) + jnp.asarray(_YCBCR_OFFSET / 255, image.dtype)


def from_ycbcr(ycbcr: Float[Array, "*s 3"]) -> Float[Array, "*s 3"]:
    """Returns RGB, which may lie outside [0, 1]; the inverse of `to_ycbcr`."""
    centred = ycbcr - jnp.asarray(_YCBCR_OFFSET / 255, ycbcr.dtype)
    return _times(centred, np.linalg.inv(_YCBCR / 255))


def to_lab(image: Float[Array, "*s 3"]) -> Float[Array, "*s 3"]:
    """Returns CIE L*a*b* (CIE 1976) for the white D65: L in [0, 100], a and b about [-110, 110]."""
    low = image <= 0.04045
    # The unused branch of `where` must have a finite gradient, too.
    high = ((jnp.where(low, 1.0, image) + 0.055) / 1.055) ** 2.4
    linear = jnp.where(low, image / 12.92, high)
    x = _times(linear, _XYZ / _WHITE[:, None])
    small = x <= _KNEE**3
    root = jnp.cbrt(jnp.where(small, 1.0, x))
    f = jnp.where(small, x / (3 * _KNEE**2) + 4 / 29, root)
    lightness = 116 * f[..., 1] - 16
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return jnp.stack([lightness, a, b], axis=-1)


def from_lab(lab: Float[Array, "*s 3"]) -> Float[Array, "*s 3"]:
    """Returns RGB, the inverse of `to_lab`; colours outside the gamut lie outside [0, 1]."""
    middle = (lab[..., 0] + 16) / 116
    f = jnp.stack([middle + lab[..., 1] / 500, middle, middle - lab[..., 2] / 200], axis=-1)
    x = jnp.where(f > _KNEE, f**3, 3 * _KNEE**2 * (f - 4 / 29))
    linear = _times(x, np.linalg.inv(_XYZ) * _WHITE)
    low = linear <= 0.0031308
    high = 1.055 * jnp.where(low, 1.0, linear) ** (1 / 2.4) - 0.055
    return jnp.where(low, 12.92 * linear, high)


def _times(x: Float[Array, "*s 3"], matrix: np.ndarray) -> Float[Array, "*s 3"]:
    return jnp.tensordot(x, jnp.asarray(matrix.T, x.dtype), 1, precision=_HIGHEST)
