"""What happens to a batch first, inside the jitted step: gathering, scaling, normalizing."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from library.config import check_arguments
from library.data import augmentation, features
from library.data.features import Kinds

Batch = dict[str, jax.Array]


def gather(batch: Mapping[str, jax.Array], resident: Mapping[str, jax.Array]) -> Batch:
    """Completes a batch of rows from a split that lies in device memory.

    Args:
      batch: `row`, `(b,)`, with `index` and `mask`; or a whole batch.
      resident: arrays of the split, `(n, ...)`, by feature, `mask` among them; empty for a batch
        that came whole.
    """
    if not resident:
        return dict(batch)
    found = {name: values[batch["row"]] for name, values in resident.items()}
    return {**batch, **found, "mask": batch["mask"] * found["mask"]}


def to_float(batch: Mapping[str, jax.Array], kinds: Kinds = features.USUAL) -> Batch:
    """Scales uint8 images to float32 in [0, 1]; maps become int32, and all else stays as it is."""

    def converted(name: str, x: jax.Array) -> jax.Array:
        kind = kinds.get(name)
        if kind == "image" and x.dtype == jnp.uint8:
            return x.astype(jnp.float32) / 255
        return x.astype(jnp.int32) if kind == "map" else x

    return {name: converted(name, x) for name, x in batch.items()}


def normalizer(
    normalize: Mapping[str, tuple[float, ...]] | None, kinds: Kinds = features.USUAL
) -> Callable[[Batch], Batch]:
    """Returns the function that subtracts a mean and divides by a deviation, by channel of images.

    Batches without images are left as they are.

    Args:
      normalize: `dict(mean=..., std=...)` in units of [0, 1] images, or None to leave them.
      kinds: of the features.

    Raises:
      ConfigError: other keys, or deviations that are not above 0.
    """
    if normalize is None:
        return dict
    given = {"kinds": kinds}
    arguments = check_arguments(augmentation.normalize, normalize, "normalize", given)
    operation = augmentation.normalize(**arguments)

    def normalized(batch: Batch) -> Batch:
        return dict(operation(batch) if features.named(kinds, "image", among=batch) else batch)

    return normalized


def unnormalizer(
    normalize: Mapping[str, tuple[float, ...]] | None,
) -> Callable[[jax.Array], jax.Array]:
    """Returns the function that brings normalized images `(..., h, w, c)` back to [0, 1]."""
    if normalize is None:
        return lambda image: image
    mean, std = (np.float32(normalize[name]) for name in ("mean", "std"))
    return lambda image: image * std + mean


def pixels(normalize: Mapping[str, tuple[float, ...]] | None, image: np.ndarray) -> np.ndarray:
    """Returns normalized images `(..., h, w, c)` as uint8, clipped to what that can hold."""
    image = unnormalizer(normalize)(np.asarray(image, np.float32))
    return np.uint8(np.clip(np.nan_to_num(image), 0, 1) * 255 + 0.5)
