"""Geometry on the host: resizing, cropping and padding of images and their spatial features.

Each function is a factory. Its operation draws once per example and moves all spatial features
according to `kinds`: images, all frames of clips and fields are interpolated, maps take the nearest
pixel, and boxes and points change their coordinates. What a docstring says about an image holds for
all of them. A box that a crop cuts is clipped. A box or a point outside the crop is removed from
the example, or, if objects are already padded, gets mask 0.

Resizing is that of PIL: kernels widen when an image shrinks, so the result is antialiased.

No operation makes an image of more than MAX_PIXELS pixels. If the recipe asks for one, a
ConfigError is raised; if a particular image leads to one, a CorruptExample.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from library import maps
from library.config import ConfigError
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import (
    Example,
    Operation,
    feature,
    kept,
    positive,
    shown,
)
from library.data.preprocessing._pictures import (
    Method,
    Size,
    canvas,
    cut,
    height_width,
    pair,
    pixels,
    resampling,
    resized,
    resized_field,
    resized_map,
)

# Top, left, height and width of a region of an image, in pixels.
Window = tuple[int, int, int, int]
_DIMENSIONS = {"image": (3,), "map": (2,), "field": (2, 3), "clip": (4,)}


def resize(size: Size, method: Method = "bilinear", kinds: Kinds = features.USUAL) -> Operation:
    """Resizes `image` to `size`, an int for a square or `(height, width)`; aspect may change.

    Raises:
      ConfigError: `size` has more than MAX_PIXELS pixels.
      CorruptExample: (the operation) the image is so high that the intermediate image of resizing
        has more than MAX_PIXELS pixels.
    """
    return _operation(_resize, kinds, size=canvas(size), method=resampling(method))


def resize_short(
    size: int, method: Method = "bilinear", kinds: Kinds = features.USUAL
) -> Operation:
    """Resizes `image` so that its shorter side is `size`, keeping its aspect ratio.

    The longer side is rounded down, as in torchvision's `Resize(size)`.

    Raises:
      ConfigError: a square of side `size` has more than MAX_PIXELS pixels.
      CorruptExample: (the operation) the image is a thin strip, and resizing it needs more than
        MAX_PIXELS pixels.
    """
    return _operation(
        _resize_short, kinds, size=canvas(positive(size))[0], method=resampling(method)
    )


def random_resize_short(
    sizes: tuple[int, int], method: Method = "bilinear", kinds: Kinds = features.USUAL
) -> Operation:
    """Resizes `image` so that its shorter side is a random integer in `sizes` = (low, high).

    The integer is uniform, and both bounds are included: "scale jittering" of Simonyan & Zisserman
    2014 (arXiv 1409.1556), section 3.1. Use `random_crop` after it. Errors are those of
    `resize_short`.
    """
    low, high = sizes
    if not 0 < low <= high:
        raise ConfigError(
            f"random_resize_short, sizes={(low, high)}: it must be (low, high), 1 <= low <= high"
        )
    canvas(high)
    return _operation(_random_resize_short, kinds, sizes=(low, high), method=resampling(method))


def random_crop(size: Size, kinds: Kinds = features.USUAL) -> Operation:
    """Crops `image` to `size`, an int for a square or `(height, width)`, at a uniform place.

    Raises:
      ConfigError: (`chain`) the operations before it make smaller images.
      ValueError: (the operation) the image is smaller than the crop.
    """
    return _operation(_random_crop, kinds, size=pair(size))


def center_crop(size: Size, kinds: Kinds = features.USUAL) -> Operation:
    """Crops the centre of `image` to `size`, an int for a square or `(height, width)`.

    Half of an odd margin is rounded to the even integer, as in torchvision's `CenterCrop`. A crop
    of a small and a large image begins at a whole pixel of the small one.

    Raises:
      ConfigError: (`chain`) the operations before it make smaller images.
      ValueError: (the operation) the image is smaller than the crop.
    """
    return _operation(_center_crop, kinds, size=pair(size))


def central_crop(fraction: float = 0.875, kinds: Kinds = features.USUAL) -> Operation:
    """Crops the centre of `image` to `fraction` of each side.

    With a `resize` after it, this is the evaluation of Szegedy et al., "Going deeper with
    convolutions", CVPR 2015, as in TensorFlow codebases: 224 / 256 is 0.875.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"central_crop, fraction={fraction}: it must be in (0, 1]")
    return _operation(_central_crop, kinds, fraction=fraction)


