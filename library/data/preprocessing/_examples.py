"""Types, errors and helpers for single examples in preprocessing."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from library.config import ConfigError, nearest

Example = dict[str, Any]
Operation = Callable[[Example, np.random.Generator], Example]


class CorruptExample(ValueError):  # noqa: N818, it is about the example, not the program
    """Raised for an example that cannot be read or decoded."""


class UnfitExample(ValueError):  # noqa: N818, as above
    """Raised for an intact example that the recipe's preprocessing or batching cannot handle."""


def feature(example: Example, key: str) -> Any:
    if key not in example:
        raise ValueError(f"the example has no {key!r}: {nearest(key, sorted(example))}")
    return example[key]


def without(example: Example, key: str) -> Example:
    return {name: value for name, value in example.items() if name != key}


def kept(example: Example, names: Iterable[str], there: Bool[np.ndarray, " n"]) -> Example:
    """Returns the entries of features with one entry per object, for the objects `there`."""
    found = {}
    for name in names:
        values = np.asarray(example[name])
        if values.shape[:1] != there.shape:
            raise ValueError(
                f"{name} is {shown(values)}, expected one entry for each of {len(there)} objects"
            )
        found[name] = values[there]
    return found


def shown(value: Any) -> str:
    if isinstance(value, Image.Image):
        value = np.asarray(value)
        value = value if value.ndim == 3 else value[..., None]
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"of type {type(value).__name__}"


def positive(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{value!r} is not an integer of 1 or more")
    return value
