"""Geometry with interpolation: rotation, scaling, shear, translation and elastic deformation.

Each new pixel takes its value from a place in the old image: by bilinear interpolation for images,
from the nearest pixel for maps. Vectors in a field are moved, but not rotated.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray

from library import maps
from library.config import ConfigError
from library.data import features
from library.data.augmentation._operations import (
    Motion,
    Operation,
    check_interval,
    check_positive,
    check_within,
    spatial,
)
from library.data.features import Kinds

# Places are in fixed point with this many fractional bits. Integer arithmetic selects the pixels to
# read, so the selection is the same on every device.
_BITS = 15
_ONE = 1 << _BITS
# Steps of the iteration that finds the new place of a point. Each step gains a digit or more if the
# displacement changes little from pixel to pixel.
_ITERATIONS = 8


def affine(
    degrees: float = 0.0,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    probability: float = 1.0,
    fill: float = 0.0,
    map_fill: int = maps.UNKNOWN,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Rotates, scales and shears about the centre and translates, by uniform random amounts.

    Args:
      degrees: largest angle of the rotation, in either direction, 0 to 180.
      translate: largest translation, as a fraction of the height and of the width, 0 to 1.
      scale: (low, high) of the scale factor, which is log-uniform.
      shear: largest angle in degrees by which columns are tilted, 0 to 89.
      probability: probability of changing an example.
      fill: value of pixels from outside an image.
      map_fill: value of pixels from outside a map.
      kinds: the kinds of the features.

    Raises:
      ConfigError: an angle, `translate` or `probability` is out of its range, or `scale` is empty
        or not positive.
    """
    check_within("affine, degrees", degrees, 0, 180)
    check_within("affine, translate", translate, 0, 1)
    check_within("affine, shear", shear, 0, 89)
    check_interval("affine, scale", scale)
    check_within("affine, probability", probability, 0, 1)

    moves = _Affine(degrees, translate, scale, shear, probability)
    image = partial(_interpolated, moves.sources, fill=fill)
    field = partial(_interpolated, moves.sources, fill=0)
    nearest = partial(_nearest, moves.sources, fill=map_fill)
    return spatial(Motion(image, nearest, moves.places, field), kinds)


