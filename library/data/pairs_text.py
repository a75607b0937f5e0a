"""Your own pairs of texts: files with a line each for two languages or more, or a table of two.

A directory has a file for each split and language, `train.en`, `train.de`, `test.en`, ..., whose
lines of one number belong together; the features are then called `en` and `de`. Or it has tables,
`train.tsv`, `test.tsv`, of two columns without a header, `source` and `target`. Files may be
gzipped, with `.gz` after their name. A single table without splits gives its last 10 % as "test".
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from library.config import ConfigError
from library.data import text_files

SPLITS = ("train", "val", "valid", "validation", "test")
COLUMNS = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Column:
    """The texts of one feature in a split.

    Attributes:
      path: the file that they stand in, a line each.
      lines: the texts.
      start: the number of the first line, from 0, in the file.
    """

    path: Path
    lines: tuple[str, ...]
    start: int = 0

    @property
    def text(self) -> str:
        """All lines as one text, for a fingerprint."""
        return "\n".join(self.lines)

    @property
    def length(self) -> int:
        """The number of characters of `text`."""
        return len(self.text)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Examples of texts that belong together, `{"en": str, "de": str}`.

    Attributes:
      columns: the texts by feature, all of one length and from the same line on.
    """

    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).lines)

    def __getitem__(self, row: int) -> dict[str, str]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return {name: column.lines[row] for name, column in self.columns.items()}

    def describe(self, row: int) -> str:
        """Returns the file and the number of the line of a row."""
        column = next(iter(self.columns.values()))
        return f"{column.path}, line {column.start + row + 1}"

    def part(self, start: int, stop: int) -> "Pairs":
        """Returns the pairs from row `start` up to `stop`."""
        return Pairs(
            {
                name: Column(column.path, column.lines[start:stop], column.start + start)
                for name, column in self.columns.items()
            }
        )


def scan(path: Path) -> Mapping[str, Pairs]:
    """Reads the pairs of a directory, or of a single table, by split.

    Raises:
      ConfigError: the path does not exist or has no pairs; a split lacks a language that another
        has, or has a single one; files of a split differ in their number of lines; a line is empty,
        or a row of a table has not two columns; or a file is not UTF-8. The message names the file
        and the line.
    """
    if path.is_file():
        whole = _table(path)
        cut = text_files.cut(len(whole))
        if not 0 < cut < len(whole):
            raise ConfigError(f"{path}: {len(whole)} pairs are too few for a split 'test'")
        return {"train": whole.part(0, cut), "test": whole.part(cut, len(whole))}
    if not path.is_dir():
        raise ConfigError(f"pairs_text: no such file or directory: {path}")
    listed: dict[str, dict[str, Path]] = {}
    for file in sorted(path.iterdir()):
        split, _, kind = file.name.lower().removesuffix(".gz").partition(".")
        if file.is_file() and split in SPLITS and kind and "." not in kind:
            listed.setdefault(split, {})[kind] = file
    if not listed:
        raise ConfigError(
            f"pairs_text: {path} has no files such as train.en and train.de, or train.tsv"
        )
    found = {split: _pairs(split, files) for split, files in listed.items()}
    _check_languages(path, found)
    return found


def _pairs(split: str, files: Mapping[str, Path]) -> Pairs:
    if set(files) == {"tsv"}:
        return _table(files["tsv"])
    if "tsv" in files or len(files) < 2:
        names = ", ".join(path.name for path in files.values())
        raise ConfigError(
            f"pairs_text: split {split!r} has {names}: it needs a file for each of two languages "
            "or more, or a table alone"
        )
    columns = {name: Column(path, _lines(path)) for name, path in files.items()}
    sizes = {column.path.name: len(column.lines) for column in columns.values()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} has {size:,} lines" for name, size in sizes.items())
        raise ConfigError(
            f"pairs_text: {listed}: the last line that all have is line {min(sizes.values())}"
        )
    return Pairs(columns)


def _table(path: Path) -> Pairs:
    rows = [line.split("\t") for line in _lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) != len(COLUMNS):
            raise ConfigError(
                f"{path}, line {number} has {len(row)} columns: a table of pairs has 2, separated "
                "by a tab"
            )
        for name, text in zip(COLUMNS, row):
            if not text.strip():
                raise ConfigError(f"{path}, line {number}: the {name} is empty")
    texts = zip(*rows)
    return Pairs({name: Column(path, tuple(each)) for name, each in zip(COLUMNS, texts)})


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = tuple(text_files.read(path).removesuffix("\n").split("\n"))
    except ConfigError as error:
        cause = error.__cause__
        if not isinstance(cause, UnicodeDecodeError):
            raise
        number = cause.object[: cause.start].count(b"\n") + 1
        wrong = cause.object[cause.start]
        raise ConfigError(f"{path}, line {number} is not UTF-8: it has 0x{wrong:02x}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise ConfigError(f"{path}, line {number} is empty: every text has its line")
    return lines


def _check_languages(path: Path, found: Mapping[str, Pairs]) -> None:
    first, *others = found
    for split in others:
        here, there = sorted(found[split].columns), sorted(found[first].columns)
        if here != there:
            raise ConfigError(
                f"pairs_text: {path} has {', '.join(there)} in {first!r}, but {', '.join(here)} in "
                f"{split!r}"
            )
