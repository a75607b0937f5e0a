"""The tokens in a model's params: which entries a run takes from a run with another vocabulary."""

import collections
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from library import config
from library.data import preprocessing, text
from library.run.data_record import DataRecord


class Rows(NamedTuple):
    """The entries of tokens that a leaf takes: entry `here[i]` is entry `there[i]` of the other.

    Attributes:
      axis: the axis of the tokens.
      there: the numbers of the tokens in the other run.
      here: their numbers in this run.
      size: number of tokens in this run.
    """

    axis: int
    there: tuple[int, ...]
    here: tuple[int, ...]
    size: int

    def __str__(self) -> str:
        return f"{len(self.here):,} of {self.size:,} tokens, by their names"

    def apply(self, leaf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns a leaf with the taken entries, zeros elsewhere, and where it has entries."""
        shape = [*leaf.shape]
        shape[self.axis] = self.size
        made, taken = np.zeros(shape, leaf.dtype), np.zeros(shape, bool)
        place = (slice(None),) * self.axis
        made[(*place, list(self.here))] = np.take(leaf, self.there, axis=self.axis)
        taken[(*place, list(self.here))] = True
        return made, taken


class Vocabularies(NamedTuple):
    """The tokens of another run and of this run.

    Attributes:
      there: the text of each token of the other run, None if unknown.
      here: the text of each token of this run, None if unknown.
      axes: returns the axes of the tokens by path, see `class_axes.axes`.
    """

    there: Sequence[str] | None = None
    here: Sequence[str] | None = None
    axes: Callable[[], Mapping[str, int | None]] = dict

    @property
    def differ(self) -> bool:
        """Whether the tokens are known and differ, or have another order."""
        known = self.there is not None and self.here is not None
        return known and tuple(self.there) != tuple(self.here)

    def rows(self, path: str, there: tuple[int, ...], here: tuple[int, ...]) -> Rows | None:
        """Returns the entries that a leaf takes; None if it has no axis of tokens.

        Args:
          path: the leaf's path.
          there: its shape in the other run.
          here: its shape in this run.
        """
        axis = self.axes().get(path) if self.differ else None
        if axis is None or len(there) != len(here):
            return None
        sizes = (len(self.there), len(self.here))
        rest = [(a, b) for i, (a, b) in enumerate(zip(there, here)) if i != axis]
        if (there[axis], here[axis]) != sizes or any(a != b for a, b in rest):
            return None
        before, now = _numbers(self.there), _numbers(self.here)
        shared = [name for name in now if name in before]
        taken = [tuple(numbers[name] for name in shared) for numbers in (before, now)]
        return Rows(axis, *taken, len(self.here))


def names(record: DataRecord | None) -> tuple[str, ...] | None:
    """Returns the text of each token of a run, from its data record; None if it has no tokens."""
    if record is None:
        return None
    if record.tokenizer is not None:
        spec, fitted = record.tokenizer["spec"], record.tokenizer["fitted"]
        return text.make_tokenizer(spec, None, fitted).names
    for key, values in record.preprocess.items():
        spec = json.loads(key)
        if "tokenizer" in spec and record.kinds is not None:
            known = dict(kinds=record.kinds)
            made = config.build(spec, "library.data.preprocessing", "preprocessing", **known)
            return preprocessing.tokenizer_of(made.fitted(values)).names
    return None


def _numbers(vocabulary: Sequence[str]) -> dict[str, int]:
    """Returns the number of each token whose text no other token has."""
    counts = collections.Counter(vocabulary)
    return {name: i for i, name in enumerate(vocabulary) if counts[name] == 1}
