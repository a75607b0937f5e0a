"""Operations that make series from other features."""

import functools
from typing import Literal

import numpy as np

from library import rng as keys
from library.config import ConfigError, check_choice
from library.data import features
from library.data.preprocessing._examples import Operation, feature, shown, without


def to_series(
    key: str = "image",
    by: Literal["pixel", "row"] = "pixel",
    permutation: int | None = None,
    mean: float = 0.0,
    std: float = 1.0,
) -> Operation:
    """Converts the image `key` to a `series` that is read pixel by pixel, or row by row.

    An image (h, w, c) becomes float32 (h w, c), or (h, w c) by rows: `(pixel / 255 - mean) / std`.
    MNIST by pixels is sequential MNIST, and with a permutation permuted MNIST (Le, Jaitly & Hinton
    2015, arXiv 1504.00941).

    Args:
      key: the feature to convert.
      by: what a step holds, a "pixel" or a "row".
      permutation: the seed of a permutation of the steps, the same for all images; None leaves them
        in order.
      mean: what is subtracted from the pixels in [0, 1].
      std: what they are then divided by.

    Raises:
      ConfigError: `by` is unknown, `permutation` is negative, or `std` is not above 0.
      ValueError: (the operation) the feature is not an image.
    """
    check_choice("to_series, by", by, ("pixel", "row"))
    if not std > 0:
        raise ConfigError(f"to_series, std={std}: it must be above 0")
    if permutation is not None and not 0 <= permutation < 2**32:
        raise ConfigError(f"to_series, permutation={permutation}: seeds are 0 to 2^32 - 1")
    scaling = dict(mean=mean, std=std)
    operation = functools.partial(_to_series, key=key, by=by, permutation=permutation, **scaling)
    return features.making(operation, series="series")


def join_target(key: str = "series") -> Operation:
    """Appends the steps of `target` to the series `key`, (t, d), and makes the whole the target.

    A model that then predicts the target rebuilds its input, as an autoencoder does.

    Raises (the operation):
      ValueError: the target is no whole steps.
    """
    return functools.partial(_join_target, key=key)


def relative(key: str = "series") -> Operation:
    """Subtracts the last step of the series `key`, (t, d), from all its steps and from `target`.

    A model then forecasts a change, at any level of the series (Zeng et al. 2023, NLinear).

    Raises (the operation):
      ValueError: the target is no whole steps.
    """
    return functools.partial(_relative, key=key)


def _join_target(example, rng, *, key):
    series, target = _steps(example, key, "join_target")
    whole = np.concatenate([series, target])
    return {**example, key: whole, "target": whole.ravel()}


def _relative(example, rng, *, key):
    series, target = _steps(example, key, "relative")
    return {**example, key: series - series[-1], "target": (target - series[-1]).ravel()}


def _steps(example, key: str, operation: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps of a series and of its target, float32 (t, d) and (s, d)."""
    series, target = np.asarray(feature(example, key)), np.asarray(feature(example, "target"))
    if series.ndim != 2 or not len(series) or target.size % series.shape[-1]:
        raise ValueError(
            f"{key} is {shown(series)} and target {shown(target)}: {operation} takes a series "
            "(steps, channels) and a target of whole steps"
        )
    target = target.reshape(-1, series.shape[-1])
    return series.astype(np.float32), target.astype(np.float32)


def _to_series(example, rng, *, key, by, permutation, mean, std):
    image = np.asarray(feature(example, key))
    if image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"{key} is {shown(image)}: to_series takes a decoded image, uint8 (h, w, c)"
        )
    height, channels = len(image), image.shape[-1]
    steps = image.reshape(-1, channels) if by == "pixel" else image.reshape(height, -1)
    if permutation is not None:
        steps = steps[_permuted(permutation, len(steps))]
    series = (steps.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)
    return {**without(example, key), "series": series}


@functools.lru_cache(maxsize=8)
def _permuted(seed: int, count: int) -> np.ndarray:
    return keys.host_generator(seed, "steps", count).permutation(count)
