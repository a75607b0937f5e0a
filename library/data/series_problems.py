"""Made series for which an answer depends on steps far away: the adding and the copy problem.

Hochreiter & Schmidhuber 1997, "Long short-term memory", sections 5.4 and 5.2, in the form of Bai,
Kolter & Koltun 2018 (arXiv 1803.01271), section 4. A name is "synthetic/adding600" or
"synthetic/copying1000". Every example depends only on the name, its split and row.
"""

import dataclasses
import operator
import re
from typing import ClassVar

import numpy as np

from library import rng
from library.config import ConfigError
from library.data import splits

_NAME = re.compile(r"synthetic/(adding|copying)(\d+)")


@dataclasses.dataclass(frozen=True)
class Adding:
    """Two numbers of a series are marked, and their sum is the target.

    An example has `series`, float32 (length, 2), of uniform numbers in [0, 1) and marks, 1 at two
    different steps and 0 elsewhere; and `target`, float32 (1,). The mean 1 as an answer has the
    squared error 1/6.

    Attributes:
      length: steps of a series, 2 or more.
      sizes: the number of examples by split.
      parts: the splits, or slices of splits, whose examples the rows address in order.
    """

    length: int
    sizes: dict[str, int]
    parts: tuple[splits.Part, ...]
    label_names: ClassVar[None] = None
    kinds: ClassVar[dict[str, str]] = {"series": "series", "target": "target"}
    shortest: ClassVar[int] = 2

    def __len__(self) -> int:
        return sum(stop - start for _, start, stop in self.parts)

    def __getitem__(self, row: int) -> dict:
        generator = _generator(self, row, "adding")
        values = generator.random(self.length, dtype=np.float32)
        marked = generator.choice(self.length, 2, replace=False)
        marks = np.zeros(self.length, np.float32)
        marks[marked] = 1
        target = values[marked].sum(keepdims=True)
        return {"series": np.stack([values, marks], axis=-1), "target": target}


@dataclasses.dataclass(frozen=True)
class Copying:
    """Ten symbols are to be repeated after a pause.

    An example has `series`, float32 (length + 20, 1): ten symbols of 1 to 8, then length - 1 zeros,
    then eleven times 9; and `tags`, int32 (length + 20,): zeros, and in the last ten steps the
    symbols. A model that forgets them has a loss of 10 ln 8 / (length + 20).

    Attributes:
      length: steps of the pause, 1 or more.
      sizes: the number of examples by split.
      parts: the splits, or slices of splits, whose examples the rows address in order.
    """

    length: int
    sizes: dict[str, int]
    parts: tuple[splits.Part, ...]
    label_names: ClassVar[None] = None
    kinds: ClassVar[dict[str, str]] = {"series": "series", "tags": "tokens"}
    shortest: ClassVar[int] = 1

    def __len__(self) -> int:
        return sum(stop - start for _, start, stop in self.parts)

    def __getitem__(self, row: int) -> dict:
        symbols = _generator(self, row, "copying").integers(1, 9, 10)
        shown = np.concatenate([symbols, np.zeros(self.length - 1), np.full(11, 9)])
        tags = np.concatenate([np.zeros(self.length + 10), symbols])
        return {"series": shown.astype(np.float32)[:, None], "tags": tags.astype(np.int32)}


def find(name: str, split: str, sizes: dict[str, int]) -> Adding | Copying | None:
    """Returns the examples of a split of a problem, or None if the name names none.

    Args:
      name: the name, such as "synthetic/adding600".
      split: the split, such as "train[:256]".
      sizes: the number of examples of each split.

    Raises:
      ConfigError: the split is malformed, or the length is too small.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    problem, length = {"adding": Adding, "copying": Copying}[match[1]], int(match[2])
    if length < problem.shortest:
        nearest = f"synthetic/{match[1]}{problem.shortest}"
        raise ConfigError(f"dataset {name!r} is too short; nearest: {nearest!r}")
    return problem(length, sizes, splits.resolve(split, sizes, name))


def _generator(records: Adding | Copying, row: int, purpose: str) -> np.random.Generator:
    row = operator.index(row)
    if not 0 <= row < len(records):
        raise IndexError(f"row {row} of {len(records)}")
    split, index = splits.locate(records.parts, row)
    number = list(records.sizes).index(split)
    return rng.host_generator(0, purpose, records.length, index, number)
