"""Documents of text files that are too large for memory.

A file is read in blocks. One pass over it counts its characters and marks where each block begins,
in bytes and in characters, so that later any character is found by a seek. The counts and marks are
kept in the user's cache directory. Line ends become "\\n", as in small files.
"""

import dataclasses
import gzip
import hashlib
import os
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from library.config import ConfigError
from library.data import kept_files, provenance

# Texts of more bytes than this, in all files, are not held in memory. A gzipped file counts as much
# as it holds, roughly.
LARGE, _EXPANDS = 1 << 24, 4
# Bytes of a block, and roughly the characters of a piece.
BLOCK, PIECE = 1 << 20, 1 << 20
_BOM = b"\xef\xbb\xbf"
# Characters in which to look for a place to cut, at first.
_NEAR = 4096
_FORMAT = 1


class Marks(NamedTuple):
    """Where the blocks of a file begin.

    Attributes:
      characters: number of characters of the file.
      bytes: the place of each block in the file, uncompressed, in bytes, ascending.
      places: the place of each block in characters.
    """

    characters: int
    bytes: tuple[int, ...]
    places: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LargeDocument:
    """The characters of a text file from `start` up to, but without, `stop`; picklable."""

    path: Path
    marks: Marks = dataclasses.field(repr=False)
    start: int
    stop: int

    @property
    def length(self) -> int:
        """The number of characters."""
        return self.stop - self.start

    @property
    def text(self) -> str:
        """The whole text, read from the file."""
        return self.read(0, self.length)

    @property
    def can_seek(self) -> bool:
        """Whether a later part can be read without all that comes before it."""
        return not _is_gzipped(self.path)

    def part(self, first: int, last: int) -> "LargeDocument":
        """Returns the document of some of its characters."""
        return dataclasses.replace(self, start=self.start + first, stop=self.start + last)

    def read(self, first: int, last: int) -> str:
        """Reads some of its characters."""
        return "".join(self.part(first, last).blocks())

    def blocks(self) -> Iterator[str]:
        """Yields its text in order, about a block at a time."""
        number = bisect_right(self.marks.places, self.start) - 1
        place = self.marks.places[number] if number >= 0 else 0
        for _, text in _blocks(self.path, self.marks.bytes[number] if number >= 0 else 0):
            if place >= self.stop:
                return
            found = text[max(self.start - place, 0) : self.stop - place]
            place += len(text)
            if found:
                yield found


def is_large(paths: Iterable[Path]) -> bool:
    """Tells whether text files are too large for memory."""
    found = ((os.path.getsize(path), path) for path in paths if path.is_file())
    return sum(size * (_EXPANDS if _is_gzipped(path) else 1) for size, path in found) > LARGE


def open_documents(paths: Sequence[Path]) -> tuple[LargeDocument, ...]:
    """Opens UTF-8 files, gzipped if their names end in ".gz".

    Raises:
      ConfigError: a file cannot be read, or is not UTF-8; the message names the wrong byte.
    """
    # A text that was just written is worth two seconds: it is indexed and encoded once.
    provenance.wait(paths)
    known = _known("marks", paths, BLOCK)

    def make() -> list[Marks]:
        kept_files.tell(f"counting the characters of {_named(paths)}")
        return [_marks(path) for path in paths]

    found = kept_files.values("texts", known, make, "index of a text")
    every = [Marks(*each) for each in found]
    return tuple(LargeDocument(p, each, 0, each.characters) for p, each in zip(paths, every))


def digests(documents: Sequence[LargeDocument]) -> list[str]:
    """Returns the SHA-256 of the text of each document in UTF-8; they are kept."""
    parts = [(each.start, each.stop) for each in documents]
    known = _known("digests", [each.path for each in documents], parts)
    return kept_files.values(
        "texts", known, lambda: [_digest(each) for each in documents], "hashes of a text"
    )


def cut_at(document: LargeDocument, place: int, cut: Callable[[str, int], int]) -> int:
    """Returns the first place from `place` on at which a document can be cut.

    Its begin and its end are such places.

    Args:
      document: the document.
      place: a number of characters.
      cut: see `Tokenizer.cut`.
    """
    if place <= 0:
        return 0
    near, end = _NEAR, place
    while end < document.length:
        end = min(place - 1 + near, document.length)
        found = cut(document.read(place - 1, end), 1)
        if found >= 0:
            return place - 1 + found
        near *= 4
    return document.length


def pieces(document: LargeDocument, cut: Callable[[str, int], int]) -> Iterator[str]:
    """Yields a document in order, in pieces of about `PIECE` characters.

    Args:
      document: the document.
      cut: see `Tokenizer.cut`.
    """
    held, tried = "", PIECE
    for text in document.blocks():
        held += text
        while len(held) > tried:
            place = cut(held, tried)
            if place < 0:
                # A text without such places is searched from where the search ended.
                tried = len(held)
            else:
                yield held[:place]
                held, tried = held[place:], PIECE
    if held:
        yield held


def _known(what: str, paths: Sequence[Path], more: Any) -> list | None:
    """Returns what values of text files follow from; None if a file may change unnoticed."""
    try:
        return [what, _FORMAT, provenance.states(map(str, paths)), more]
    except (provenance.UnknownError, OSError):
        return None


def _named(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _digest(document: LargeDocument) -> str:
    found = hashlib.sha256()
    for text in document.blocks():
        found.update(text.encode())
    return found.hexdigest()


def _marks(path: Path) -> Marks:
    found, characters = [], 0
    for place, text in _blocks(path, 0):
        found.append((place, characters))
        characters += len(text)
    return Marks(characters, *map(tuple, zip(*found))) if found else Marks(0, (), ())


def _blocks(path: Path, start: int) -> Iterator[tuple[int, str]]:
    """Yields the place in bytes and the text of each block, from a mark on.

    Raises:
      ConfigError: see `open_documents`.
    """
    place, rest, ended = start, b"", False
    try:
        with _opened(path) as file:
            file.seek(start)
            while not ended:
                read = file.read(BLOCK)
                data, ended = rest + read, not read
                if place == 0 and data.startswith(_BOM):
                    place, data = len(_BOM), data[len(_BOM) :]
                whole = len(data) if ended else _whole(data)
                if whole:
                    yield place, _decoded(path, place, data[:whole])
                place, rest = place + whole, data[whole:]
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} is not a readable text file: {error}") from error


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if _is_gzipped(path) else path.open("rb")


def _is_gzipped(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _decoded(path: Path, place: int, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        raise ConfigError(
            f"{path} is not UTF-8: byte {place + error.start} is 0x{wrong:02x}"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _whole(data: bytes) -> int:
    """Returns the number of bytes before a character or a line end that the block may cut."""
    end = len(data)
    # The last character has at most four bytes; those after the first are 0b10......
    for back in range(1, min(4, end) + 1):
        byte = data[end - back]
        if byte & 0xC0 != 0x80:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            end -= back if needed > back else 0
            break
    return end - 1 if end and data[end - 1 : end] == b"\r" else end
