"""Your own recordings as a dataset: a folder with one directory per class, or a CSV of ratings."""

import csv
import dataclasses
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from library import files
from library.audio.sound_files import SUFFIXES
from library.config import ConfigError, nearest

SPLITS = ("train", "val", "valid", "validation", "test")
TABLE = "ratings.csv"


class Recordings(NamedTuple):
    """The recordings of one split: paths relative to the folder, with labels or ratings."""

    paths: tuple[str, ...]
    labels: Int32[np.ndarray, " n"] | None
    ratings: Float32[np.ndarray, "n d"] | None


class AudioFolder(NamedTuple):
    """A folder of recordings; `names` are those of its classes, or of the columns of its ratings.

    Attributes:
      root: the folder.
      names: names of the classes or of the ratings.
      rated: whether the recordings have ratings in place of classes.
      splits: the recordings by split.
      notes: lines for the user on what is skipped.
    """

    root: Path
    names: tuple[str, ...]
    rated: bool
    splits: Mapping[str, Recordings]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class AudioRecords:
    """The examples `{"audio": bytes}` of recordings, with `label` or with `target` (d,).

    Attributes:
      root: the folder.
      paths: the paths of the recordings, relative to `root`.
      labels: the labels (n,), zeros if there are ratings.
      ratings: the ratings (n, d), or None.
    """

    root: Path
    paths: tuple[str, ...]
    labels: Int32[np.ndarray, " n"]
    ratings: Float32[np.ndarray, "n d"] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> dict:
        if not 0 <= row < len(self.paths):
            raise IndexError(f"row {row} of {len(self.paths)}")
        known = {"label": self.labels[row]}
        if self.ratings is not None:
            known = {"target": self.ratings[row]}
        return {"audio": (self.root / self.paths[row]).read_bytes(), **known}

    def describe(self, row: int) -> str:
        """Returns the path of the recording of a row."""
        return str(self.root / self.paths[row])

    def stored(self) -> tuple[list[str], Any]:
        """Returns what the examples follow from: paths of files, and plain values."""
        known = self.labels if self.ratings is None else self.ratings
        return [os.path.join(self.root, path) for path in self.paths], known.tolist()

    def digest(self) -> str:
        """Returns a hash of the ratings and their paths."""
        text = repr(sorted(zip(self.paths, self.stored()[1])))
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()


def scan(root: Path, seed: int = 0) -> AudioFolder:
    """Lists the recordings of a folder.

    With `root/ratings.csv` each line states a recording: the column `file` has its path, relative
    to the folder, the column `split`, optional, its split, and each other column a number. Without
    it the layout is `root/train/<class>/...`, with other splits next to `train`, or
    `root/<class>/...`, a single split "train". Classes are ordered by name. A split is ordered by a
    hash of each path and the seed.

    Args:
      root: the folder.
      seed: seed of the order.

    Raises:
      ConfigError: the folder does not exist, has no recordings, or its splits differ in classes; or
        the table has a line that does not fit. The message names the file, and the line.
    """
    with files.listing("audio_folder"):
        if not root.is_dir():
            raise ConfigError(f"audio_folder: no such directory: {root}")
        return _rated(root, seed) if (root / TABLE).is_file() else _classified(root, seed)


def _classified(root: Path, seed: int) -> AudioFolder:
    tops = {name: root / name for name in SPLITS if _directories(root / name)} or {"train": root}
    names = _directories(tops.get("train", next(iter(tops.values()))))
    if not names:
        raise ConfigError(
            f"audio_folder: {root} has no {TABLE} and no directories: make one for each class, "
            f"{root}/<class>/<recording>"
        )
    found, skipped = {}, []
    for split, top in tops.items():
        strange = set(_directories(top)) ^ set(names)
        if strange:
            raise ConfigError(
                f"audio_folder: the splits of {root} differ in the class {min(strange)!r}: "
                f"{nearest(min(strange), names)}"
            )
        paths, labels = [], []
        for label, name in enumerate(names):
            held, others = _recordings(top / name)
            skipped += others
            paths += [os.path.relpath(path, root) for path in held]
            labels += [label] * len(held)
        order = sorted(range(len(paths)), key=lambda i, paths=paths: _place(paths[i], seed))
        labels = np.array(labels, np.int32)[order]
        found[split] = Recordings(tuple(paths[i] for i in order), labels, None)
    return AudioFolder(root, tuple(names), False, found, _notes(root, skipped))


def _rated(root: Path, seed: int) -> AudioFolder:
    path = root / TABLE
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}") from error
    reader = csv.DictReader(text.splitlines())
    columns = reader.fieldnames or []
    if "file" not in columns:
        raise ConfigError(f"{path}, line 1: no column 'file'; columns: {', '.join(columns)}")
    names = tuple(name for name in columns if name not in ("file", "split"))
    if not names:
        raise ConfigError(f"{path}, line 1: no column of ratings beside 'file' and 'split'")
    held: dict[str, list[tuple[str, list[float]]]] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        file = _stated(root, row["file"], where)
        ratings = [_number(row[name], name, where) for name in names]
        split = (row.get("split") or "train").strip()
        if split not in SPLITS:
            raise ConfigError(f"{where}: unknown split {split!r}: {nearest(split, SPLITS)}")
        held.setdefault(split, []).append((file, ratings))
    if not held:
        raise ConfigError(f"{path} has no lines of recordings")
    found = {}
    for split, rows in held.items():
        rows.sort(key=lambda row: _place(row[0], seed))
        numbers = np.array([ratings for _, ratings in rows], np.float32)
        found[split] = Recordings(tuple(file for file, _ in rows), None, numbers)
    return AudioFolder(root, names, True, found, ())


def _stated(root: Path, file: str | None, where: str) -> str:
    if not file or not (root / file).is_file():
        raise ConfigError(f"{where}: no such file: {root / (file or '')}")
    return file


def _number(text: str | None, name: str, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{where}: {name} is {text!r}, expected a finite number")
    return value


def _recordings(top: Path) -> tuple[list[str], list[str]]:
    """Returns the recordings below a directory, and its other files.

    Raises:
      ConfigError: there are no recordings.
    """
    tree = files.below(top)
    held = sorted(path for path in tree.files.values() if path.lower().endswith(SUFFIXES))
    if not held:
        raise ConfigError(f"audio_folder: no recordings in {top} (valid: {', '.join(SUFFIXES)})")
    return held, sorted(set(tree.files.values()) - set(held))


def _notes(root: Path, skipped: Sequence[str]) -> tuple[str, ...]:
    if not skipped:
        return ()
    shown = files.shown(skipped, root)
    return (f"files in {root} that are no recordings are skipped: {len(skipped)}, {shown}",)


def _directories(top: Path) -> list[str]:
    if not top.is_dir():
        return []
    return sorted(e.name for e in os.scandir(top) if e.is_dir() and not files.is_hidden(e.name))


def _place(path: str, seed: int) -> bytes:
    text = f"{seed} {path.replace(os.sep, '/')}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()
