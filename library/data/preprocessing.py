"""Preprocessing of one example on the host: decoding, resizing, cropping.

Each function here is a factory that returns an operation `(example, rng) -> example`, where an
example is a dict and `example["image"]` encoded bytes or pixels, uint8 `(h, w, c)`. Operations
leave other features alone, do not change their argument, and can be pickled.

Resizing is PIL's: kernels widen when an image shrinks, so that it is antialiased.

No operation makes an image of more than MAX_PIXELS, whatever the size of the one it is given: where
a recipe asks for one it is a ConfigError, and where an image leads to one a CorruptExample.
"""

import functools
import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from library.config import ConfigError, nearest

Example = dict[str, Any]
Operation = Callable[[Example, np.random.Generator], Example]
Method = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Size = int | tuple[int, int]
# Within a chain an image stays as PIL holds it from where it is decoded to where pixels are needed.
Pixels = UInt8[np.ndarray, "h w c"] | Image.Image

# What PIL warns of; a file of a few hundred bytes can hold as many pixels.
MAX_PIXELS = 89_478_485
# `decode` names the image and the limit itself, and PIL would say so once more for each of them.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_METHODS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class CorruptExample(ValueError):  # noqa: N818, it is about the example, not the program
    """An example cannot be read or decoded."""


class UnfitExample(ValueError):  # noqa: N818, as above
    """An example is whole, but no operation of the recipe is made for it."""


def chain(operations: Sequence[Operation]) -> Operation:
    """Composes operations, first to last.

    Raises:
      ConfigError: a crop is larger than any image is that the operations before it make.
    """
    functools.reduce(_sides, operations, None)
    return functools.partial(_chain, tuple(map(_keeping_pictures, operations)))


