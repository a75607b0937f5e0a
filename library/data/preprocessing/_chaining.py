"""Chains of preprocessing operations, with checks of crop sizes before the first example."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from library.config import ConfigError
from library.data import features
from library.data.preprocessing._examples import Example, Operation
from library.data.preprocessing._pictures import Size, pixels
from library.data.preprocessing.decoding import _decode
from library.data.preprocessing.geometry import _MOVES

_SIZED = (
    *("resize", "resize_short", "random_crop", "center_crop", "inception_crop", "pad"),
    "letterbox",
)


def chain(operations: Sequence[Operation]) -> Operation:
    """Composes operations into one that applies them in order.

    Between decoding and cropping an image stays a PIL image. Your own operations get numpy arrays,
    unless the operation, or the function that it is a `partial` of, has the attribute
    `takes_pictures` with the value True.

    Raises:
      ConfigError: a crop is larger than the images that the operations before it make.
    """
    functools.reduce(_sides, operations, None)
    return _chained(tuple(map(_keeping_pictures, operations)))


def turning(operation: Operation, turn: bool) -> Operation:
    """Returns the operation with `exif_orientation=turn` for each `decode` that leaves it None.

    Args:
      operation: any operation, or a `chain` of operations.
      turn: whether such a `decode` applies the EXIF orientation.
    """
    if _is_chain(operation):
        return _chained(tuple(turning(o, turn) for o in operation.args[0]))
    if _decodes(operation) and operation.keywords["exif_orientation"] is None:
        return functools.partial(operation, exif_orientation=turn)
    return operation


def tokenizer_of(operation: Operation) -> Any:
    """Returns the tokenizer of the first `tokenize` in an operation or a chain, or None."""
    parts = operation.args[0] if _is_chain(operation) else ()
    found = getattr(operation, "tokenizer", None)
    return found or next(filter(None, map(tokenizer_of, parts)), None)


def _chained(operations: tuple[Operation, ...]) -> Operation:
    made = {}
    for operation in operations:
        made = features.after(operation, made)
    return features.making(functools.partial(_chain, operations), **made)


def _is_chain(operation: Operation) -> bool:
    return getattr(operation, "func", None) is _chain


def _decodes(operation: Operation) -> bool:
    return getattr(operation, "func", None) is _decode


def _chain(operations: tuple[Operation, ...], example: Example, rng: np.random.Generator):
    for operation in operations:
        if not getattr(getattr(operation, "func", operation), "takes_pictures", False):
            example = _without_pictures(example)
        example = operation(example, rng)
    return _without_pictures(example)


def _without_pictures(example: Example) -> Example:
    if not any(isinstance(value, Image.Image) for value in example.values()):
        return example
    return {k: pixels(x) if isinstance(x, Image.Image) else x for k, x in example.items()}


def _keeping_pictures(operation: Operation) -> Operation:
    """Makes `decode` return PIL images: copying pixels to crop away takes a tenth of the time."""
    return functools.partial(operation, keep=True) if _decodes(operation) else operation


def _sides(before: Size | None, operation: Operation) -> Size | None:
    """Returns what is known about the sides of images after an operation.

    It is (height, width), or the minimum of the shorter side, or None if nothing is known.
    `before` is the same before the operation.
    """
    if _is_chain(operation):
        return functools.reduce(_sides, operation.args[0], before)
    made, given = getattr(operation, "func", None), getattr(operation, "keywords", {})
    name = next((name for name, move in _MOVES.items() if move is made), None)
    if name in ("random_crop", "center_crop"):
        _check_crop(name, given["size"], before)
    if name == "random_resize_short":
        return given["sizes"][0]
    if name in _SIZED:
        return given["size"]
    known = name != "central_crop" and made is not None
    return before if known and not _decodes(operation) else None


def _check_crop(name: str, size: tuple[int, int], before: Size | None) -> None:
    height, width = size
    if isinstance(before, int) and min(size) > before:
        raise ConfigError(
            f"{name} of {height}x{width} out of images whose shorter side is {before}: valid are 1 "
            f"to {before}, or resize the images to a larger size before"
        )
    if isinstance(before, tuple) and (height > before[0] or width > before[1]):
        raise ConfigError(
            f"{name} of {height}x{width} out of images of {before[0]}x{before[1]}: valid are 1x1 "
            f"to {before[0]}x{before[1]}"
        )
