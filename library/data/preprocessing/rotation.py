"""Rotation by a random angle that the example keeps as its target."""

import functools
import math

import numpy as np
from PIL import Image

from library import maps
from library.config import ConfigError
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import Example, Operation
from library.data.preprocessing._pictures import picture_of, pixels
from library.data.preprocessing.geometry import _checked, _left, _rasters, _size


def rotated(
    degrees: float = 180.0,
    fill: int = 0,
    map_fill: int = maps.UNKNOWN,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Turns each example by a random angle, and keeps the angle as `target`, float32 (1,).

    The angle is uniform in [-degrees, degrees], in degrees, and positive for a counterclockwise
    turn. Images, clips and fields are turned about their centre by bilinear interpolation, maps by
    nearest neighbour, boxes and points by their coordinates; their size stays. Training turns an
    example by another angle each time. An evaluation turns it by the same.

    Args:
      degrees: the largest angle, above 0 and up to 180.
      fill: value of pixels from outside an image, 0 to 255; fields get 0.
      map_fill: value of pixels from outside a map.
      kinds: the kinds of the features.

    Raises:
      ConfigError: `degrees` or `fill` is out of its range.
    """
    if not 0 < degrees <= 180:
        raise ConfigError(f"rotated, degrees={degrees}: valid are numbers above 0 and up to 180")
    if not 0 <= fill <= 255:
        raise ConfigError(f"rotated, fill={fill}: a uint8 pixel is 0 to 255")
    settings = dict(degrees=degrees, fill=fill, map_fill=map_fill, kinds=dict(kinds))
    return features.making(functools.partial(_rotated, **settings), target="target")


def _rotated(example: Example, rng: np.random.Generator, *, degrees, fill, map_fill, kinds):
    angle, sides = float(rng.uniform(-degrees, degrees)), _size(example, kinds)
    found = {**example, "target": np.float32([angle])}
    for name in _rasters(example, kinds):
        value = _checked(name, kinds[name], example[name], sides)
        if kinds[name] == "image":
            picture = value if isinstance(value, Image.Image) else picture_of(value)
            found[name] = _turned_picture(picture, angle, fill)
        elif kinds[name] == "clip":
            alike = [_turned_picture(picture_of(frame), angle, fill) for frame in value]
            found[name] = np.stack(alike)
        elif kinds[name] == "map":
            found[name] = _turned(value, angle, Image.Resampling.NEAREST, map_fill)
        else:
            found[name] = _turned(value, angle, Image.Resampling.BILINEAR, 0)
    return _turned_objects(found, kinds, sides, angle)


def _turned_picture(picture: Image.Image, angle: float, fill: int) -> np.ndarray:
    colour = fill if picture.mode == "L" else (fill,) * len(picture.getbands())
    return pixels(picture.rotate(angle, Image.Resampling.BILINEAR, fillcolor=colour))


def _turned(values: np.ndarray, angle: float, method: Image.Resampling, fill: int) -> np.ndarray:
    """Turns a map (h, w) or a field (h, w) or (h, w, c), one channel at a time."""
    if values.ndim == 3:
        channels = [_turned(values[..., i], angle, method, fill) for i in range(values.shape[2])]
        return np.stack(channels, axis=-1)
    # PIL turns integers of 32 bits exactly; a map may have classes above 255.
    wide = np.int32 if values.dtype.kind in "iub" else np.float32
    turned = Image.fromarray(values.astype(wide)).rotate(angle, method, fillcolor=fill)
    return np.asarray(turned).astype(values.dtype)


def _turned_objects(
    example: Example, kinds: Kinds, sides: tuple[int, int], angle: float
) -> Example:
    found, size = dict(example), np.float32(sides)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    for name in features.named(kinds, *features.OBJECTS, among=example):
        places, boxes = np.asarray(example[name], np.float32), kinds[name] == "boxes"
        ends = places.reshape(len(places), -1, 2)
        # A box moves by its four corners: (ymin, xmin), (ymin, xmax), (ymax, xmin), (ymax, xmax).
        corners = np.stack([ends[:, i, [0, 1]] for i in range(ends.shape[1])], axis=1)
        if boxes:
            pairs = [(i, j) for i in (0, 1) for j in (0, 1)]
            corners = np.stack([np.stack([ends[:, i, 0], ends[:, j, 1]], -1) for i, j in pairs], 1)
        y, x = np.moveaxis((corners - 0.5) * size, -1, 0)
        moved = np.stack([cos * y - sin * x, sin * y + cos * x], axis=-1) / size + 0.5
        moved = np.concatenate([moved.min(1), moved.max(1)], -1) if boxes else moved[:, 0]
        clipped = np.clip(moved, 0, 1).astype(np.float32)
        if boxes:
            inside = np.all(clipped[:, 2:] - clipped[:, :2] > features.SLIVER, axis=-1)
        else:
            inside = np.all(np.abs(moved - clipped) < features.SLIVER, axis=-1)
        others = features.companions(name, example, kinds)
        found |= _left(example, name, others, clipped, inside)
    return found


_rotated.takes_pictures = True
