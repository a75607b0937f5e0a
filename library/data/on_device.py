"""The first operations on a batch inside the jitted step: gathering, scaling, normalizing."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from library.config import check_arguments
from library.data import augmentation, features
from library.data.features import Kinds

Batch = dict[str, jax.Array]


def gather(batch: Mapping[str, jax.Array], resident: Mapping[str, jax.Array]) -> Batch:
    """Gathers the features of a batch by its rows from a split in device memory.

    Args:
      batch: `row` `(b,)`, `index` `(b,)` and `mask` `(b,)`; or a batch that has all its features.
      resident: the arrays of the split by feature, `(n, ...)`, including `mask`; empty if the batch
        has all its features, which is then returned as a dict.
    """
    if not resident:
        return dict(batch)
    found = {name: values[batch["row"]] for name, values in resident.items()}
    return {**batch, **found, "mask": batch["mask"] * found["mask"]}


def to_float(batch: Mapping[str, jax.Array], kinds: Kinds = features.USUAL) -> Batch:
    """Scales uint8 images and clips to float32 in [0, 1], and converts maps to int32."""

    def converted(name: str, x: jax.Array) -> jax.Array:
        kind = kinds.get(name)
        if kind in features.PICTURES and x.dtype == jnp.uint8:
            return x.astype(jnp.float32) / 255
        return x.astype(jnp.int32) if kind == "map" else x

    return {name: converted(name, x) for name, x in batch.items()}


def normalizer(
    normalize: Mapping[str, tuple[float, ...]] | None, kinds: Kinds = features.USUAL
) -> Callable[[Batch], Batch]:
    """Returns the function that normalizes the images of a batch by channel: (x - mean) / std.

    It does not change batches without images.

    Args:
      normalize: `dict(mean=..., std=...)` in units of images in [0, 1], or None to change nothing.
      kinds: the kinds of the features.

    Raises:
      ConfigError: `normalize` has other keys, or a standard deviation is not above 0.
    """
    if normalize is None:
        return dict
    given = {"kinds": kinds}
    arguments = check_arguments(augmentation.normalize, normalize, "normalize", given)
    operation = augmentation.normalize(**arguments)

    def normalized(batch: Batch) -> Batch:
        pictures = features.named(kinds, *features.PICTURES, among=batch)
        return dict(operation(batch) if pictures else batch)

    return normalized


def unnormalizer(
    normalize: Mapping[str, tuple[float, ...]] | None,
) -> Callable[[jax.Array], jax.Array]:
    """Returns the function that maps normalized images `(..., h, w, c)` back to [0, 1]."""
    if normalize is None:
        return lambda image: image
    mean, std = (np.float32(normalize[name]) for name in ("mean", "std"))
    return lambda image: image * std + mean


def pixels(normalize: Mapping[str, tuple[float, ...]] | None, image: np.ndarray) -> np.ndarray:
    """Returns normalized images `(..., h, w, c)` as uint8, clipped to [0, 255]; NaN becomes 0."""
    image = unnormalizer(normalize)(np.asarray(image, np.float32))
    return np.uint8(np.clip(np.nan_to_num(image), 0, 1) * 255 + 0.5)
