"""Examples that a run leaves out, as they cannot be read: which, why, and out of how many.

A skipped example has mask 0, so every process sees in its own batches which rows are missing, also
where worker processes read them. `tell` gathers the rows of all processes; the first names them,
finds out why by reading them once more, and keeps the list in the workdir.
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
# Names of a split that are kept, and those that a line shows.
MOST, SHOWN = 1000, 3


class Tally(NamedTuple):
    """What is known of a split.

    Attributes:
      examples: how many it has.
      skipped: how many of them were left out.
      reasons: why, by name; of MOST at most.
    """

    examples: int
    skipped: int
    reasons: Mapping[str, str]

    def line(self, split: str) -> str:
        """Renders the tally for people."""
        named = [f"{name} ({reason})" for name, reason in [*self.reasons.items()][:SHOWN]]
        more = self.skipped - len(named)
        named += [f"{more} more"] * bool(more)
        return (
            f"{self.skipped:,} of {self.examples:,} examples of {split} were skipped, and are part "
            f"of no metric: {'; '.join(named)}"
        )


class Skipped:
    """Counts and names the skipped examples of a run, split by split, each of them once."""

    def __init__(self, path: Path | None = None):
        """Goes on from the list of an earlier start, if there is one.

        Args:
          path: the file to keep the list in; None keeps none.

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
        """Passes host batches of this process on, and notes which rows they lack.

        Args:
          split: their split.
          loader: how they are loaded; unless it skips, nothing is looked at.
          batches: with `index`, `row` and `mask`.
          padded: whether an `index` beyond the split's examples is one of padding.
        """
        if loader.on_corrupt != "skip":
            return batches
        rows = self._open(split, loader)
        return _noting(rows, len(loader.source.records) if padded else None, batches)

    def note(self, split: str, loader: Loader, mask: np.ndarray) -> None:
        """Notes the rows that a split held in memory lacks: `mask` (n,) is 0 on them."""
        if loader.on_corrupt == "skip":
            self._open(split, loader).update(np.flatnonzero(mask == 0).tolist())

    def tell(self, warn: Callable[[str], None]) -> None:
        """Brings the list up to date, and warns where there is much more than was told before.

        All processes call it at the same place of the run.

        Args:
          warn: shows a line; of several processes, the first's alone is called.
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
            # Of a training split more become known step by step: each doubling is told.
            if tally and tally.skipped >= max(2 * self._told.get(split, 0), 1):
                self._told[split] = tally.skipped
                listed = f"; listed in {self._path.name}" if self._path else ""
                warn(tally.line(split) + listed)
        if self._path and self._listed != before:
            held = {split: tally._asdict() for split, tally in self._listed.items()}
            files.write(self._path, files.to_json(held, indent=2) + "\n")

    def tallies(self) -> dict[str, Tally]:
        """Returns what is known by split, of those that lack examples; of process 0."""
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
    """Reads the list of a workdir by split; where there is none, nothing was skipped.

    Raises:
      ConfigError: it is damaged.
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
    """Renders what `counts` returned."""
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
    return "it could be read when it was tried again"


def _gathered(held: list[set[int]]) -> list[tuple[set[int], int]]:
    """Returns the rows of all processes by split, and how many; of each MOST at most are sent."""
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
        # Where none has more than was sent, rows that several have seen count once.
        whole = (part[:, 0] <= MOST).all()
        found.append((rows, len(rows) if whole else int(part[:, 0].sum())))
    return found
