"""The list of examples that a run skips because they cannot be read.

A skipped example has mask 0, so every process sees in its own batches which rows are missing, also
if worker processes read them. `tell` gathers the rows of all processes. The first process names
them, reads them again to find the reason, and writes the list into the workdir.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from library import files
from library.config import ConfigError
from library.data.pipeline import Loader
from library.data.preprocessing import CorruptExample
from library.parallel.watchdog import BARRIER, WATCHDOG

FILE = "skipped.json"
# The most names of a split in the list, and in a warning.
MOST, SHOWN = 1000, 3


class Tally(NamedTuple):
    """The skipped examples of a split.

    Attributes:
      examples: number of examples of the split.
      skipped: number of skipped examples.
      reasons: the reason for each skipped example, by its name; at most MOST of them.
    """

    examples: int
    skipped: int
    reasons: Mapping[str, str]

    def line(self, split: str) -> str:
        """Renders the tally as a line for the user."""
        named = [f"{name} ({reason})" for name, reason in [*self.reasons.items()][:SHOWN]]
        more = self.skipped - len(named)
        named += [f"{more} more"] * bool(more)
        return (
            f"{self.skipped:,} of {self.examples:,} examples of {split} were skipped; metrics "
            f"leave them out: {'; '.join(named)}"
        )


class Skipped:
    """The skipped examples of a run by split, each counted once."""

    def __init__(self, path: Path | None = None):
        """Reads the list of an earlier start, if there is one.

        Args:
          path: the file of the list; None for no file.

        Raises:
          ConfigError: the file is damaged.
        """
        self._path = path
        self._loaders: dict[str, Loader] = {}
        self._rows: dict[str, set[int]] = {}
        self._named: dict[str, set[int]] = {}
        self._listed: dict[str, Tally] = {} if path is None else read(path)
        self._told = {split: tally.skipped for split, tally in self._listed.items()}

    def noting(
        self, split: str, loader: Loader, batches: Iterator[Mapping], *, padded: bool
    ) -> Iterator[Any]:
        """Yields the given host batches of this process, and notes which rows are missing.

        Args:
          split: name of the batches' split.
          loader: the loader of the split; if it does not skip, nothing is noted.
          batches: the batches, with `index`, `row` and `mask`.
          padded: whether an `index` beyond the split's examples means padding.
        """
        if loader.on_corrupt != "skip":
            return batches
        rows = self._open(split, loader)
        return _noting(rows, len(loader.source.records) if padded else None, batches)

    def note(self, split: str, loader: Loader, mask: np.ndarray) -> None:
        """Notes the missing rows of a split in memory: those where `mask` (n,) is 0."""
        if loader.on_corrupt == "skip":
            self._open(split, loader).update(np.flatnonzero(mask == 0).tolist())

    def tell(self, warn: Callable[[str], None]) -> None:
        """Updates the list, and warns at the first skipped example of a split and each doubling.

        All processes must call it at the same points of the run.

        Args:
          warn: shows a line; only the first process calls it.
        """
        splits = sorted(self._loaders)
        if not splits:
            return
        gathered = _gathered([self._rows[split] for split in splits])
        if jax.process_index():
            return
        before = dict(self._listed)
        for split, (rows, count) in zip(splits, gathered):
            self._list(split, rows, count)
            tally = self._listed.get(split)
            # Training finds skipped examples step by step; a warning for each would be too many.
            if tally and tally.skipped >= max(2 * self._told.get(split, 0), 1):
                self._told[split] = tally.skipped
                listed = f"; listed in {self._path.name}" if self._path else ""
                warn(tally.line(split) + listed)
        if self._path and self._listed != before:
            held = {split: tally._asdict() for split, tally in self._listed.items()}
            files.write(self._path, files.to_json(held, indent=2) + "\n")

    def tallies(self) -> dict[str, Tally]:
        """Returns the tallies of the splits with skipped examples; complete in process 0 only."""
        return dict(self._listed)

    def _open(self, split: str, loader: Loader) -> set[int]:
        self._loaders[split] = loader
        self._named.setdefault(split, set())
        return self._rows.setdefault(split, set())

    def _list(self, split: str, rows: Iterable[int], count: int) -> None:
        loader, known = self._loaders[split], self._listed.get(split)
        reasons = dict(known.reasons) if known else {}
        for row in sorted(set(rows) - self._named[split])[: MOST - len(reasons)]:
            self._named[split].add(row)
            name = loader.source.describe(row)
            if name not in reasons:
                reasons[name] = _reason(loader, row, name)
        skipped = max(len(reasons), count, known.skipped if known else 0)
        if skipped:
            self._listed[split] = Tally(len(loader.source.records), skipped, reasons)


def read(path: Path) -> dict[str, Tally]:
    """Reads the list of skipped examples by split; empty if the file does not exist.

    Raises:
      ConfigError: the file is damaged.
    """
    if not path.is_file():
        return {}
    values = files.read_json(path)
    try:
        return {split: Tally(**tally) for split, tally in values.items()}
    except TypeError as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def counts(tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """Returns tallies without names, as plain values for summary.json."""
    return {
        split: {"examples": tally.examples, "skipped": tally.skipped}
        for split, tally in tallies.items()
    }


def lines(counted: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Renders the result of `counts`, a line for each split."""
    return [
        f"{found['skipped']:,} of {found['examples']:,} examples of {split} were skipped"
        for split, found in counted.items()
    ]


def _noting(rows: set[int], size: int | None, batches: Iterator[Mapping]) -> Iterator[Any]:
    for batch in batches:
        lost = batch["mask"] == 0
        if size is not None:
            lost &= batch["index"] < size
        if lost.any():
            rows.update(batch["row"][lost].tolist())
        yield batch


def _reason(loader: Loader, row: int, name: str) -> str:
    try:
        loader.read(row, row)
    except CorruptExample as error:
        return str(error).removeprefix(f"{name}: ")
    return "a second attempt could read it"


def _gathered(held: list[set[int]]) -> list[tuple[set[int], int]]:
    """Returns the rows of all processes and their number, for each split.

    Each process sends at most MOST rows of a split.
    """
    sent = np.full((len(held), MOST + 1), -1, np.int32)
    for place, rows in enumerate(held):
        first = sorted(rows)[:MOST]
        sent[place, 0], sent[place, 1 : len(first) + 1] = len(rows), first
    everyone = sent[None]
    if jax.process_count() > 1:
        with WATCHDOG.limit("the rows that other processes skipped", BARRIER):
            everyone = multihost_utils.process_allgather(sent)
    found = []
    for part in np.moveaxis(np.asarray(everyone), 1, 0):
        rows = set(part[:, 1:][part[:, 1:] >= 0].tolist())
        # If every process sent all of its rows, a row that several have seen counts once.
        whole = (part[:, 0] <= MOST).all()
        found.append((rows, len(rows) if whole else int(part[:, 0].sum())))
    return found
