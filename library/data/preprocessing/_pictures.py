"""Sizes, crops and resizing of images on the host, which are PIL images or numpy arrays.

A clip is an array (t, h, w, c), and all its frames change alike.

Within a chain, an image stays a PIL image from decoding until an operation needs its pixels.
"""

import math
import warnings
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from library.config import ConfigError, nearest
from library.data.preprocessing._examples import CorruptExample, positive, shown

Method = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Size = int | tuple[int, int]
Pixels = UInt8[np.ndarray, "h w c"] | UInt8[np.ndarray, "t h w c"] | Image.Image

# PIL warns above this number of pixels; even a file of a few hundred bytes can have that many.
MAX_PIXELS = 89_478_485
# `decode` raises an error with the image and the limit, so PIL's warning would be a repetition.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_METHODS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def height_width(image: np.ndarray | Image.Image) -> tuple[int, int]:
    if isinstance(image, Image.Image):
        return image.size[::-1]
    # The first axis of a clip counts its frames.
    return image.shape[1:3] if image.ndim == 4 else image.shape[:2]


def cut(
    image: np.ndarray | Image.Image, top: int, left: int, height: int, width: int
) -> np.ndarray | Image.Image:
    if isinstance(image, Image.Image):
        return image.crop((left, top, left + width, top + height))
    frames = (slice(None),) * int(image.ndim == 4)
    return image[(*frames, slice(top, top + height), slice(left, left + width))]


def resized(image: Pixels, size: tuple[int, int], method: Image.Resampling) -> Pixels:
    if height_width(image) == size:
        return image
    if not isinstance(image, Image.Image) and image.ndim == 4:
        return np.stack([resized(frame, size, method) for frame in image])
    if not isinstance(image, Image.Image):
        return pixels(resized(picture_of(image), size, method))
    height, width = (max(1, side) for side in size)
    _check_made(image, height, width)
    return image.resize((width, height), method)


def _check_made(image: Image.Image, height: int, width: int) -> None:
    """Raises CorruptExample if resizing an image needs more than MAX_PIXELS pixels."""
    # PIL resizes the rows first: the intermediate image has the new width and the old height.
    pixels = width * max(height, image.height)
    if pixels > MAX_PIXELS:
        raise CorruptExample(
            f"image of {image.width}x{image.height} would be resized to {width}x{height}, which "
            f"needs {pixels:,} pixels: the limit is {MAX_PIXELS:,}"
        )


def resized_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a map (h, w) by nearest neighbour: each pixel takes the value at its centre."""
    if values.shape == size:
        return values
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, values.shape)
    )
    return values[rows[:, None], columns]


def resized_field(
    values: np.ndarray, size: tuple[int, int], method: Image.Resampling
) -> np.ndarray:
    """Resizes a field, float32 (h, w) or (h, w, c), one channel at a time."""
    if values.ndim == 3:
        each = [resized_field(values[..., i], size, method) for i in range(values.shape[2])]
        return np.stack(each, axis=-1)
    return np.asarray(resized(Image.fromarray(values), size, method))


def picture_of(image: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    if image.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"image is {shown(image)}, expected 1 to 4 channels")
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def pixels(picture: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    array = np.asarray(picture)
    return array if array.ndim == 3 else array[..., None]


def pair(size: Size) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise ConfigError(f"size={size!r} is neither an integer nor (height, width)")
    return positive(sides[0]), positive(sides[1])


def canvas(size: Size) -> tuple[int, int]:
    """Returns (height, width) of a configured size; raises ConfigError above MAX_PIXELS pixels."""
    height, width = pair(size)
    if height * width > MAX_PIXELS:
        raise ConfigError(
            f"size={size!r} makes images of {height}x{width}, {height * width:,} pixels: the limit "
            f"is {MAX_PIXELS:,}, a square of {math.isqrt(MAX_PIXELS)}"
        )
    return height, width


def resampling(method: str) -> Image.Resampling:
    if method not in _METHODS:
        raise ConfigError(f"unknown method {method!r}: {nearest(method, _METHODS)}")
    return _METHODS[method]
