"""Degradations: what makes a damaged image from a clean one, for tasks that undo it.

Each function is a factory, which a config names: `degradation=dict(name="downscale", factor=3)`.
Its operation draws by one key an example, so that the damage depends on the example's place in the
run alone. Images are in [0, 1].
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from library import bicubic
from library.config import ConfigError, check_choice


class Damaged(NamedTuple):
    """Damaged images.

    Attributes:
      image: (b, h, w, c); noise may leave [0, 1].
      lost: (b, h, w), true where a pixel of the clean image is missing; None if none is.
    """

    image: Float[Array, "b h w c"]
    lost: Bool[Array, "b h2 w2"] | None = None


class Degradation(NamedTuple):
    """A degradation.

    Attributes:
      apply: `(images (b, h, w, c), keys (b,)) -> Damaged`.
      factor: how many times larger the clean image's sides are.
    """

    apply: Callable[[Array, Array], Damaged]
    factor: int = 1


def downscale(factor: int, rounded: bool = False) -> Degradation:
    """Reduces images by bicubic interpolation with antialiasing, see `library.bicubic`.

    Args:
      factor: how many times smaller each side becomes.
      rounded: whether the small image is rounded to 8 bits, as that of a file is.

    Raises:
      ConfigError: the factor is below 2. (When traced) it does not divide a side of the images.
    """
    if factor < 2:
        raise ConfigError(f"downscale, factor={factor}: valid are 2 or more, such as 2, 3 or 4")

    def apply(image: Float[Array, "b h w c"], keys: Key[Array, " b"]) -> Damaged:
        height, width = image.shape[1:3]
        if height % factor or width % factor or min(height, width) < factor:
            sides = "x".join(str(max(round(s / factor), 1) * factor) for s in (height, width))
            raise ConfigError(
                f"downscale, factor={factor}: it does not divide images of {height}x{width}; "
                f"nearest: {sides}; the preprocessing crop_multiple crops images to multiples"
            )
        small = bicubic.resized(image, (height // factor, width // factor))
        return Damaged(jnp.round(jnp.clip(small, 0, 1) * 255) / 255 if rounded else small)

    return Degradation(apply, factor)


def gaussian_noise(
    sigma: float | None = None, blind: tuple[float, float] | None = None
) -> Degradation:
    """Adds Gaussian noise, without clipping.

    Args:
      sigma: standard deviation, in units in which white is 255.
      blind: low and high of a standard deviation that is drawn for each image, in place of `sigma`.

    Raises:
      ConfigError: there is neither or both of `sigma` and `blind`, or a deviation is out of range.
    """
    if (sigma is None) == (blind is None):
        raise ConfigError(
            f"gaussian_noise, sigma={sigma}, blind={blind}: write one of them, such as sigma=25.0 "
            "or blind=[0.0, 55.0]"
        )
    low, high = (sigma, sigma) if blind is None else blind
    if not 0 <= low <= high < float("inf") or high == 0:
        raise ConfigError(
            f"gaussian_noise, {f'sigma={sigma}' if blind is None else f'blind={blind}'}: valid are "
            "deviations above 0, in units in which white is 255"
        )

    def one(image: Float[Array, "h w c"], key: Array) -> Float[Array, "h w c"]:
        level, noise = jax.random.split(key)
        deviation = jax.random.uniform(level, minval=low, maxval=high) if high > low else low
        return image + deviation / 255 * jax.random.normal(noise, image.shape, image.dtype)

    return Degradation(lambda image, keys: Damaged(jax.vmap(one)(image, keys)))


def erase(
    area: float = 0.25, place: Literal["center", "random"] = "center", fill: float = 0.5
) -> Degradation:
    """Erases a rectangle of the image's proportions: the task of Pathak et al. 2016.

    Args:
      area: share of the image's area.
      place: "center", or "random" for a uniform place inside the image.
      fill: value of the erased pixels.

    Raises:
      ConfigError: a value is out of range.
    """
    check_choice("place of erase", place, ("center", "random"))
    if not 0 < area < 1:
        raise ConfigError(f"erase, area={area}: valid are shares above 0 and below 1")
    if not 0 <= fill <= 1:
        raise ConfigError(f"erase, fill={fill}: valid are 0 (black) to 1 (white)")

    def hole(key: Array, height: int, width: int) -> Bool[Array, "{height} {width}"]:
        rows, columns = (max(1, round(side * area**0.5)) for side in (height, width))
        room = jnp.array([height - rows, width - columns])
        corner = jax.random.randint(key, (2,), 0, room + 1) if place == "random" else room // 2
        y, x = jnp.arange(height)[:, None] - corner[0], jnp.arange(width)[None] - corner[1]
        return (y >= 0) & (y < rows) & (x >= 0) & (x < columns)

    def apply(image: Float[Array, "b h w c"], keys: Key[Array, " b"]) -> Damaged:
        lost = jax.vmap(lambda key: hole(key, *image.shape[1:3]))(keys)
        return Damaged(jnp.where(lost[..., None], fill, image), lost)

    return Degradation(apply)
