"""Operations on images of lines of text, whose widths differ."""

import functools

import numpy as np

from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import (
    Example,
    Operation,
    UnfitExample,
    positive,
    shown,
)


def pad_width(width: int, kinds: Kinds = features.USUAL) -> Operation:
    """Pads images with zeros on the right to `width` columns, and adds a mask of the columns.

    The feature `image`, (h, w, c), becomes (h, width, c), and `image_mask`, float32 (width,), is 1
    for columns of the image and 0 for padding.

    Args:
      width: columns of each image.
      kinds: the kinds of the features.

    Raises:
      UnfitExample: (the operation) an image is wider than `width`.
    """
    names = features.named(kinds, "image")
    return functools.partial(_pad_width, width=positive(width), names=names)


def _pad_width(example: Example, rng: np.random.Generator, *, width: int, names: list) -> Example:
    found = dict(example)
    for name in (name for name in names if name in example):
        image = np.asarray(example[name])
        if image.ndim != 3:
            raise ValueError(
                f"{name} is {shown(image)}: pad_width takes (h, w, c), so decode first"
            )
        rest = width - image.shape[1]
        if rest < 0:
            raise UnfitExample(
                f"{name} has {image.shape[1]} columns, but pad_width has width={width}: increase "
                "width"
            )
        found[name] = np.pad(image, [(0, 0), (0, rest), (0, 0)])
        found[f"{name}_mask"] = (np.arange(width) < width - rest).astype(np.float32)
    return found
