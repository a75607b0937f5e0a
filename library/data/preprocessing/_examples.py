"""Examples as operations see them: their types, what may be wrong with one, and its features."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from library.config import ConfigError, nearest

Example = dict[str, Any]
Operation = Callable[[Example, np.random.Generator], Example]


class CorruptExample(ValueError):  # noqa: N818, it is about the example, not the program
    """An example cannot be read or decoded."""


class UnfitExample(ValueError):  # noqa: N818, as above
    """An example is whole, but no operation of the recipe is made for it."""


def feature(example: Example, key: str) -> Any:
    if key not in example:
        raise ValueError(f"the example has no {key!r}: {nearest(key, sorted(example))}")
    return example[key]


def without(example: Example, key: str) -> Example:
    return {name: value for name, value in example.items() if name != key}


def shown(value: Any) -> str:
    if isinstance(value, Image.Image):
        value = np.asarray(value)
        value = value if value.ndim == 3 else value[..., None]
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"of type {type(value).__name__}"


def positive(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{value!r} is not a whole number of 1 or more")
    return value
