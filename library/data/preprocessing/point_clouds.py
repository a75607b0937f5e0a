"""Images as sets of points."""

import functools

import numpy as np

from library.config import ConfigError
from library.data import features
from library.data.preprocessing._examples import (
    Example,
    Operation,
    feature,
    positive,
    shown,
    without,
)


def ink_points(num: int, key: str = "image", jitter: float = 0.0) -> Operation:
    """Converts a grey image of bright ink to `num` points of the ink, drawn at random.

    The feature `cloud`, float32 (num, 3), takes the place of the image. A pixel is drawn with a
    probability proportional to its brightness, and may be drawn several times. A point is a uniform
    place in its pixel, (y, x), and its brightness, 0 to 1, as the third coordinate. The places are
    moved so that their mean is 0, and divided by the largest distance from there. Training draws
    other points each time. An evaluation draws the same.

    Args:
      num: points of an example.
      key: the image, uint8 (h, w, 1).
      jitter: standard deviation of the noise on the three coordinates, after scaling.

    Raises:
      ConfigError: `num` is below 1, or `jitter` is negative.
      ValueError: (the operation) the image is not grey, or all of it is black.
    """
    if jitter < 0:
        raise ConfigError(f"ink_points, jitter={jitter}: valid are 0 or more")
    operation = functools.partial(_ink_points, num=positive(num), key=key, jitter=jitter)
    return features.making(operation, cloud="array")


def _ink_points(example: Example, rng: np.random.Generator, *, num, key, jitter) -> Example:
    image = feature(example, key)
    if not (isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 1):
        raise ValueError(f"{key} is {shown(image)}, expected grey (h, w, 1): decode(channels=1)")
    ink = image.astype(np.float64).ravel()
    if not ink.sum():
        raise ValueError(f"{key} is black everywhere: there is no ink to draw points from")
    drawn = rng.choice(len(ink), num, p=ink / ink.sum())
    places = np.stack(np.divmod(drawn, image.shape[1]), axis=-1) + rng.uniform(size=(num, 2))
    places -= places.mean(0)
    places /= max(np.linalg.norm(places, axis=1).max(), 1e-6)
    points = np.concatenate([places, ink[drawn, None] / 255], axis=1)
    points += jitter * rng.standard_normal((num, 3))
    return {**without(example, key), "cloud": points.astype(np.float32)}
