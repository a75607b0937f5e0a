"""Your own table: a CSV file with named columns for inputs, target, label and time.

`dataset.data_dir` is a file, or a directory with train.csv and, optional, val.csv and test.csv.
`dataset.columns` says what the columns are:

    columns=dict(inputs=["length", "weight"], target="age")

The rows of a single file are the split "train", such as "train[:80%]". A table with a column of
time is a series, whose windows are "windows/24x6/table"; the first 70 % of a single file are then
"train", the next 10 % "val" and the rest "test".
"""

import csv
import dataclasses
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from library import config
from library.config import ConfigError, nearest

SPLITS = ("train", "val", "test")
# The parts of a series in a single file, in percent of its steps.
ENDS = {"train": 70, "val": 80, "test": 100}


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the columns of a table are, by their names in its first line.

    Attributes:
      inputs: columns of numbers, in the order of the feature.
      target: a column of numbers to be predicted, or several; or None.
      label: the column of a class, whose words are its names; or None.
      time: a column of numbers or ISO dates that rises from row to row; or None.
    """

    inputs: tuple[str, ...]
    target: str | tuple[str, ...] | None = None
    label: str | None = None
    time: str | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to be predicted."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)


class Rows(NamedTuple):
    """The rows of a split.

    Attributes:
      features: the inputs, (n, c).
      target: the targets, (n, d); d may be 0.
      label: the words of the label, (n,), or None.
      lines: the line of each row in its file, (n,).
      path: the file.
      end: the time of the last row, -inf without a column of time.
    """

    features: Float32[np.ndarray, "n c"]
    target: Float32[np.ndarray, "n d"]
    label: tuple[str, ...] | None
    lines: Int32[np.ndarray, " n"]
    path: Path
    end: float = -math.inf

    def part(self, rows: Any) -> "Rows":
        """Returns some of the rows, by a slice or by their numbers."""
        words = None if self.label is None else tuple(np.array(self.label)[rows].tolist())
        arrays = {name: getattr(self, name)[rows] for name in ("features", "target", "lines")}
        return self._replace(label=words, **arrays)

    def describe(self, row: int) -> str:
        """Returns the file and the line of a row."""
        return f"{self.path}, line {self.lines[row]}"


class Table(NamedTuple):
    """The splits of a table, and the names of its classes in the order of their labels, or None."""

    splits: Mapping[str, Rows]
    classes: tuple[str, ...] | None


def read_columns(given: Mapping[str, Any] | None) -> Columns:
    """Reads `dataset.columns`.

    Raises:
      ConfigError: it is missing, has a key or a value that does not fit, names no input, both a
        target and a label, or a column twice.
    """
    if not given:
        raise ConfigError(
            "dataset 'table' needs columns=dict(inputs=[...], target=...): the names of its columns"
        )
    found = config.read(Columns, given, "dataset.columns")
    named = (*found.inputs, *found.targets, *filter(None, (found.label, found.time)))
    twice = next((name for name in named if named.count(name) > 1), None)
    if not found.inputs:
        raise ConfigError("dataset.columns, inputs=[]: name one column or more")
    if twice is not None:
        raise ConfigError(f"dataset.columns: {twice!r} is named twice")
    if found.targets and found.label is not None:
        raise ConfigError(
            f"dataset.columns: target={found.target!r} and label={found.label!r}: name one of them"
        )
    return found


def scan(path: Path, columns: Columns) -> Table:
    """Reads the files of a table.

    Rows of a table without time come in an order that is drawn once, by a hash of their line, as a
    file may be sorted by its classes. Classes are in the order of their names.

    Args:
      path: a CSV file, or a directory with train.csv and others of SPLITS.
      columns: what the columns are.

    Raises:
      ConfigError: there is no such file, a file is not UTF-8, lacks a column, has no rows, or has a
        line that does not fit: another number of cells, a cell that is no finite number, or a time
        that is not after the one before. The message names the file, and the line.
    """
    found, end = {}, -math.inf
    for split, file in ({"train": path} if path.is_file() else _files(path)).items():
        found[split] = _rows(file, columns, end)
        end = found[split].end
    if path.is_file() and columns.time is not None:
        found = _divided(found["train"])
    if columns.label is None:
        return Table(found, None)
    return Table(found, tuple(sorted({word for rows in found.values() for word in rows.label})))


def labels(table: Table, rows: Rows) -> Int32[np.ndarray, " n"]:
    """Returns the numbers of the classes of rows."""
    numbers = {name: number for number, name in enumerate(table.classes)}
    return np.array([numbers[word] for word in rows.label], np.int32)


def _files(folder: Path) -> dict[str, Path]:
    files = {split: folder / f"{split}.csv" for split in SPLITS}
    held = {split: file for split, file in files.items() if file.is_file()}
    if not folder.is_dir():
        raise ConfigError(f"table: no such file or directory: {folder}")
    if "train" not in held:
        raise ConfigError(f"table: no {files['train']}; name a CSV file, or a directory with it")
    return held


def _divided(rows: Rows) -> dict[str, Rows]:
    count, begin, found = len(rows.lines), 0, {}
    for split, percent in ENDS.items():
        end = count * percent // 100
        found[split] = rows.part(slice(begin, end))
        begin = end
    return {split: part for split, part in found.items() if len(part.lines)}


def _rows(path: Path, columns: Columns, before: float) -> Rows:
    """Reads the rows of a file, whose times come after `before`."""
    header, lines = _read(path)
    named = {name: header.index(name) for name in _required(path, header, columns)}
    features, targets, words, numbers = [], [], [], []
    for line, cells in lines:
        where = f"{path}, line {line}"
        if len(cells) != len(header):
            raise ConfigError(f"{where}: {len(cells)} cells, expected {len(header)} as in line 1")
        row = {name: cells[place].strip() for name, place in named.items()}
        features.append([_number(row[name], name, where) for name in columns.inputs])
        targets.append([_number(row[name], name, where) for name in columns.targets])
        if columns.label is not None:
            words.append(_word(row[columns.label], columns.label, where))
        if columns.time is not None:
            before = _later(before, row[columns.time], columns.time, where)
        numbers.append(line)
    if not numbers:
        raise ConfigError(f"{path} has no rows below its first line")
    found = Rows(
        np.array(features, np.float32),
        np.array(targets, np.float32).reshape(len(numbers), len(columns.targets)),
        tuple(words) if columns.label is not None else None,
        np.array(numbers, np.int32),
        path,
        before,
    )
    if columns.time is not None:
        return found
    return found.part(sorted(range(len(numbers)), key=lambda at: _place(numbers[at])))


def _read(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Returns the names in the first line, and the other lines with their numbers."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise ConfigError(f"{path}, line {line}: not UTF-8 (byte {byte:#04x})") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}, line 1: two columns are called {twice!r}")
    return header, ((reader.line_num, cells) for cells in reader if cells)


def _required(path: Path, header: Sequence[str], columns: Columns) -> list[str]:
    required = [*columns.inputs, *columns.targets, *filter(None, (columns.label, columns.time))]
    for name in required:
        if name not in header:
            raise ConfigError(f"{path}, line 1: no column {name!r}: {nearest(name, header)}")
    return required


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{where}: {name} is {text!r}, expected a finite number")
    return value


def _word(text: str, name: str, where: str) -> str:
    if not text:
        raise ConfigError(f"{where}: {name} is empty, expected a class")
    return text


def _later(before: float, text: str, name: str, where: str) -> float:
    """Returns a time in seconds, or the number that stands for it."""
    try:
        now = float(text)
    except ValueError:
        try:
            now = datetime.fromisoformat(text).timestamp()
        except ValueError as error:
            raise ConfigError(
                f"{where}: {name} is {text!r}, expected a number or a date such as 2026-11-30"
            ) from error
    if not now > before:
        raise ConfigError(f"{where}: {name} {text!r} is not after the time of the row before")
    return now


def _place(line: int) -> bytes:
    return hashlib.blake2b(str(line).encode(), digest_size=8).digest()