def inception_crop(
    size: Size,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    attempts: int = 10,
    method: Method = "bilinear",
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Crops a random region of `image` and resizes it to `size`.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6: the region's area, as a
    fraction of the image, is uniform in `area`, its aspect ratio (width / height) is log-uniform in
    `ratio`, and its place is uniform. If `attempts` draws do not fit into the image, the largest
    central region within `ratio` is taken, as in torchvision's `RandomResizedCrop`.
    """
    for name, (low, high), bound in (("area", area, 1), ("ratio", ratio, math.inf)):
        if not 0 < low <= high <= bound:
            raise ConfigError(
                f"inception_crop, {name}={(low, high)}: it must be (low, high), "
                f"0 < low <= high <= {bound}"
            )
    return _operation(
        _inception_crop,
        kinds,
        size=canvas(size),
        area=area,
        ratio=ratio,
        attempts=positive(attempts),
        method=resampling(method),
    )


def pad(
    size: Size,
    fill: int = 0,
    map_fill: int = maps.UNKNOWN,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Pads `image` on all sides to `size` with pixels of value `fill`, 0 to 255.

    Maps are padded with `map_fill`, fields with 0. The image is centred; an odd margin has its
    extra pixel at the bottom or right.

    Raises (the operation):
      ValueError: the image is larger than `size`.
    """
    _check_fill("pad", fill)
    return _operation(_pad, kinds, size=canvas(size), fill=fill, map_fill=map_fill)


def letterbox(
    size: Size,
    fill: int = 114,
    map_fill: int = maps.UNKNOWN,
    method: Method = "bilinear",
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Resizes `image` to the largest size within `size` of its aspect ratio, and pads it by `pad`.

    Detectors of one size see images of any shape without distortion this way (Redmon & Farhadi,
    Darknet; Jocher et al., ultralytics). The other side is rounded to a whole pixel.

    Raises:
      ConfigError: `size` has more than MAX_PIXELS pixels, or `fill` is not 0 to 255.
      CorruptExample: (the operation) as `resize`.
    """
    _check_fill("letterbox", fill)
    fills = dict(fill=fill, map_fill=map_fill)
    return _operation(_letterbox, kinds, size=canvas(size), method=resampling(method), **fills)


def _check_fill(name: str, fill: int) -> None:
    if not 0 <= fill <= 255:
        raise ConfigError(f"{name}, fill={fill}: a uint8 pixel is 0 to 255")


def _operation(move: Callable, kinds: Kinds, **settings: Any) -> Operation:
    return functools.partial(move, kinds=dict(kinds), **settings)


def _resize(example, rng, *, kinds, size, method):
    _size(example, kinds)
    return _moved(example, kinds, size=size, method=method)


def _resize_short(example, rng, *, kinds, size, method):
    height, width = _size(example, kinds)
    if height < width:
        shape = (size, int(size * width / height))
    else:
        shape = (int(size * height / width), size)
    return _moved(example, kinds, size=shape, method=method)


def _random_resize_short(example, rng, *, kinds, sizes, method):
    size = int(rng.integers(sizes[0], sizes[1] + 1))
    return _resize_short(example, rng, kinds=kinds, size=size, method=method)


def _random_crop(example, rng, *, kinds, size):
    height, width = _size_to_crop(example, kinds, "random_crop", size)
    # A crop of a pair begins at a whole pixel of the smaller image.
    unit = max(shares(example, kinds).values())
    top = unit * int(rng.integers((height - size[0]) // unit + 1))
    left = unit * int(rng.integers((width - size[1]) // unit + 1))
    return _moved(example, kinds, (top, left, *size))


def _center_crop(example, rng, *, kinds, size):
    height, width = _size_to_crop(example, kinds, "center_crop", size)
    # As above.
    unit = max(shares(example, kinds).values())
    sides = zip((height, width), size)
    top, left = (unit * round((side - new) / unit / 2) for side, new in sides)
    return _moved(example, kinds, (top, left, *size))


def _central_crop(example, rng, *, kinds, fraction):
    sides = _size(example, kinds)
    top, left = (int((side - side * fraction) / 2) for side in sides)
    return _moved(example, kinds, (top, left, sides[0] - 2 * top, sides[1] - 2 * left))


def _inception_crop(example, rng, *, kinds, size, area, ratio, attempts, method):
    window = _sample_box(*_size(example, kinds), rng, area, ratio, attempts)
    return _moved(example, kinds, window, size=size, method=method)


def _sample_box(height, width, rng, area, ratio, attempts) -> tuple[int, int, int, int]:
    """Samples the top, left, height and width of a region, see `inception_crop`."""
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


def _pad(example, rng, *, kinds, size, fill, map_fill):
    sides, found = _size(example, kinds), dict(example)
    if sides[0] > size[0] or sides[1] > size[1]:
        what = shown(example[_rasters(example, kinds)[0]])
        raise ValueError(
            f"pad to {size[0]}x{size[1]} of {what}: the image is larger, so crop or resize it "
            "before"
        )
    top, left = ((new - old) // 2 for new, old in zip(size, sides))
    fills = {"image": fill, "clip": fill, "map": map_fill, "field": 0}
    for name in _rasters(example, kinds):
        old = _checked(name, kinds[name], example[name], sides)
        old = pixels(old) if isinstance(old, Image.Image) else old
        frames = int(old.ndim == 4)
        shape = (*old.shape[:frames], *size, *old.shape[frames + 2 :])
        found[name] = np.full(shape, fills[kinds[name]], old.dtype)
        cut(found[name], top, left, *sides)[...] = old
    return _moved_objects(found, kinds, sides, (-top, -left, *size))


def _letterbox(example, rng, *, kinds, size, fill, map_fill, method):
    sides = _size(example, kinds)
    ratio = min(new / old for new, old in zip(size, sides))
    within = tuple(max(1, round(ratio * side)) for side in sides)
    found = _moved(example, kinds, size=within, method=method)
    return _pad(found, rng, kinds=kinds, size=size, fill=fill, map_fill=map_fill)


def _moved(
    example: Example,
    kinds: Kinds,
    window: Window | None = None,
    size: tuple[int, int] | None = None,
    method: Image.Resampling = Image.Resampling.BILINEAR,
) -> Example:
    """Crops all spatial features to a window and resizes the images, maps and fields to `size`."""
    found, sides = dict(example), _size(example, kinds)
    spans = shares(example, kinds) if window else {}
    for name in _rasters(example, kinds):
        value = _checked(name, kinds[name], example[name])
        value = value if window is None else cut(value, *_within(window, spans[name], name))
        if size is not None and kinds[name] == "map":
            value = resized_map(value, size)
        elif size is not None and kinds[name] == "field":
            value = resized_field(value, size, method)
        elif size is not None:
            value = resized(value, size, method)
        found[name] = value
    # Objects have coordinates as fractions, which resizing does not change.
    return found if window is None else _moved_objects(found, kinds, sides, window)


def _moved_objects(
    example: Example, kinds: Kinds, sides: tuple[int, int], window: Window
) -> Example:
    """Changes the coordinates of boxes and points from the whole image to a window of it."""
    found = dict(example)
    for name in features.named(kinds, *features.OBJECTS, among=example):
        boxes, places = kinds[name] == "boxes", np.asarray(example[name], np.float32)
        if places.ndim != 2 or places.shape[1] != (4 if boxes else 2):
            raise ValueError(f"{name} is {shown(places)}, expected (n, {4 if boxes else 2})")
        corners = places.reshape(len(places), 2 if boxes else 1, 2) * np.float32(sides)
        moved = (corners - np.float32(window[:2])) / np.float32(window[2:])
        clipped = np.clip(moved, 0, 1)
        if boxes:
            inside = np.all(clipped[:, 1] - clipped[:, 0] > features.SLIVER, axis=-1)
        else:
            inside = np.all(moved == clipped, axis=(1, 2))
        others = features.companions(name, example, kinds)
        found |= _left(example, name, others, clipped.reshape(places.shape), inside)
    return found


def _left(
    example: Example,
    name: str,
    others: Sequence[str],
    places: Float[np.ndarray, "n d"],
    inside: Bool[np.ndarray, " n"],
) -> Example:
    """Returns the objects `name` and their companions `others` without those not `inside`."""
    mask = f"{name}_mask"
    if mask in example:
        return {name: places, mask: np.where(inside, example[mask], 0).astype(np.float32)}
    return {name: places[inside], **kept(example, others, inside)}


def _rasters(example: Example, kinds: Kinds) -> list[str]:
    names = features.named(kinds, *features.RASTERS, among=example)
    if not names:
        feature(example, next(iter(features.named(kinds, "image")), "image"))
    return names


def shares(example: Example, kinds: Kinds) -> dict[str, int]:
    """Returns how many times smaller each image, map or field is than the first, by name.

    Images of a pair, one small and one large, are cropped together: a pixel of the small one is a
    square of pixels of the large one.

    Raises:
      ValueError: the first is no whole multiple of another.
    """
    sides, spans = _size(example, kinds), {}
    for name in _rasters(example, kinds):
        own = height_width(_checked(name, kinds[name], example[name]))
        spans[name] = max(sides[0] // max(own[0], 1), 1)
        if tuple(spans[name] * side for side in own) != tuple(sides):
            raise ValueError(
                f"{name} is {shown(example[name])}, but the image is {sides[0]}x{sides[1]}: "
                "features that are cropped together need the same size, or a whole fraction of "
                "it, so resize before"
            )
    return spans


def _within(window: Window, span: int, name: str) -> Window:
    """Returns a window in pixels of an image that is `span` times smaller."""
    if any(edge % span for edge in window):
        raise ValueError(
            f"{name} is {span} times smaller than the image, and the crop of {window[2]}x"
            f"{window[3]} at {window[0]}, {window[1]} does not fall on its pixels: valid are "
            f"multiples of {span}"
        )
    return tuple(edge // span for edge in window)


def _size(example: Example, kinds: Kinds) -> tuple[int, int]:
    """Returns the height and width of an example's first image, map or field."""
    name = _rasters(example, kinds)[0]
    return height_width(_checked(name, kinds[name], example[name]))


def _checked(name: str, kind: str, value: Any, sides: tuple[int, int] | None = None) -> Any:
    """Returns `value` if it is decoded and has `sides`, if given; else raises ValueError."""
    array, dimensions = isinstance(value, np.ndarray), _DIMENSIONS[kind]
    pixels_wanted = kind == "image" and not isinstance(value, Image.Image)
    if pixels_wanted and not (array and value.ndim == 3 and value.dtype == np.uint8):
        raise ValueError(f"{name} is {shown(value)}, expected uint8 (h, w, c): decode it first")
    if kind != "image" and not (array and value.ndim in dimensions):
        shape = "(t, h, w, c)" if kind == "clip" else "(h, w)"
        raise ValueError(f"{name} is {shown(value)}, expected a {kind} {shape}: decode it first")
    if sides is not None and height_width(value) != sides:
        raise ValueError(
            f"{name} is {shown(value)}, but the image is {sides[0]}x{sides[1]}: features that are "
            "cropped together need the same size, so resize before"
        )
    return value


def _size_to_crop(
    example: Example, kinds: Kinds, name: str, size: tuple[int, int]
) -> tuple[int, int]:
    height, width = _size(example, kinds)
    if height < size[0] or width < size[1]:
        image = shown(example[_rasters(example, kinds)[0]])
        raise ValueError(
            f"{name} of {size[0]}x{size[1]} out of {image}: use resize_short before it"
        )
    return height, width


# These operations accept PIL images, see `chain`: copying pixels to crop away takes a tenth of the
# time.
_MOVES = {
    "resize": _resize,
    "resize_short": _resize_short,
    "random_resize_short": _random_resize_short,
    "random_crop": _random_crop,
    "center_crop": _center_crop,
    "central_crop": _central_crop,
    "inception_crop": _inception_crop,
    "pad": _pad,
    "letterbox": _letterbox,
}
for _move in _MOVES.values():
    _move.takes_pictures = True