def decode(
    channels: Literal[1, 3] = 3,
    exif_orientation: bool | None = None,
    min_size: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Operation:
    """Decodes `image` from the bytes of a JPEG, PNG, WebP, BMP or other file that PIL reads.

    Grey images are repeated over three channels; colour becomes grey by ITU-R 601 luma; CMYK and
    palettes are converted; 16-bit grey keeps its upper 8 bits; transparent pixels are shown on
    white; of an animation or a file of several pages the first is taken. An image that is pixels
    already is brought to `channels` alike.

    Args:
      channels: 3, RGB, or 1, grey.
      exif_orientation: whether to turn photographs as their camera says. By default those of a
        folder of one's own and those given by `--images` are turned, and prepared data sets are
        not: their published figures were made without.
      min_size: decode JPEGs at 1/2, 1/4 or 1/8 of their size where both sides stay at least this
        long: several times faster on large photographs, slightly different pixels.
      max_pixels: larger images are refused before memory is allocated for them; twice the default
        is the most that PIL itself reads.

    Raises (the operation):
      CorruptExample: truncated or malformed, not an image, or too large.
    """
    return functools.partial(
        _decode,
        channels=channels,
        exif_orientation=exif_orientation,
        min_size=min_size,
        max_pixels=max_pixels,
    )


def turning(operation: Operation, turn: bool) -> Operation:
    """Settles what `decode` does about EXIF orientation where a recipe leaves it open.

    Args:
      operation: one of this module, a `chain` of them, or any other.
      turn: what holds for `decode(exif_orientation=None)`.
    """
    made, given = getattr(operation, "func", None), getattr(operation, "keywords", {})
    if made is _chain:
        return functools.partial(_chain, tuple(turning(o, turn) for o in operation.args[0]))
    if made is _decode and given["exif_orientation"] is None:
        return functools.partial(operation, exif_orientation=turn)
    return operation


def resize(size: Size, method: Method = "bilinear") -> Operation:
    """Resizes `image` to `size`, an int for a square or `(height, width)`; aspect is not kept.

    Raises:
      ConfigError: it makes more than MAX_PIXELS.
      CorruptExample: by the operation, the image is so high that resizing needs as many on the way.
    """
    return functools.partial(_resize, size=_canvas(size), method=_method(method))


def resize_short(size: int, method: Method = "bilinear") -> Operation:
    """Resizes `image` so that its shorter side is `size`, keeping its aspect ratio.

    The longer side is rounded down, as in torchvision's `Resize(size)`.

    Raises:
      ConfigError: it makes more than MAX_PIXELS of any image.
      CorruptExample: by the operation, it makes more of this one, which is a thin strip.
    """
    return functools.partial(
        _resize_short, size=_canvas(_positive(size))[0], method=_method(method)
    )


def random_resize_short(sizes: tuple[int, int], method: Method = "bilinear") -> Operation:
    """Resizes `image` so that its shorter side is a whole number, uniform from `sizes`, both in.

    Simonyan & Zisserman 2014 (arXiv 1409.1556), section 3.1: "scale jittering". A `random_crop`
    follows. Errors are those of `resize_short`.
    """
    low, high = sizes
    if not 0 < low <= high:
        raise ConfigError(f"sizes={(low, high)} is no range of whole numbers from 1")
    _canvas(high)
    return functools.partial(_random_resize_short, sizes=(low, high), method=_method(method))


def random_crop(size: Size) -> Operation:
    """Cuts `size`, an int for a square or `(height, width)`, out of `image` at a uniform place.

    Raises:
      ConfigError: by `chain`, the operations before it leave less.
      ValueError: by the operation, the image is smaller than the crop.
    """
    return functools.partial(_random_crop, size=_pair(size))


def center_crop(size: Size) -> Operation:
    """Cuts the centre `size`, an int for a square or `(height, width)`, out of `image`.

    An odd margin is halved to even, as in torchvision's `CenterCrop`.

    Raises:
      ConfigError: by `chain`, the operations before it leave less.
      ValueError: by the operation, the image is smaller than the crop.
    """
    return functools.partial(_center_crop, size=_pair(size))


def central_crop(fraction: float = 0.875) -> Operation:
    """Cuts the centre `fraction` of each side out of `image`.

    With a `resize` after it this is the evaluation of Szegedy et al., "Going deeper with
    convolutions", CVPR 2015, as TensorFlow codebases have it: 224 of 256 is 0.875.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"fraction={fraction} is not in (0, 1]")
    return functools.partial(_central_crop, fraction=fraction)


def inception_crop(
    size: Size,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    attempts: int = 10,
    method: Method = "bilinear",
) -> Operation:
    """Cuts a random part out of `image` and resizes it to `size`.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6: the part's area is
    uniform in `area` (of the image's), its aspect ratio, width by height, log-uniform in `ratio`,
    its place uniform. After `attempts` parts that do not fit, the largest central one within
    `ratio` is taken, as in torchvision's `RandomResizedCrop`.
    """
    for name, (low, high), bound in (("area", area, 1), ("ratio", ratio, math.inf)):
        if not 0 < low <= high <= bound:
            raise ConfigError(f"{name}={(low, high)} is not a range within (0, {bound}]")
    return functools.partial(
        _inception_crop,
        size=_canvas(size),
        area=area,
        ratio=ratio,
        attempts=_positive(attempts),
        method=_method(method),
    )


def pad(size: Size, fill: int = 0) -> Operation:
    """Puts `image` in the middle of a canvas of `size` whose pixels are `fill`, 0 to 255.

    An odd margin has its extra pixel at the bottom and right.

    Raises (the operation):
      ValueError: the image is larger than the canvas.
    """
    if not 0 <= fill <= 255:
        raise ConfigError(f"fill={fill} is not a uint8 pixel, 0 to 255")
    return functools.partial(_pad, size=_canvas(size), fill=fill)


def select(keys: tuple[str, ...]) -> Operation:
    """Keeps only the features `keys`."""
    return functools.partial(_select, keys=tuple(keys))


def to_label(key: str) -> Operation:
    """Makes the feature `key`, whole numbers, the `label`: "coarse_label" of CIFAR-100."""
    return functools.partial(_to_label, key=key)


def to_labels(key: str, num_classes: int) -> Operation:
    """Makes the feature `key`, a list of classes, the `label`: 1 for each of them, and 0 else.

    The label is float32 `(num_classes,)`; of no class at all it is all 0. ImageNet's "real_label"
    is such a list.
    """
    return functools.partial(_to_labels, key=key, num_classes=_positive(num_classes))


def to_target(key: str, mean: float = 0.0, std: float = 1.0) -> Operation:
    """Makes the feature `key`, numbers, the `target` of a regression: `(value - mean) / std`.

    The target is float32 `(d,)`, `d = 1` for a single number.
    """
    if std <= 0:
        raise ConfigError(f"std={std} is not above 0")
    return functools.partial(_to_target, key=key, mean=mean, std=std)


def _sides(before: Size | None, operation: Operation) -> Size | None:
    """Returns what is known of an image's sides after an operation, given that before it.

    That is both, or the shorter one's least, or nothing.
    """
    made, given = getattr(operation, "func", None), getattr(operation, "keywords", {})
    if made is _chain:
        return functools.reduce(_sides, operation.args[0], before)
    if made in (_random_crop, _center_crop):
        _check_crop(made.__name__[1:], given["size"], before)
    if made is _random_resize_short:
        return given["sizes"][0]
    if made in (_resize, _resize_short, _random_crop, _center_crop, _inception_crop, _pad):
        return given["size"]
    return None if made in (None, _decode, _central_crop) else before


def _check_crop(name: str, size: tuple[int, int], before: Size | None) -> None:
    height, width = size
    if isinstance(before, int) and min(size) > before:
        raise ConfigError(
            f"{name} of {height}x{width} out of images whose shorter side is {before}: valid are 1 "
            f"to {before}, or a larger size of what resizes them before"
        )
    if isinstance(before, tuple) and (height > before[0] or width > before[1]):
        raise ConfigError(
            f"{name} of {height}x{width} out of images of {before[0]}x{before[1]}: valid are 1x1 "
            f"to {before[0]}x{before[1]}"
        )


def _chain(operations: tuple[Operation, ...], example: Example, rng: np.random.Generator):
    for operation in operations:
        example = operation(example, rng)
    if isinstance(example.get("image"), Image.Image):
        return {**example, "image": _pixels(example["image"])}
    return example


def _keeping_pictures(operation: Operation) -> Operation:
    """Makes `decode` hand on what PIL holds: copies of what is cropped away take a tenth of all."""
    decodes = getattr(operation, "func", None) is _decode
    return functools.partial(operation, keep=True) if decodes else operation


def _decode(example, rng, *, channels, exif_orientation, min_size, max_pixels, keep=False):
    image = _feature(example, "image")
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        picture = _picture(image if image.ndim == 3 else image[..., None])
        return {**example, "image": _pixels(_convert(picture, channels))}
    if not isinstance(image, (bytes, bytearray, memoryview)):
        raise ValueError(f"image to decode is {_kind(image)}, not encoded bytes or uint8 (h, w, c)")
    try:
        with Image.open(io.BytesIO(image)) as picture:
            _check_size(picture, max_pixels)
            if min_size:
                picture.draft(None, (min_size, min_size))
            picture.load()
            if exif_orientation:
                picture = _turned(picture)
            picture = _convert(picture, channels)
    except CorruptExample:
        raise
    except UnidentifiedImageError as error:
        reason = "it is of no kind that PIL reads" if image else "it is empty"
        raise CorruptExample(f"image of {len(image)} bytes cannot be decoded: {reason}") from error
    except Exception as error:  # PIL's decoders raise whatever a malformed file leads them to
        raise CorruptExample(f"image of {len(image)} bytes cannot be decoded: {error}") from error
    return {**example, "image": picture if keep else _pixels(picture)}


def _turned(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a block of EXIF that is malformed does not say how the camera was held
        return picture


def _check_size(picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise CorruptExample(
            f"image of {width}x{height} is over the limit of {max_pixels:,} pixels (max_pixels)"
        )


def _convert(picture: Image.Image, channels: int) -> Image.Image:
    mode = "RGB" if channels == 3 else "L"
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # PIL's own conversion clips at 255 instead of scaling.
        values = np.clip(np.asarray(picture), 0, 65535)
        picture = Image.fromarray((values >> 8).astype(np.uint8))
    if picture.mode == "F":
        raise CorruptExample("image of floating-point pixels has no known scale")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        canvas = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(canvas, picture).convert("RGB")
    return picture if picture.mode == mode else picture.convert(mode)


def _resize(example, rng, *, size, method):
    image = _image(example)
    return {**example, "image": _resized(image, size, method)}


def _resize_short(example, rng, *, size, method):
    image = _image(example)
    height, width = _height_width(image)
    if height < width:
        shape = (size, int(size * width / height))
    else:
        shape = (int(size * height / width), size)
    return {**example, "image": _resized(image, shape, method)}


def _random_resize_short(example, rng, *, sizes, method):
    size = int(rng.integers(sizes[0], sizes[1] + 1))
    return _resize_short(example, rng, size=size, method=method)


def _random_crop(example, rng, *, size):
    image, (height, width) = _image_to_crop(example, "random_crop", size)
    top = int(rng.integers(height - size[0] + 1))
    left = int(rng.integers(width - size[1] + 1))
    return {**example, "image": _cut(image, top, left, *size)}


def _center_crop(example, rng, *, size):
    image, (height, width) = _image_to_crop(example, "center_crop", size)
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return {**example, "image": _cut(image, top, left, *size)}


def _central_crop(example, rng, *, fraction):
    image = _image(example)
    sides = _height_width(image)
    top, left = (int((side - side * fraction) / 2) for side in sides)
    return {**example, "image": _cut(image, top, left, sides[0] - 2 * top, sides[1] - 2 * left)}


def _inception_crop(example, rng, *, size, area, ratio, attempts, method):
    image = _image(example)
    box = _sample_box(*_height_width(image), rng, area, ratio, attempts)
    return {**example, "image": _resized(_cut(image, *box), size, method)}


def _sample_box(height, width, rng, area, ratio, attempts) -> tuple[int, int, int, int]:
    """Samples top, left, height and width of a part of an image."""
    for _ in range(attempts):
        pixels = height * width * rng.uniform(*area)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return int(top), int(left), h, w
    w = min(width, max(1, round(height * ratio[1])))
    h = min(height, max(1, round(width / ratio[0])))
    return (height - h) // 2, (width - w) // 2, h, w


def _pad(example, rng, *, size, fill):
    image, (height, width) = _image(example), size
    image = _pixels(image) if isinstance(image, Image.Image) else image
    if image.shape[0] > height or image.shape[1] > width:
        raise ValueError(f"pad to {height}x{width} of {_kind(image)}: crop or resize it before")
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    canvas = np.full((height, width, image.shape[2]), fill, np.uint8)
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return {**example, "image": canvas}


def _select(example, rng, *, keys):
    return {key: _feature(example, key) for key in keys}


def _to_label(example, rng, *, key):
    value = np.asarray(_feature(example, key))
    if not np.issubdtype(value.dtype, np.integer):
        raise ValueError(f"{key} is {_kind(value)}: a label is whole numbers")
    return {**_without(example, key), "label": value.astype(np.int32)}


def _to_labels(example, rng, *, key, num_classes):
    classes = np.atleast_1d(_feature(example, key)).ravel()
    if len(classes) and not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"{key} is {_kind(classes)}: classes are whole numbers")
    classes = classes.astype(np.int64)
    if any(classes < 0) or any(classes >= num_classes):
        raise ValueError(f"{key} is {classes.tolist()}: classes are 0 to {num_classes - 1}")
    label = np.zeros(num_classes, np.float32)
    label[classes] = 1
    return {**_without(example, key), "label": label}


def _to_target(example, rng, *, key, mean, std):
    value = np.asarray(_feature(example, key))
    if value.dtype.kind not in "iufb":
        raise ValueError(f"{key} is {_kind(value)}: a target is numbers")
    target = (np.atleast_1d(value).ravel() - mean) / std
    return {**_without(example, key), "target": target.astype(np.float32)}


def _without(example: Example, key: str) -> Example:
    return {name: value for name, value in example.items() if name != key}


def _feature(example: Example, key: str) -> Any:
    if key not in example:
        raise ValueError(f"the example has no {key!r}: {nearest(key, sorted(example))}")
    return example[key]


def _image(example: Example) -> Pixels:
    image = _feature(example, "image")
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(f"image is {_kind(image)}, expected uint8 (h, w, c): decode it first")
    return image


def _height_width(image: Pixels) -> tuple[int, int]:
    return image.size[::-1] if isinstance(image, Image.Image) else image.shape[:2]


def _cut(image: Pixels, top: int, left: int, height: int, width: int) -> Pixels:
    if isinstance(image, Image.Image):
        return image.crop((left, top, left + width, top + height))
    return image[top : top + height, left : left + width]


def _image_to_crop(
    example: Example, name: str, size: tuple[int, int]
) -> tuple[Pixels, tuple[int, int]]:
    image = _image(example)
    height, width = _height_width(image)
    if height < size[0] or width < size[1]:
        raise ValueError(
            f"{name} of {size[0]}x{size[1]} out of {_kind(image)}: resize_short it before"
        )
    return image, (height, width)


def _kind(value: Any) -> str:
    if isinstance(value, Image.Image):
        value = _pixels(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"of type {type(value).__name__}"


def _resized(image: Pixels, size: tuple[int, int], method: Image.Resampling) -> Pixels:
    if _height_width(image) == size:
        return image
    if not isinstance(image, Image.Image):
        return _pixels(_resized(_picture(image), size, method))
    height, width = (max(1, side) for side in size)
    _check_made(image, height, width)
    return image.resize((width, height), method)


def _check_made(image: Image.Image, height: int, width: int) -> None:
    """Raises CorruptExample where resizing an image would take more pixels than is allowed."""
    # PIL resizes the rows first: in between, the image has its new width and its old height.
    pixels = width * max(height, image.height)
    if pixels > MAX_PIXELS:
        raise CorruptExample(
            f"image of {image.width}x{image.height} would be resized to {width}x{height} by way of "
            f"{pixels:,} pixels: the limit is {MAX_PIXELS:,}"
        )


def _picture(image: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    if image.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"image is {_kind(image)}, expected 1 to 4 channels")
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _pixels(picture: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _pair(size: Size) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ConfigError(f"size={size!r} is neither an int nor (height, width)")
    return _positive(pair[0]), _positive(pair[1])


def _canvas(size: Size) -> tuple[int, int]:
    """Returns the height and width of an image that is to be made."""
    height, width = _pair(size)
    if height * width > MAX_PIXELS:
        raise ConfigError(
            f"size={size!r} makes images of {height}x{width}, {height * width:,} pixels: the limit "
            f"is {MAX_PIXELS:,}, a square of {math.isqrt(MAX_PIXELS)}"
        )
    return height, width


def _positive(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{value!r} is not a whole number of 1 or more")
    return value


def _method(method: str) -> Image.Resampling:
    if method not in _METHODS:
        raise ConfigError(f"unknown method {method!r}: {nearest(method, _METHODS)}")
    return _METHODS[method]
