"""A printable patch that makes a classifier predict one class, anywhere in an image.

Brown, Mane, Roy, Abadi & Gilmer 2017, "Adversarial patch" (arXiv 1712.09665).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Int, Key

from library.config import ConfigError

Logits = Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]]


class Place(NamedTuple):
    """The place of a patch in each of b images.

    Attributes:
      row: row of the centre in pixels; the middle of the first pixel is 0.
      column: column of the centre in pixels; the middle of the first pixel is 0.
      side: side in pixels.
      angle: counterclockwise rotation in radians.
    """

    row: Float[Array, " b"]
    column: Float[Array, " b"]
    side: Float[Array, " b"]
    angle: Float[Array, " b"]


class Settings(NamedTuple):
    """Settings of the training of a patch.

    Attributes:
      size: side of the trained patch in pixels.
      side: smallest and largest side in an image, as shares of the image's shorter side.
      angle: largest rotation in either direction, in degrees.
      steps: steps of Adam.
      learning_rate: learning rate of Adam.
      batch_size: number of images that each step draws; all images, if there are not more.
    """

    size: int = 32
    side: tuple[float, float] = (0.3, 0.5)
    angle: float = 22.5
    steps: int = 500
    learning_rate: float = 0.05
    batch_size: int = 32


DEFAULT = Settings()


def train_patch(
    logits: Logits,
    image: Float[Array, "b h w c"],
    target: int | Int[Array, ""],
    key: Key[Array, ""],
    settings: Settings = DEFAULT,
) -> Float[Array, "s s c"]:
    """Trains a patch to maximise E[log p(target | image with the patch at a random place)], eq. 1.

    Each step draws a batch of images and a place for each image. Pixels of the patch stay in
    [0, 1], so that a printer can show them.

    Args:
      logits: function from pixels to logits.
      image: the images, (b, h, w, c) in [0, 1].
      target: the class that the classifier should predict.
      key: key for the places and for the batch of each step.
      settings: settings of the training.

    Raises:
      ConfigError: a setting is out of range.
    """
    check_settings(settings)
    optimizer = optax.adam(settings.learning_rate)
    count = min(settings.batch_size, len(image))
    label = jnp.full(count, target, jnp.int32)

    def loss(patch, step):
        drawn, placed = jax.random.split(jax.random.fold_in(key, step))
        batch = image
        if count < len(image):
            batch = image[jax.random.choice(drawn, len(image), (count,), replace=False)]
        places = random_places(jax.random.split(placed, count), image.shape[1:3], settings)
        shown = apply_patch(patch, batch, places)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits(shown), label))

    def train(carry, step):
        patch, state = carry
        updates, state = optimizer.update(jax.grad(loss)(patch, step), state)
        return (jnp.clip(optax.apply_updates(patch, updates), 0, 1), state), None

    first = jnp.full((settings.size, settings.size, image.shape[-1]), 0.5, image.dtype)
    carry, _ = jax.lax.scan(train, (first, optimizer.init(first)), jnp.arange(settings.steps))
    return carry[0]


def random_places(keys: Key[Array, " b"], size: tuple[int, int], settings: Settings) -> Place:
    """Draws a place for each of b keys, so that the whole disc is inside the image.

    Args:
      keys: (b,), one key for each image.
      size: height and width of the images.
      settings: limits of sides and angles, which are drawn uniformly.
    """
    least, greatest = settings.side

    def draw(key):
        row, column, side, angle = jax.random.uniform(key, (4,))
        side = min(size) * (least + (greatest - least) * side)
        angle = math.radians(settings.angle) * (2 * angle - 1)
        row, column = ((side - 1) / 2 + s * (n - side) for s, n in zip((row, column), size))
        return Place(row, column, side, angle)

    return jax.vmap(draw)(keys)


def apply_patch(
    patch: Float[Array, "s s c"], image: Float[Array, "b h w c"], place: Place
) -> Float[Array, "b h w c"]:
    """Covers each image with the largest disc inside the patch, A(p, x, l, t) of the paper.

    The patch is interpolated bilinearly. Pixels whose centres are outside the disc keep the value
    of the image.
    """
    rows, columns = jnp.indices(image.shape[1:3])
    middle = (len(patch) - 1) / 2

    def cover(image, place):
        down, across = rows - place.row, columns - place.column
        cos, sin = jnp.cos(place.angle), jnp.sin(place.angle)
        zoom = len(patch) / place.side
        at = [
            middle + zoom * (cos * down + sin * across),
            middle + zoom * (cos * across - sin * down),
        ]
        seen = jax.vmap(
            lambda channel: map_coordinates(channel, at, order=1, mode="nearest"), -1, -1
        )(patch)
        inside = down**2 + across**2 <= (place.side / 2) ** 2
        return jnp.where(inside[..., None], seen, image)

    return jax.vmap(cover)(image, place)


def check_settings(settings: Settings) -> None:
    """Raises ConfigError if a setting is out of range."""
    least, greatest = settings.side
    if not 0 < least <= greatest <= 1:
        raise ConfigError(
            f"side={settings.side}: valid are shares of the image above 0 and up to 1, "
            "the smaller first"
        )
    if settings.size < 2 or settings.steps < 1 or not settings.learning_rate > 0:
        raise ConfigError(
            f"size={settings.size} (valid: 2 or more), steps={settings.steps} (valid: 1 or more), "
            f"learning_rate={settings.learning_rate} (valid: above 0)"
        )
    if settings.batch_size < 1:
        raise ConfigError(f"batch_size={settings.batch_size}: valid are 1 or more")
