"""Your own text as a dataset: a file, or a directory of files; each file is a document."""

import dataclasses
import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from library import files
from library.config import ConfigError
from library.data import large_texts, splits
from library.data.large_texts import LargeDocument

SUFFIXES = (".txt", ".txt.gz")
SPLITS = ("train", "val", "valid", "validation", "test")
TRAIN_SHARE = 0.9


class Document(NamedTuple):
    """The text of a file, or a part of it that begins at character `start`, and the file's path."""

    path: Path
    text: str
    start: int = 0

    @property
    def length(self) -> int:
        """The number of characters."""
        return len(self.text)

    def part(self, first: int, last: int) -> "Document":
        """Returns the document of some of its characters."""
        return Document(self.path, self.text[first:last], self.start + first)


AnyDocument = Document | LargeDocument


@dataclasses.dataclass(frozen=True)
class Documents:
    """The examples `{"text": str}` of documents, one per document.

    Large documents are read when they are asked for, see `library.data.large_texts`.
    """

    documents: tuple[AnyDocument, ...]

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, row: int) -> dict:
        if not 0 <= row < len(self.documents):
            raise IndexError(f"row {row} of {len(self.documents)}")
        return {"text": self.documents[row].text}

    def describe(self, row: int) -> str:
        """Returns the path of a row's document, and the character at which the row begins."""
        path, start = self.documents[row].path, self.documents[row].start
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


def scan(path: Path) -> Mapping[str, tuple[AnyDocument, ...]]:
    """Reads a text file, or a directory of text files, and returns its documents by split.

    In a directory, splits are the files or directories train, val, valid, validation and test:
    `train.txt` and `test.txt`, or `train/a.txt`, `train/b/c.txt`, ... In a single file, or a
    directory without any of these, the first 90 % of the characters are "train" and the rest is
    "test". Files end in .txt or .txt.gz. Names of splits and ends of names may be in lower or upper
    case. A split has its file first and then the files of its directory, in the order of their
    paths, each once, even if several links lead to it. A file that links make a part of two splits
    is read for both. Hidden files and all other files are skipped; `notes` lists all this.
    Texts that are too large for memory are only counted.

    Raises:
      ConfigError: the path does not exist, cannot be read, has no text, or has a file that is not
        UTF-8.
    """
    with files.listing("text"):
        if path.is_file():
            return _halved(_documents([path]), path)
        if not path.is_dir():
            raise ConfigError(f"text: no such file or directory: {path}")
        listed = _listed(path)
    if "all" in listed:
        return _halved(_documents(listed["all"]), path)
    every = [path for paths in listed.values() for path in paths]
    opened = dict(zip(every, _documents(every)))
    return {split: tuple(opened[path] for path in paths) for split, paths in listed.items()}


def notes(path: Path) -> tuple[str, ...]:
    """Returns lines on what `scan` skips in a directory of text, and on files of two splits.

    Raises:
      ConfigError: a directory cannot be read.
    """
    if not path.is_dir():
        return ()
    with files.listing("text"):
        read = {split: set(map(files.identity, held)) for split, held in _listed(path).items()}
        tree = files.below(path)
    others = [file for own, file in tree.files.items() if own not in set().union(*read.values())]
    kinds = (
        (others, "not text, or outside the splits"),
        (tree.hidden, "hidden"),
        (tree.repeated, "already read under another path"),
    )
    skipped = (
        f"{len(paths)} of the files and directories in {path} are skipped ({why}): "
        f"{files.shown(paths, path)}"
        for paths, why in kinds
        if paths
    )
    return (*skipped, *splits.shared(read, "texts"))


def take(
    documents: Mapping[str, Sequence[AnyDocument]], parts: Sequence[splits.Part]
) -> tuple[AnyDocument, ...]:
    """Returns the documents of parts of splits, cut where a part, in characters, cuts them."""
    chosen = []
    for split, start, stop in parts:
        place = 0
        for document in documents[split]:
            first, last = max(start - place, 0), min(stop - place, document.length)
            if first < last:
                chosen.append(document.part(first, last))
            place += document.length
    return tuple(chosen)


def sizes(documents: Mapping[str, Sequence[AnyDocument]]) -> dict[str, int]:
    """Returns the number of characters of each split."""
    return {split: sum(document.length for document in held) for split, held in documents.items()}


def _halved(documents: Sequence[AnyDocument], path: Path) -> Mapping[str, tuple[AnyDocument, ...]]:
    total = sum(document.length for document in documents)
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


def _documents(paths: Sequence[Path]) -> tuple[AnyDocument, ...]:
    if large_texts.is_large(paths):
        return large_texts.open_documents(paths)
    return tuple(Document(path, read(path)) for path in paths)


def _listed(root: Path) -> dict[str, list[Path]]:
    """Lists the text files of a directory by split, or as "all" if it has no splits."""
    named = _named(root)
    tops = [path for held in named.values() for path in held if path.is_dir()]
    known = {files.identity(path) for path in (root, *tops)}
    found = {split: _split_files(held, known) for split, held in named.items()}
    listed = {split: held for split, held in found.items() if held}
    return listed or {"all": sorted(_texts(root, set()).values())}


def _named(root: Path) -> dict[str, list[Path]]:
    """Lists the text files and the directories that have the name of a split, by split."""
    names = {f"{split}{suffix}": split for split in SPLITS for suffix in SUFFIXES}
    found: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for path in sorted(root.iterdir()):
        name = path.name.lower()
        if name in names and path.is_file():
            found[names[name]].append(path)
        elif name in SPLITS and path.is_dir():
            found[name].append(path)
    return found


def _split_files(named: Sequence[Path], known: set[files.Identity]) -> list[Path]:
    """Lists the text files of a split, each once: those of its name, then those below it."""
    own, found = [path for path in named if not path.is_dir()], {}
    for directory in (path for path in named if path.is_dir()):
        found |= _texts(directory, known)
    # A link gives way to the file itself.
    for path in sorted(own, key=lambda path: (path.is_symlink(), path)):
        found.setdefault(files.identity(path), path)
    return sorted(found.values(), key=lambda path: (path not in own, path))


def _texts(directory: Path, known: set[files.Identity]) -> dict[files.Identity, Path]:
    found = files.below(directory, known).files
    return {own: Path(path) for own, path in found.items() if path.lower().endswith(SUFFIXES)}


def _endings() -> str:
    return " or ".join(SUFFIXES)
