"""Windows of one long series: some steps that are known, and those after them to be forecast.

A name is "windows/336x96/ett/etth1": 336 steps are known, 96 are to be forecast, and the series is
that of "ett/etth1", whose splits hold one series each and follow each other in time. The forms are
those of Zhou et al. 2021, "Informer" (arXiv 2012.07436):

- Each channel is standardized by the mean and the deviation of the training split.
- A window belongs to the split that has all the steps to be forecast. The known steps may be those
  of the split before it, so that the first step of a test is forecast, too.
"""

import dataclasses
import operator
import re
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from library.config import ConfigError
from library.data import splits

# The splits of a series in the order of time.
SPLITS = ("train", "val", "test")
_NAME = re.compile(r"windows/(\d+)x(\d+)/(.+)")


class Asked(NamedTuple):
    """What a name asks for.

    Attributes:
      known: steps that are known.
      ahead: steps to be forecast.
      series: the name of the dataset with the series.
    """

    known: int
    ahead: int
    series: str


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of a series as examples.

    An example has `series`, float32 (known, d), and `target`, float32 (ahead d,): the steps to be
    forecast, one after the other.

    Attributes:
      values: the standardized series of all splits, (t, d).
      starts: the first step of each window, (n,).
      known: steps that are known.
      ahead: steps to be forecast.
    """

    values: Float32[np.ndarray, "t d"]
    starts: Int[np.ndarray, " n"]
    known: int
    ahead: int
    kinds: ClassVar[dict[str, str]] = {"series": "series", "target": "target"}

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> dict:
        row = operator.index(row)
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        start = self.starts[row]
        now = start + self.known
        return {"series": self.values[start:now], "target": self.values[now:][: self.ahead].ravel()}


def is_name(name: object) -> bool:
    """Returns whether a dataset's name is that of windows."""
    return isinstance(name, str) and name.partition("/")[0] == "windows"


def parse(name: str) -> Asked:
    """Reads a name.

    Raises:
      ConfigError: it is malformed, or a number of steps is 0.
    """
    match = _NAME.fullmatch(name)
    if match is None or not int(match[1]) or not int(match[2]):
        raise ConfigError(
            f"unknown dataset {name!r}: write 'windows/336x96/ett/etth1' (steps that are known, "
            "steps to be forecast, the dataset with the series)"
        )
    return Asked(int(match[1]), int(match[2]), match[3])


def sizes(asked: Asked, lengths: Mapping[str, int]) -> dict[str, int]:
    """Returns the number of windows of each split, given its steps, in the order of time.

    Raises:
      ConfigError: a split has no window.
    """
    found, begin = {}, 0
    for split, length in lengths.items():
        first = max(begin, asked.known)
        begin += length
        found[split] = begin - asked.ahead - first + 1
        if found[split] < 1:
            raise ConfigError(
                f"windows of {asked.known} + {asked.ahead} steps: the split {split!r} of "
                f"{asked.series} has {length} steps, too few for one"
            )
    return found


def cut(asked: Asked, series: Mapping[str, Float[np.ndarray, "t d"]], split: str) -> Windows:
    """Cuts the windows of a split, such as "train" or "train[:90%]".

    Args:
      asked: what the name asks for.
      series: the series of each split, in the order of time.
      split: the split of windows; its slices count windows.

    Raises:
      ConfigError: the split is malformed, empty or unknown, it has no window, there is no training
        split, or a value is missing.
    """
    for part, values in series.items():
        missing = np.argwhere(~np.isfinite(values))
        if len(missing):
            step, channel = missing[0]
            raise ConfigError(
                f"{asked.series} {part}: channel {channel} of step {step} is "
                f"{values[step, channel]}; windows need all values"
            )
    if "train" not in series:
        raise ConfigError(f"{asked.series} has no split 'train' to standardize its channels by")
    counts = sizes(asked, {part: len(values) for part, values in series.items()})
    ends = dict(zip(series, np.cumsum([len(values) for values in series.values()])))
    mean = series["train"].mean(axis=0, dtype=np.float64)
    std = series["train"].std(axis=0, dtype=np.float64)
    values = (np.concatenate(list(series.values())) - mean) / np.where(std > 0, std, 1)
    starts = []
    for part, first, last in splits.resolve(split, counts, f"windows of {asked.series}"):
        begin = ends[part] - asked.ahead - asked.known - counts[part] + 1
        starts.append(np.arange(begin + first, begin + last))
    return Windows(values.astype(np.float32), np.concatenate(starts), asked.known, asked.ahead)
