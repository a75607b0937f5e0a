"""Folds of a split, for cross-validation: each is for one run the test, and for others training.

The folds are a function of the number of examples, their labels and a seed, and of nothing else.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from library import rng
from library.config import ConfigError


class Folds(NamedTuple):
    """The config of cross-validation.

    Attributes:
      num: number of folds.
      fold: the fold to test on, from 0.
      seed: seed of the assignment of examples to folds. It is not the seed of the run, so that
        runs with other seeds have the same folds.
    """

    num: int
    fold: int = 0
    seed: int = 0


def checked(folds: Folds) -> Folds:
    """Returns the config of folds.

    Raises:
      ConfigError: there are fewer than two folds, or the fold or the seed is out of range.
    """
    if folds.num < 2:
        raise ConfigError(f"dataset.folds, num={folds.num}: valid are 2 or more")
    if not 0 <= folds.fold < folds.num:
        raise ConfigError(
            f"dataset.folds, fold={folds.fold}: valid are 0 to {folds.num - 1}, one below num"
        )
    if not 0 <= folds.seed < 2**32:
        raise ConfigError(f"dataset.folds, seed={folds.seed}: valid are 0 to 2^32 - 1")
    return folds


def assigned(
    count: int, num: int, seed: int, labels: Int[np.ndarray, " n"] | None = None
) -> Int[np.ndarray, " n"]:
    """Returns the fold of each example, `(n,)`.

    The sizes of two folds differ by one at most. With labels, the folds are stratified: the numbers
    of examples of a class in two folds differ by one at most, too.

    Args:
      count: number of examples.
      num: number of folds.
      seed: seed of the assignment.
      labels: the class of each example.

    Raises:
      ConfigError: there are fewer examples than folds.
    """
    if count < num:
        raise ConfigError(f"dataset.folds, num={num}: the split has only {count} examples")
    shuffled = rng.host_generator(seed, "folds", num).permutation(count)
    if labels is not None:
        # A stable sort by class keeps the shuffled order within a class.
        shuffled = shuffled[np.argsort(np.asarray(labels)[shuffled], kind="stable")]
    found = np.empty(count, np.int64)
    found[shuffled] = np.arange(count) % num
    return found


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Some rows of other examples, with access by row.

    Attributes:
      records: all examples.
      rows: the chosen ones, `(n,)`.
    """

    records: Any
    rows: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        return self.records[self._row(row)]

    def __getattr__(self, name: str) -> Any:
        """Returns `labels`, `several` and `stored`, where the examples have them."""
        if name not in ("labels", "several", "stored") or not hasattr(self.records, name):
            raise AttributeError(name)
        held = getattr(self.records, name)
        if name == "labels":
            return np.asarray(held)[self.rows]
        return self._several if name == "several" else self._stored

    def _row(self, row: int) -> int:
        if not 0 <= row < len(self.rows):
            raise IndexError(f"row {row} of {len(self.rows)}")
        return int(self.rows[row])

    def _several(self, rows: Sequence[int]) -> list[dict]:
        return self.records.several([self._row(row) for row in rows])

    def _stored(self) -> tuple[list[str], Any] | None:
        found = self.records.stored()
        return None if found is None else (found[0], [found[1], self.rows.tolist()])
