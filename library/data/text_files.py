"""Your own text as a dataset: a file, or a directory of files; each file is a document."""

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
    """The text of a file, or a part of it that begins at character `start`, and the file's path."""

    path: Path
    text: str
    start: int = 0


@dataclasses.dataclass(frozen=True)
class Documents:
    """The examples `{"text": str}` of documents, one per document."""

    documents: tuple[Document, ...]

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, row: int) -> dict:
        if not 0 <= row < len(self.documents):
            raise IndexError(f"row {row} of {len(self.documents)}")
        return {"text": self.documents[row].text}

    def describe(self, row: int) -> str:
        """Returns the path of a row's document, and the character at which the row begins."""
        path, _, start = self.documents[row]
        return f"{path}, from character {start} on" if start else str(path)


def read(path: Path) -> str:
    """Reads a UTF-8 file, gzipped if its name ends in ".gz"; line ends become "\\n".

    Raises:
      ConfigError: the file cannot be read, or is not UTF-8; the message names the wrong byte.
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
    """Returns the number of training characters in a text of `length` characters without splits.

    It is int(0.9 n), the convention of char-rnn and nanoGPT for Tiny Shakespeare.
    """
    return int(length * TRAIN_SHARE)


def scan(path: Path) -> Mapping[str, tuple[Document, ...]]:
    """Reads a text file, or a directory of text files, and returns its documents by split.

    In a directory, splits are the files or directories train, val, valid, validation and test:
    `train.txt` and `test.txt`, or `train/a.txt`, `train/b/c.txt`, ... In a single file, or a
    directory without any of these, the first 90 % of the characters are "train" and the rest is
    "test". Files end in .txt or .txt.gz, in lower or upper case. They are read in the order of
    their paths, each once, even if several links lead to it. Hidden files and all other files are
    skipped; `notes` lists them.

    Raises:
      ConfigError: the path does not exist, has no text, or has a file that is not UTF-8.
    """
    if path.is_file():
        return _halved([Document(path, read(path))], path)
    if not path.is_dir():
        raise ConfigError(f"text: no such file or directory: {path}")
    try:
        listed = _listed(path)
    except OSError as error:
        raise ConfigError(f"text: {error.filename} cannot be read: {error.strerror}") from error
    if "all" in listed:
        return _halved(_documents(listed["all"]), path)
    return {split: _documents(files) for split, files in listed.items()}


def notes(path: Path) -> tuple[str, ...]:
    """Returns lines on the files and directories that `scan` skips in a directory of text."""
    if not path.is_dir():
        return ()
    read = {files.identity(file) for held in _listed(path).values() for file in held}
    tree = files.below(path)
    others = [file for own, file in tree.files.items() if own not in read]
    kinds = (
        (others, "not text, or outside the splits"),
        (tree.hidden, "hidden"),
        (tree.repeated, "already read under another path"),
    )
    return tuple(
        f"{len(paths)} of the files and directories in {path} are skipped ({why}): "
        f"{files.shown(paths, path)}"
        for paths, why in kinds
        if paths
    )


def take(
    documents: Mapping[str, Sequence[Document]], parts: Sequence[splits.Part]
) -> tuple[Document, ...]:
    """Returns the documents of parts of splits, cut where a part, in characters, cuts them."""
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
        raise ConfigError(
            f"text: {path} has fewer than 2 characters of text (names of text files end in "
            f"{_endings()})"
        )
    whole = {"all": documents}
    return {
        "train": take(whole, [splits.Part("all", 0, cut(total))]),
        "test": take(whole, [splits.Part("all", cut(total), total)]),
    }


def _documents(files: Sequence[Path]) -> tuple[Document, ...]:
    return tuple(Document(path, read(path)) for path in files)


def _listed(root: Path) -> dict[str, list[Path]]:
    """Lists the text files of a directory by split, or as "all" if it has no splits."""
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
