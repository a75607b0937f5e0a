"""Short scenes of images that glide over a dark canvas: a frame before, between and after."""

import functools

import numpy as np

from library.config import ConfigError
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import Example, Operation, positive, shown

FRAMES = ("before", "image", "after")


def glide(size: int, reach: int, kinds: Kinds = features.USUAL) -> Operation:
    """Makes three frames of all images of an example, each of which moves at its own speed.

    The frames are `before`, `image` and `after`, uint8 (size, size, c); they replace the images. An
    image moves by the same whole pixels from frame to frame and stays inside. Where images meet,
    the brighter pixel shows. Several sources give several images, such as two digits.

    Args:
      size: side of the frames, in pixels.
      reach: the most pixels that an image moves from frame to frame, down and right.
      kinds: the kinds of the features.

    Raises (the operation):
      ValueError: an image and twice the reach are larger than a frame.
    """
    names = features.named(kinds, "image")
    if not names:
        raise ConfigError(f"glide needs images; the examples have {', '.join(sorted(kinds))}")
    operation = functools.partial(
        _glide, names=tuple(names), size=positive(size), reach=positive(reach)
    )
    return features.making(operation, **dict.fromkeys(FRAMES, "image"))


def _glide(example, rng, *, names, size, reach) -> Example:
    found = {key: value for key, value in example.items() if key not in names}
    channels = example[names[0]].shape[-1]
    frames = np.zeros((3, size, size, channels), np.uint8)
    for name in names:
        image = example[name]
        room = np.array([size, size]) - image.shape[:2]
        if min(room) < 2 * reach or image.shape[-1] != channels:
            raise ValueError(
                f"glide, size={size}, reach={reach}: {name} is {shown(image)}, and it moves "
                f"{reach} pixels to either side: valid are sizes from "
                f"{max(image.shape[:2]) + 2 * reach}"
            )
        motion = rng.integers(-reach, reach + 1, 2)
        middle = rng.integers(np.abs(motion), room - np.abs(motion) + 1)
        for frame, step in zip(frames, (-1, 0, 1)):
            (top, left), (height, width) = middle + step * motion, image.shape[:2]
            under = frame[top : top + height, left : left + width]
            np.maximum(under, image, out=under)
    return {**found, **dict(zip(FRAMES, frames))}
