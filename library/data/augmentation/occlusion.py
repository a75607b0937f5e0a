"""Occlusion: augmentations that erase parts of images."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError, nearest
from library.data import features
from library.data.augmentation._draws import box, boxes
from library.data.augmentation._operations import (
    Operation,
    check_interval,
    check_within,
    per_image,
)
from library.data.features import Kinds

# What a box is filled with, by name, where it is not one number.
_NOISE = ("random", "normal")


def random_erasing(
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
    fill: float | str = "random",
    unnormalize: Callable[[Array], Array] | None = None,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Erases a box of random area and aspect ratio (Zhong et al. 2020, arXiv 1708.04896).

    The area is uniform, the ratio log-uniform (uniform in the paper's Algorithm 1, log-uniform in
    the common implementations). Of ten drawn boxes the first that fits is erased; if none fits,
    the image does not change.

    Args:
      probability: probability of erasing from an example.
      area: (low, high) of the box's fraction of the image.
      ratio: (low, high) of width / height.
      fill: a value, or a draw per pixel and channel: "random" is uniform in [0, 1), "normal" is
        standard normal after normalization, as timm's mode "pixel". Values of "normal" leave
        [0, 1], so place operations that clip before this one.
      unnormalize: maps normalized images back to [0, 1]. "normal" applies it to its draws, because
        the batch is normalized later.
      kinds: the kinds of the features.

    Raises:
      ConfigError: probability is outside [0, 1], an interval is empty or not positive, or `fill` is
        unknown.
    """
    check_within("random_erasing, probability", probability, 0, 1)
    check_interval("random_erasing, area", area, most=1.0)
    check_interval("random_erasing, ratio", ratio)
    if isinstance(fill, str) and fill not in _NOISE:
        raise ConfigError(
            f"unknown fill of random_erasing {fill!r}: a number, or {nearest(fill, _NOISE)}"
        )

    def filled(key: PRNGKeyArray, shape: tuple[int, ...]) -> float | Array:
        if fill == "normal":
            noise = jax.random.normal(key, shape)
            return noise if unnormalize is None else unnormalize(noise)
        return jax.random.uniform(key, shape) if fill == "random" else fill

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        k_box, k_corner, k_fill, k_apply = jax.random.split(key, 4)
        height, width, _ = image.shape
        rows, columns, fits = boxes(k_box, height, width, area, ratio)
        first = jnp.argmax(fits)
        side = jnp.array([rows[first], columns[first]])
        free = jnp.maximum(jnp.array([height, width]) - side, 0)
        corner = jax.random.randint(k_corner, (2,), 0, free + 1)
        erased = jax.random.bernoulli(k_apply, probability) & jnp.any(fits)
        inside = box(height, width, corner, corner + side) & erased
        return jnp.where(inside[..., None], filled(k_fill, image.shape), image)

    return per_image(change, kinds)


def cutout(size: int, fill: float = 0.0, kinds: Kinds = features.USUAL) -> Operation:
    """Erases a square around a uniformly drawn pixel, clipped to the image.

    DeVries & Taylor 2017, arXiv 1708.04552. The paper replaces pixels by the mean of the data:
    place this operation after `normalize`, or give the mean as `fill`.

    Args:
      size: side of the square in pixels (16 for CIFAR-10, 8 for CIFAR-100).
      fill: value of the erased pixels.
      kinds: the kinds of the features.
    """
    check_within("cutout, size", size, 1)

    def change(image: Float[Array, "h w c"], key: PRNGKeyArray) -> Float[Array, "h w c"]:
        height, width, _ = image.shape
        centre = jax.random.randint(key, (2,), 0, np.array([height, width]))
        start = centre - size // 2
        return jnp.where(box(height, width, start, start + size)[..., None], fill, image)

    return per_image(change, kinds)
