"""Decoding of image files into the pixels of images, maps and fields."""

import functools
import io
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import (
    CorruptExample,
    Example,
    Operation,
    feature,
    shown,
)
from library.data.preprocessing._pictures import MAX_PIXELS, picture_of, pixels


def decode(
    channels: Literal[1, 3] = 3,
    exif_orientation: bool | None = None,
    min_size: int | None = None,
    max_pixels: int = MAX_PIXELS,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Decodes images, maps and fields from JPEG, PNG, WebP, BMP or other files that PIL reads.

    It decodes all features of the kinds image, clip, map and field. Images become uint8 (h, w,
    channels): grey is repeated over three channels; colour becomes grey by ITU-R 601 luma; CMYK and
    palettes are converted; 16-bit grey keeps its upper 8 bits; transparent pixels are blended with
    white. Of an animation or a file with several pages the first image is taken. An image that is
    already an array is converted to `channels`, too.

    A clip is an animated file (GIF, PNG or WebP) and becomes uint8 (t, h, w, channels), all its
    frames, each converted like an image.

    A map (h, w) keeps its stored numbers, without scaling or conversion; a map with a palette
    becomes its indices. A field becomes float32 with its stored values.

    Args:
      channels: 3 for RGB, or 1 for grey.
      exif_orientation: whether to apply the EXIF orientation of photographs. By default it is
        applied to the dataset "folder" and to `--images`, but not to prepared datasets, because
        published results do not use it.
      min_size: decodes JPEGs at 1/2, 1/4 or 1/8 of their size if both sides stay at least this
        long. It is several times faster for large photographs; pixels differ slightly.
      max_pixels: the most pixels of an image; larger images are refused before memory is allocated.
        PIL itself reads at most twice the default.
      kinds: the kinds of the features.

    Raises (the operation):
      CorruptExample: the file is truncated, malformed, not an image, or too large.
    """
    return functools.partial(
        _decode,
        channels=channels,
        exif_orientation=exif_orientation,
        min_size=min_size,
        max_pixels=max_pixels,
        kinds=dict(kinds),
    )


def _decode(
    example, rng, *, channels, exif_orientation, min_size, max_pixels, kinds, keep=False
) -> Example:
    found = dict(example)
    for name in features.named(kinds, *features.RASTERS, among=example):
        if kinds[name] == "clip":
            found[name] = _decoded_clip(name, example[name], channels, max_pixels)
            continue
        if kinds[name] != "image":
            found[name] = _decoded_values(name, kinds[name], example[name], max_pixels)
            continue
        picture = _decoded(name, example[name], channels, exif_orientation, min_size, max_pixels)
        already = isinstance(example[name], np.ndarray)
        found[name] = picture if keep and not already else pixels(picture)
    if not features.named(kinds, *features.RASTERS, among=example):
        feature(example, next(iter(features.named(kinds, "image")), "image"))
    return found


def _decoded(name, image, channels, exif_orientation, min_size, max_pixels) -> Image.Image:
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        return _convert(picture_of(image if image.ndim == 3 else image[..., None]), channels)

    def read(picture):
        if min_size:
            picture.draft(None, (min_size, min_size))
        picture.load()
        if exif_orientation:
            picture = _turned(picture)
        return _convert(picture, channels)

    return _opened(name, image, "uint8 (h, w, c)", max_pixels, read)


def _decoded_clip(name: str, value: Any, channels: int, max_pixels: int) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 4:
        return np.stack([pixels(_convert(picture_of(frame), channels)) for frame in value])

    def read(picture):
        count = getattr(picture, "n_frames", 1)
        if count * picture.width * picture.height > max_pixels:
            raise CorruptExample(
                f"{name} of {count} frames of {picture.width}x{picture.height} is over the limit "
                f"of {max_pixels:,} pixels (max_pixels)"
            )
        frames = ImageSequence.Iterator(picture)
        return np.stack([pixels(_convert(frame, channels)) for frame in frames])

    return _opened(name, value, "uint8 (t, h, w, c)", max_pixels, read)


def _decoded_values(name: str, kind: str, value: Any, max_pixels: int) -> np.ndarray:
    """Returns a map, integers (h, w), or a field, float32 (h, w) or (h, w, c)."""
    stored, dimensions = ("iub", (2,)) if kind == "map" else ("iubf", (2, 3))
    array = value
    if not isinstance(value, np.ndarray):
        array = _opened(name, value, "an array", max_pixels, np.array)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype.kind not in stored or array.ndim not in dimensions:
        expected = "one integer per pixel" if kind == "map" else "(h, w) or (h, w, c) of numbers"
        raise CorruptExample(f"{name} is {shown(array)}: a {kind} has {expected}")
    if kind == "field":
        return array.astype(np.float32)
    return array.astype(np.uint8) if array.dtype == bool else array


def _opened(name: str, value: Any, otherwise: str, max_pixels: int, read) -> Any:
    """Returns the result of `read` for the PIL image in encoded bytes."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise ValueError(f"decode got {name} {shown(value)}, not encoded bytes or {otherwise}")
    try:
        with Image.open(io.BytesIO(value)) as picture:
            _check_size(name, picture, max_pixels)
            return read(picture)
    except CorruptExample:
        raise
    except UnidentifiedImageError as error:
        reason = "PIL does not know its format" if value else "it is empty"
        raise CorruptExample(f"{name} of {len(value)} bytes cannot be decoded: {reason}") from error
    except Exception as error:  # PIL's decoders raise any exception for malformed files
        raise CorruptExample(f"{name} of {len(value)} bytes cannot be decoded: {error}") from error


def _turned(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # malformed EXIF data has no orientation to apply
        return picture


def _check_size(name: str, picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise CorruptExample(
            f"{name} of {width}x{height} is over the limit of {max_pixels:,} pixels (max_pixels)"
        )


def _convert(picture: Image.Image, channels: int) -> Image.Image:
    mode = "RGB" if channels == 3 else "L"
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # PIL's own conversion clips at 255 instead of scaling.
        values = np.clip(np.asarray(picture), 0, 65535)
        picture = Image.fromarray((values >> 8).astype(np.uint8))
    if picture.mode == "F":
        raise CorruptExample("image with floating-point pixels: its scale is unknown")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        canvas = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(canvas, picture).convert("RGB")
    return picture if picture.mode == mode else picture.convert(mode)
