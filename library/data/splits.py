"""Splits and slices of splits: "train", "train[:90%]", "train[45000:]", "train+test"."""

import itertools
import re
from collections.abc import Mapping, Set
from typing import NamedTuple

from library.config import ConfigError, nearest

_PART = re.compile(r"\s*([\w.-]+)\s*(?:\[\s*([^:\[\]]*?)\s*:\s*([^:\[\]]*?)\s*\])?\s*")
_BOUND = re.compile(r"(-?\d[\d_]*(?:\.\d+)?)(%?)")


class Part(NamedTuple):
    """The examples of a split from `start` up to, but without, `stop`."""

    split: str
    start: int
    stop: int


def resolve(text: str, sizes: Mapping[str, int], name: str) -> tuple[Part, ...]:
    """Parses a split such as "train[:90%]+test" and returns its parts in order.

    Percentages are rounded to the nearest example, so "[:90%]" and "[90%:]" together are the whole
    split.

    Args:
      text: split names with optional bounds, joined by "+".
      sizes: the number of examples by split.
      name: the name of the dataset, for messages.

    Raises:
      ConfigError: `text` is malformed, a split is unknown or empty, or a bound is outside it.
    """
    return tuple(_part(part, text, sizes, name) for part in str(text).split("+"))


def locate(parts: tuple[Part, ...], row: int) -> tuple[str, int]:
    """Returns the split of a row of the joined parts, and the row's index within that split."""
    for split, start, stop in parts:
        if row < stop - start:
            return split, start + row
        row -= stop - start
    raise IndexError(f"{row} rows beyond the end")


def describe(name: str, parts: tuple[Part, ...], row: int) -> str:
    """Names a row of parts of splits: "cifar10 train[17]"."""
    split, index = locate(parts, row)
    return f"{name} {split}[{index}]"


def shared(read: Mapping[str, Set], what: str) -> list[str]:
    """Returns lines on files that links make a part of two splits.

    Args:
      read: the identities of the files of each split.
      what: what the files are, such as "images".
    """
    common = {pair: len(read[pair[0]] & read[pair[1]]) for pair in itertools.combinations(read, 2)}
    return [
        f"{one} and {other} share {count} of their {what}, because of links"
        for (one, other), count in common.items()
        if count
    ]


def _part(part: str, text: str, sizes: Mapping[str, int], name: str) -> Part:
    match = _PART.fullmatch(part)
    if match is None:
        raise ConfigError(
            f"split {text!r} of {name} is not understood: "
            "write 'train', 'train[:90%]', 'train[45000:]' or 'train+test'"
        )
    split, first, last = match.groups()
    if split not in sizes:
        raise ConfigError(f"unknown split {split!r} of {name}: {nearest(split, sizes)}")
    start = _bound(first, 0, sizes[split], text, name)
    stop = _bound(last, sizes[split], sizes[split], text, name)
    if start >= stop:
        raise ConfigError(
            f"split {part.strip()!r} of {name} is empty ({split} has {sizes[split]:,} examples)"
        )
    return Part(split, start, stop)


def _bound(bound: str | None, default: int, size: int, text: str, name: str) -> int:
    if not bound:
        return default
    match = _BOUND.fullmatch(bound)
    if match is None or (not match[2] and "." in match[1]):
        raise ConfigError(
            f"split {text!r} of {name}: {bound!r} is not a bound; write 45000, -5000 or 90%"
        )
    number = float(match[1].replace("_", ""))
    value = round(number * size / 100) if match[2] else int(number)
    if abs(value) > size:
        raise ConfigError(f"split {text!r} of {name}: {bound} is beyond its {size:,} examples")
    return value + size if value < 0 else value
