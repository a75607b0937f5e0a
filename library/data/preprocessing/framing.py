"""Frames of images whose sizes differ: multiples of a unit, one canvas for all, one orientation.

Each operation changes all images, maps and fields of an example alike, and takes no boxes, points
or clips.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import Example, Operation, positive
from library.data.preprocessing._pictures import Size, canvas
from library.data.preprocessing.geometry import shares

SIZE = "image_size"


def crop_multiple(unit: int, kinds: Kinds = features.USUAL) -> Operation:
    """Crops the bottom and the right so that both sides are multiples of `unit`.

    Raises (the operation):
      ValueError: a side is shorter than `unit`.
    """
    return _CropMultiple(positive(unit), dict(kinds))


def mirror(size: Size, kinds: Kinds = features.USUAL) -> Operation:
    """Extends images at the bottom and the right to `size` by their mirror image.

    The outermost pixel comes twice, as at the border of `library.bicubic`. So a bicubic reduction
    by a factor, and its enlargement, are the same with and without the extension if it is four
    factors wide, or if there is none. The feature `image_size` (2,) holds the height and width of
    the image itself, which measures of images use.

    Raises (the operation):
      ValueError: an image is larger than `size`.
    """
    return _Mirror(canvas(size), dict(kinds))


def landscape(kinds: Kinds = features.USUAL) -> Operation:
    """Turns images that are higher than wide by 90 degrees, counterclockwise.

    Photographs of one format then have one shape. Use it where an upright image does not matter.
    """
    return _Landscape(dict(kinds))


@dataclasses.dataclass(frozen=True)
class _CropMultiple:
    unit: int
    kinds: dict

    def __call__(self, example: Example, rng: Any) -> Example:
        found, spans = dict(example), _spans(example, self.kinds)
        height, width = (side // self.unit * self.unit for side in _first(example, spans))
        if not (height and width):
            sides = "x".join(map(str, _first(example, spans)))
            raise ValueError(f"crop_multiple, unit={self.unit}: the image of {sides} is smaller")
        for name, span in spans.items():
            if height % span or width % span:
                raise ValueError(
                    f"crop_multiple, unit={self.unit}: {name} is {span} times smaller than the "
                    f"largest image; the unit must be a multiple of {span}"
                )
            found[name] = example[name][: height // span, : width // span]
        return found


@dataclasses.dataclass(frozen=True)
class _Mirror:
    size: tuple[int, int]
    kinds: dict
    makes: ClassVar[dict[str, str]] = {SIZE: "array"}

    def __call__(self, example: Example, rng: Any) -> Example:
        found, spans = dict(example), _spans(example, self.kinds)
        sides = _first(example, spans)
        if sides[0] > self.size[0] or sides[1] > self.size[1]:
            raise ValueError(
                f"mirror to {self.size[0]}x{self.size[1]}: the image of {sides[0]}x{sides[1]} is "
                "larger"
            )
        for name, span in spans.items():
            value = example[name]
            widths = [(0, new // span - old) for new, old in zip(self.size, value.shape)]
            rest = [(0, 0)] * (value.ndim - 2)
            found[name] = np.pad(value, [*widths, *rest], mode="symmetric")
        return {**found, SIZE: np.array(sides, np.int32)}


@dataclasses.dataclass(frozen=True)
class _Landscape:
    kinds: dict

    def __call__(self, example: Example, rng: Any) -> Example:
        spans = _spans(example, self.kinds)
        height, width = _first(example, spans)
        if height <= width:
            return dict(example)
        return {
            **example,
            **{name: np.ascontiguousarray(np.rot90(example[name])) for name in spans},
        }


def _spans(example: Example, kinds: Kinds) -> dict[str, int]:
    for name in features.named(kinds, *features.OBJECTS, "clip", among=example):
        raise ValueError(f"{name}, of kind {kinds[name]!r}, does not follow this operation")
    return shares(example, kinds)


def _first(example: Example, spans: dict[str, int]) -> tuple[int, int]:
    return example[next(iter(spans))].shape[:2]
