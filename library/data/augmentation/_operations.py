"""Building blocks of augmentations: applying changes to features, and checks of arguments."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from library.config import ConfigError
from library.data import features
from library.data.features import Kinds

Batch = dict[str, Array]
Operation = Callable[[Batch, Key[Array, " b"]], Batch]


class Motion(NamedTuple):
    """The functions by which an operation moves one example; all get the same key and draw alike.

    Attributes:
      image: moves an image by interpolation, `(image (h, w, c), key) -> (h2, w2, c)`.
      nearest: moves a map by nearest neighbour, `(map (h, w, 1), key) -> (h2, w2, 1)`.
      places: moves points, `(points (n, 2), key, (h, w)) -> (n, 2)`; points are y and x as
        fractions of the image before and after.
      field: moves a field, whose values may be outside [0, 1]; None uses `image`.
      any_size: whether images of different sizes, such as the small and the large one of a pair,
        move together.
    """

    image: Callable[[Array, Any], Array]
    nearest: Callable[[Array, Any], Array]
    places: Callable[[Array, Any, tuple[int, int]], Array]
    field: Callable[[Array, Any], Array] | None = None
    any_size: bool = False


def images(batch: Batch, kinds: Kinds) -> list[str]:
    """Lists the features of a batch that are images.

    Raises:
      ValueError: the batch has no images.
    """
    names = features.named(kinds, "image", among=batch)
    if not names:
        raise ValueError(f"the batch has no image, only {', '.join(sorted(batch))}")
    return names


def pictures(batch: Batch, kinds: Kinds) -> list[str]:
    """Lists the features of a batch that are images or clips.

    Raises:
      ValueError: the batch has neither.
    """
    return features.named(kinds, *features.PICTURES, among=batch) or images(batch, kinds)


def per_image(change: Callable[[Array, Any], Array], kinds: Kinds) -> Operation:
    """Makes an operation that applies `change`, `(image (h, w, c), key) -> image`, to images.

    The frames of a clip all change by the key of their example.
    """

    def of_frames(clip: Array, key: Any) -> Array:
        return jax.vmap(lambda frame: change(frame, key))(clip)

    changes = {"image": change, "clip": of_frames}

    def op(batch: Batch, keys: Key[Array, " b"]) -> Batch:
        names = pictures(batch, kinds)
        found = {name: jax.vmap(changes[kinds[name]])(batch[name], keys) for name in names}
        return {**batch, **found}

    return op


def refuse(batch: Batch, kinds: Kinds, operation: str, *wanted: str) -> None:
    """Raises ValueError if a batch has features of kinds that an operation cannot change."""
    for name in features.named(kinds, *wanted, among=batch):
        raise ValueError(
            f"{operation} changes only images and cannot change {name!r}, of kind "
            f"{kinds[name]!r}, accordingly"
        )


def spatial(motion: Motion, kinds: Kinds) -> Callable[[Batch, Array], Batch]:
    """Makes an operation that moves all spatial features of an example together.

    A box becomes the smallest box around its moved corners, clipped to the image. Objects outside
    the image get mask 0, see `library.data.features`.
    """
    field, clips = motion.field or motion.image, features.named(kinds, "clip")
    kinds = {**kinds, **dict.fromkeys(clips, "image")}

    def op(batch: Batch, keys: Array) -> Batch:
        names = features.named(kinds, *features.RASTERS, among=batch)
        if not names:
            raise ValueError(f"the batch has no image, only {', '.join(sorted(batch))}")
        found, sides = {}, batch[names[0]].shape[1:3]
        for name in names:
            x = batch[name]
            if x.shape[1:3] != sides and not motion.any_size:
                raise ValueError(
                    f"{name} has size {x.shape[1:3]}, but {names[0]} has {sides}: features that "
                    "are moved together need the same size"
                )
            move = {"image": motion.image, "field": field, "map": motion.nearest}[kinds[name]]
            flat = x.ndim == 3
            x = jax.vmap(move)(x[..., None] if flat else x, keys)
            found[name] = x[..., 0] if flat else x
        for name in features.named(kinds, *features.OBJECTS, among=batch):
            found |= _moved_objects(batch, name, kinds[name], motion, keys, sides)
        return {**batch, **found}

    return _with_frames_as_channels(op, clips) if clips else op


def _with_frames_as_channels(
    op: Callable[[Batch, Array], Batch], clips: list[str]
) -> Callable[[Batch, Array], Batch]:
    """Returns an operation that gets the frames of clips as channels, which move alike."""

    def moved(batch: Batch, keys: Array) -> Batch:
        held = {name: batch[name].shape for name in clips if name in batch}
        flat = {
            name: jnp.moveaxis(batch[name], 1, 3).reshape(b, h, w, t * c)
            for name, (b, t, h, w, c) in held.items()
        }
        found = op({**batch, **flat}, keys)
        frames = {}
        for name, (b, t, _, _, c) in held.items():
            x = found[name]
            frames[name] = jnp.moveaxis(x.reshape(b, *x.shape[1:3], t, c), 3, 1)
        return {**found, **frames}

    return moved


def _moved_objects(
    batch: Batch, name: str, kind: str, motion: Motion, keys: Array, sides: tuple[int, int]
) -> Batch:
    x, mask = batch[name], batch.get(f"{name}_mask")
    mask = jnp.ones(x.shape[:2], jnp.float32) if mask is None else mask
    corners = _corners(x) if kind == "boxes" else x[:, :, None]
    points = corners.reshape(len(x), -1, 2)
    moved = jax.vmap(lambda p, key: motion.places(p, key, sides))(points, keys)
    moved = moved.reshape(corners.shape)
    if kind == "boxes":
        low, high = (jnp.clip(f(moved, axis=2), 0, 1) for f in (jnp.min, jnp.max))
        new, inside = (
            jnp.concatenate([low, high], axis=-1),
            jnp.all(high - low > features.SLIVER, axis=-1),
        )
    else:
        new = jnp.clip(moved[:, :, 0], 0, 1)
        inside = jnp.all(new == moved[:, :, 0], axis=-1)
    return {name: new, f"{name}_mask": jnp.where(inside, mask, 0)}


def _corners(boxes: Float[Array, "b n 4"]) -> Float[Array, "b n 4 2"]:
    top, left, bottom, right = (boxes[..., i] for i in range(4))
    pairs = ((top, left), (top, right), (bottom, left), (bottom, right))
    return jnp.stack([jnp.stack(pair, axis=-1) for pair in pairs], axis=2)


def check_within(
    name: str, value: float | int, low: float | int, high: float | int = math.inf
) -> None:
    if not low <= value <= high:
        closest = low if value < low else high
        raise ConfigError(f"{name}={value!r} is not in [{low}, {high}]: the nearest is {closest}")


def check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{name}={value!r}: it must be a positive number")


def check_interval(name: str, interval: tuple[float, float], most: float = math.inf) -> None:
    low, high = interval
    if not 0 < low <= high <= most:
        raise ConfigError(
            f"{name}={interval!r}: it must be (low, high) with 0 < low <= high <= {most}"
        )
