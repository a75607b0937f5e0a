"""Sweeps: `optimizer.learning_rate=0.1,0.03;seed=0,1,2` names six runs."""

import itertools
import re
from typing import NamedTuple

from library.config import ConfigError

MOST = 1000


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
      name: the name of its workdir below that of the sweep: "learning_rate=0.1,seed=2".
      overrides: flags for the program: "--config.seed=2".
    """

    name: str
    overrides: tuple[str, ...]


def points(text: str | None) -> list[Point]:
    """Reads a sweep: ";" separates keys, and "," separates the values of a key.

    A comma inside brackets or quotes belongs to a value. Without a sweep there is one run with an
    empty name.

    Raises:
      ConfigError: a part is not key=values, a key comes twice, a value is empty or comes twice, two
        runs would have the same folder, or there are more than a thousand runs.
    """
    axes: dict[str, list[str]] = {}
    for part in filter(str.strip, (text or "").split(";")):
        key, equals, values = part.strip().partition("=")
        key = key.removeprefix("config.")
        if not equals or not re.fullmatch(r"[\w.]+", key):
            raise ConfigError(f"--sweep: {part.strip()!r} is not KEY=VALUE,VALUE,...")
        if key in axes:
            raise ConfigError(f"--sweep names {key!r} twice")
        axes[key] = _values(key, values)
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST:
        raise ConfigError(f"--sweep names {count} runs: valid are up to {MOST}")
    short = _short_names(list(axes))
    found = []
    for chosen in itertools.product(*axes.values()):
        name = ",".join(f"{short[key]}={_plain(value)}" for key, value in zip(axes, chosen))
        flags = tuple(f"--config.{key}={value}" for key, value in zip(axes, chosen))
        found.append(Point(name, flags))
    for place, point in enumerate(found):
        if point.name in (other.name for other in found[:place]):
            raise ConfigError(f"--sweep: two runs would be named {point.name!r}")
    return found


def _values(key: str, text: str) -> list[str]:
    values, depth, quote, start = [], 0, None, 0
    for i, letter in enumerate(text):
        if quote:
            quote = None if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth == 0:
            values.append(text[start:i])
            start = i + 1
    values = [value.strip() for value in (*values, text[start:])]
    if "" in values:
        raise ConfigError(f"--sweep: {key}={text} has an empty value")
    if len(set(values)) < len(values):
        raise ConfigError(f"--sweep: {key}={text} gives a value twice")
    return values


def _plain(value: str) -> str:
    """Returns a value in the characters of a folder's name."""
    return re.sub(r"[^\w.,+-]+", "_", value).strip("_")


def _short_names(keys: list[str]) -> dict[str, str]:
    """Returns the shortest ends of dotted keys that are unique."""
    short = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            end = ".".join(parts[-count:])
            if sum(other == end or other.endswith(f".{end}") for other in keys) == 1:
                break
        short[key] = end
    return short