def elastic(
    std: float = 10.0,
    grid: int = 3,
    probability: float = 1.0,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Deforms images by random displacements on a coarse grid with cubic interpolation.

    Ronneberger et al. 2015, "U-Net" (arXiv 1505.04597), section 3.1: displacements are normal with
    a standard deviation of 10 pixels on a grid of 3 by 3. Pixels from outside the image are those
    of its mirror image. A box moves with its corners.

    Args:
      std: standard deviation of the displacements, in pixels.
      grid: number of displacements along each side, 2 or more.
      probability: probability of deforming an example.
      kinds: the kinds of the features.

    Raises:
      ConfigError: std is not positive, grid is below 2, or probability is outside [0, 1].
    """
    check_positive("elastic, std", std)
    check_within("elastic, probability", probability, 0, 1)
    if grid < 2:
        raise ConfigError(f"elastic, grid={grid}: valid are 2 or more")

    def displacement(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "2 h w"]:
        k_values, k_apply = jax.random.split(key)
        coarse = std * jax.random.normal(k_values, (2, grid, grid))
        fine = jax.image.resize(coarse, (2, *shape[:2]), "cubic", antialias=False)
        return jnp.where(jax.random.bernoulli(k_apply, probability), fine, 0)

    return _displaced(displacement, kinds)


def smooth_elastic(
    sigma: float = 4.0,
    alpha: float = 34.0,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Deforms images by a displacement of each pixel, smoothed by a Gaussian.

    Simard, Steinkraus & Platt 2003, "Best practices for convolutional neural networks applied to
    visual document analysis", section 2: displacements are uniform in [-1, 1], smoothed with the
    standard deviation sigma, and multiplied by alpha. Pixels from outside the image are those of
    its mirror image. A box moves with its corners.

    Args:
      sigma: standard deviation of the Gaussian, in pixels.
      alpha: factor of the smoothed displacements, in pixels.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a number is not positive.
    """
    check_positive("smooth_elastic, sigma", sigma)
    check_positive("smooth_elastic, alpha", alpha)

    def displacement(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "2 h w"]:
        rough = jax.random.uniform(key, (2, *shape[:2]), minval=-1.0, maxval=1.0)
        down, right = (_gaussian(side, sigma) for side in shape[:2])
        smooth = jnp.einsum("yh,chw,xw->cyx", down, rough, right, precision="highest")
        return alpha * smooth

    return _displaced(displacement, kinds)


def _gaussian(side: int, sigma: float) -> Float32[np.ndarray, "n n"]:
    """Returns the weights by which a Gaussian smooths a row of pixels, 0 beyond its ends."""
    place = np.arange(side)
    distance = place[:, None] - place[None, :]
    kernel = np.exp(-((np.arange(-8 * side, 8 * side + 1) / sigma) ** 2) / 2)
    return (np.exp(-((distance / sigma) ** 2) / 2) / kernel.sum()).astype(np.float32)


def _displaced(displacement: Callable[..., Array], kinds: Kinds) -> Operation:
    """Returns the operation that takes each pixel from beside its place, by a drawn displacement.

    Args:
      displacement: `(key, shape of the image) -> (2, h, w)`, down and to the right, in pixels.
      kinds: the kinds of the features.
    """

    def sources(key: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "2 h w"]:
        y, x = (jnp.arange(side) for side in shape[:2])
        own = jnp.stack(jnp.meshgrid(y, x, indexing="ij"))
        return own * _ONE + _fixed(displacement(key, shape))

    def places(points: Array, key: PRNGKeyArray, shape: tuple[int, int]) -> Array:
        sides, moved = np.float32(shape), displacement(key, shape)
        old = new = points * sides - 0.5
        # New pixel q takes the value at old place q + d(q), so old point p moves to the q with
        # q + d(q) = p.
        for _ in range(_ITERATIONS):
            new = old - jnp.stack([map_coordinates(d, [*new.T], 1, "nearest") for d in moved], -1)
        return (new + 0.5) / sides

    image, nearest = partial(_interpolated, sources), partial(_nearest, sources)
    return spatial(Motion(image, nearest, places), kinds)


class _Affine(NamedTuple):
    """The ranges of a random affine map: those of `affine`."""

    degrees: float
    translate: float
    scale: tuple[float, float]
    shear: float
    probability: float

    def drawn(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> tuple[list[Array], Array]:
        """Returns the matrix from old to new places (4 values, row by row) and the shift (2,)."""
        k_values, k_apply = jax.random.split(key)
        turn, size, lean, down, right = jax.random.uniform(k_values, (5,), minval=-1)
        low, high = np.log(self.scale)
        factor = jnp.exp((low + high) / 2 + (high - low) / 2 * size)
        turn, lean = (jnp.deg2rad(x) for x in (turn * self.degrees, lean * self.shear))
        cos, sin, tan = jnp.cos(turn), jnp.sin(turn), jnp.tan(lean)
        # Rows are y and x; a positive turn is counterclockwise, as images are seen.
        matrix = jnp.stack([cos - sin * tan, -sin, sin + cos * tan, cos]) * factor
        shift = jnp.stack([down * shape[0], right * shape[1]]) * self.translate
        moves = jax.random.bernoulli(k_apply, self.probability)
        return [*jnp.where(moves, matrix, jnp.array([1.0, 0, 0, 1]))], jnp.where(moves, shift, 0)

    def sources(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "2 h w"]:
        """Returns the old place of each new pixel, in fixed point."""
        (a, b, c, d), shift = self.drawn(key, shape)
        # The inverse is written out because a TPU rounds matrix products. It is in fixed point
        # because the last bits of cosines depend on the batch size.
        inverse = jnp.stack([d, -b, -c, a]) / (a * d - b * c)
        back = jnp.stack(
            [
                inverse[0] * shift[0] + inverse[1] * shift[1],
                inverse[2] * shift[0] + inverse[3] * shift[1],
            ]
        )
        e, f, g, h = _fixed(inverse / 2)
        # Twice the distance of each pixel from the centre is a whole number.
        y, x = jnp.meshgrid(*(2 * jnp.arange(n) - (n - 1) for n in shape[:2]), indexing="ij")
        centre = (np.array(shape[:2]) - 1) * (_ONE // 2) - _fixed(back)
        return jnp.stack([e * y + f * x, g * y + h * x]) + centre[:, None, None]

    def places(
        self, points: Float[Array, "n 2"], key: PRNGKeyArray, shape: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        """Returns the new places of points, as fractions of the image."""
        (a, b, c, d), shift = self.drawn(key, shape)
        sides = np.float32(shape)
        y, x = ((points - 0.5) * sides).T
        moved = jnp.stack([a * y + b * x, c * y + d * x], axis=-1)
        return (moved + shift) / sides + 0.5


def _fixed(values: Float[Array, "*s"]) -> Int[Array, "*s"]:
    return jnp.round(values * _ONE).astype(jnp.int32)


def _interpolated(
    sources: Callable, values: Array, key: PRNGKeyArray, fill: int | float | None = None
) -> Array:
    """Returns `values` (h, w, c) interpolated bilinearly at the old place of each new pixel.

    Pixels from outside are `fill`, or those of the mirror image if `fill` is None.
    """
    places = sources(key, values.shape)
    y, x = places >> _BITS
    down, right = ((places & (_ONE - 1)) / np.float32(_ONE))[..., None]
    upper = (1 - right) * _read(values, y, x, fill) + right * _read(values, y, x + 1, fill)
    lower = (1 - right) * _read(values, y + 1, x, fill) + right * _read(values, y + 1, x + 1, fill)
    return (1 - down) * upper + down * lower


def _nearest(sources: Callable, values: Array, key: PRNGKeyArray, fill: int | None = None) -> Array:
    y, x = (sources(key, values.shape) + _ONE // 2) >> _BITS
    return _read(values, y, x, fill)


def _read(
    values: Array, y: Int[Array, "h w"], x: Int[Array, "h w"], fill: int | float | None
) -> Array:
    height, width, _ = values.shape
    if fill is None:
        return values[_mirrored(y, height), _mirrored(x, width)]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    found = values[jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)]
    return jnp.where(inside[..., None], found, fill)


def _mirrored(place: Int[Array, "h w"], side: int) -> Int[Array, "h w"]:
    """Mirrors places outside [0, side) about the first and the last pixel."""
    period = max(1, 2 * (side - 1))
    return side - 1 - jnp.abs(side - 1 - place % period)
