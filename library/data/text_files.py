"""Text of one's own as a data set: a file, or a directory of files, each of them a document."""

import dataclasses
import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from library import files
from library.config import ConfigError
from library.data import splits

SUFFIXES = (".txt", ".txt.gz")
SPLITS = ("train", "val", "valid", "validation", "test")
TRAIN_SHARE = 0.9


class Document(NamedTuple):
    """A text, or the part of it from character `start` on, and where it is from."""

    path: Path
    text: str
    start: int = 0


@dataclasses.dataclass(frozen=True)
class Documents:
    """Documents as records `{"text": str}`."""

    documents: tuple[Document, ...]

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, row: int) -> dict:
        if not 0 <= row < len(self.documents):
            raise IndexError(f"row {row} of {len(self.documents)}")
        return {"text": self.documents[row].text}

    def describe(self, row: int) -> str:
        """Returns the path of a row's document, and where in it the row begins."""
        path, _, start = self.documents[row]
        return f"{path}, from character {start} on" if start else str(path)


def read(path: Path) -> str:
    """Reads a file of UTF-8, gzipped if its name says so; line ends become "\\n".

    Raises:
      ConfigError: it cannot be read, or is not UTF-8; the message says where.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix.lower() == ".gz" else data
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        raise ConfigError(f"{path} is not UTF-8: byte {error.start} is 0x{wrong:02x}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} is not a readable text file: {error}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def cut(length: int) -> int:
    """Returns how many of `length` characters are to train on where a text has no splits.

    The convention of char-rnn and nanoGPT for Tiny Shakespeare: the first int(0.9 n).
    """
    return int(length * TRAIN_SHARE)


def scan(path: Path) -> Mapping[str, tuple[Document, ...]]:
    """Reads a text file, or a directory of text files, as documents by split.

    In a directory, splits are the files or directories train, val, valid, validation and test:
    `train.txt` and `test.txt`, or `train/a.txt`, `train/b/c.txt`, ...; in a directory without any
    of these, and for a single file, the first 90 % of the characters are "train" and the rest is
    "test". Files end in .txt or .txt.gz, in small letters or capitals, and are taken in the order
    of their paths, each of them once, whatever links lead to it. Hidden ones, and all others, are
    passed over, see `notes`.

    Raises:
      ConfigError: there is no such path, no text in it, or a file that is not UTF-8.
    """
    if path.is_file():
        return _halved([Document(path, read(path))], path)
    if not path.is_dir():
        raise ConfigError(f"text: there is no file or directory {path}")
    try:
        listed = _listed(path)
    except OSError as error:
        raise ConfigError(f"text: {error.filename} cannot be read: {error.strerror}") from error
    if "all" in listed:
        return _halved(_documents(listed["all"]), path)
    return {split: _documents(files) for split, files in listed.items()}


def notes(path: Path) -> tuple[str, ...]:
    """Returns lines on what in a directory of text `scan` passes over."""
    if not path.is_dir():
        return ()
    read = {files.identity(file) for held in _listed(path).values() for file in held}
    tree = files.below(path)
    others = [file for own, file in tree.files.items() if own not in read]
    kinds = ((others, "not read"), (tree.hidden, "hidden"), (tree.repeated, "read once already"))
    return tuple(
        f"{len(paths)} of the files and directories in {path} are passed over, as they are {why}: "
        f"{files.shown(paths, path)}"
        for paths, why in kinds
        if paths
    )


def take(
    documents: Mapping[str, Sequence[Document]], parts: Sequence[splits.Part]
) -> tuple[Document, ...]:
    """Returns parts of splits, which are counted in characters; documents may be cut."""
    chosen = []
    for split, start, stop in parts:
        place = 0
        for path, text, offset in documents[split]:
            first, last = max(start - place, 0), min(stop - place, len(text))
            if first < last:
                chosen.append(Document(path, text[first:last], offset + first))
            place += len(text)
    return tuple(chosen)


def sizes(documents: Mapping[str, Sequence[Document]]) -> dict[str, int]:
    """Returns the number of characters of each split."""
    return {
        split: sum(len(document.text) for document in held) for split, held in documents.items()
    }


def _halved(documents: Sequence[Document], path: Path) -> Mapping[str, tuple[Document, ...]]:
    total = sum(len(document.text) for document in documents)
    if total < 2:
        raise ConfigError(f"text: {path} holds no text to split (files end in {_endings()})")
    whole = {"all": documents}
    return {
        "train": take(whole, [splits.Part("all", 0, cut(total))]),
        "test": take(whole, [splits.Part("all", cut(total), total)]),
    }


def _documents(files: Sequence[Path]) -> tuple[Document, ...]:
    return tuple(Document(path, read(path)) for path in files)


def _listed(root: Path) -> dict[str, list[Path]]:
    """Lists the files of a directory by split, or as "all" where it has no splits."""
    known = {
        files.identity(path)
        for path in (root, *(root / split for split in SPLITS))
        if path.is_dir()
    }
    found = {split: _split_files(root, split, known) for split in SPLITS}
    listed = {split: held for split, held in found.items() if held}
    return listed or {"all": _files(root, set())}


def _split_files(root: Path, split: str, known: set[files.Identity]) -> list[Path]:
    names = [f"{split}{suffix}" for suffix in SUFFIXES]
    held = sorted(path for path in root.iterdir() if path.name.lower() in names and path.is_file())
    return held + (_files(root / split, known) if (root / split).is_dir() else [])


def _files(directory: Path, known: set[files.Identity]) -> list[Path]:
    found = files.below(directory, known).files.values()
    return sorted(Path(path) for path in found if path.lower().endswith(SUFFIXES))


def _endings() -> str:
    return " or ".join(SUFFIXES)
