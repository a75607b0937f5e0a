"""The tokens of a large text in a file that is mapped into memory.

The file has the tokens, the number of tokens of each document, and last a description of both. It
is written in jobs, in order. A journal beside the unfinished file says which jobs are done, so a
start after a kill continues behind them. A lock on the unfinished file makes other processes wait.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from library import files
from library.config import ConfigError
from library.data import kept_files
from library.data.encoding import Encoded, Job

_MAGIC, _FORMAT = b"TOKENS\x01\n", 1
# A description ends with its own length and `_MAGIC`.
_TAIL = 16
# Seconds between lines on the progress.
_TOLD_EVERY = 10.0


@dataclasses.dataclass(frozen=True)
class MappedTokens:
    """The tokens of a file, int32 when they are read; picklable.

    Attributes:
      path: the file.
      dtype: the dtype of the tokens in the file.
      count: the number of tokens.
      inode: the file that has this path; another file with it is mapped anew.
    """

    path: Path
    dtype: str
    count: int
    inode: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: slice) -> np.ndarray:
        return _mapped(self.path, self.dtype, self.count, self.inode)[places].astype(np.int32)


class Work(NamedTuple):
    """A text to encode.

    Attributes:
      name: its name, for messages.
      documents: the number of its documents.
      dtype: the dtype of its tokens in a file, see `dtype`.
      jobs: its parts, in order.
      encode: some of the jobs -> the result of each, in order.
    """

    name: str
    documents: int
    dtype: str
    jobs: Sequence[Job]
    encode: Callable[[Sequence[Job]], Iterator[Encoded]]


class Kept(NamedTuple):
    """The tokens of a text, and the number of tokens of each document, int64 `(d,)`."""

    tokens: MappedTokens
    lengths: np.ndarray


def dtype(vocab_size: int) -> str:
    """Returns the dtype of tokens in a file."""
    return "<u2" if vocab_size <= 2**16 else "<i4"


def read(path: Path) -> Kept:
    """Opens a finished file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        file.seek(max(size - _TAIL, 0))
        tail = file.read()
        length = int.from_bytes(tail[:8], "little")
        if len(tail) < _TAIL or tail[8:] != _MAGIC or length > size - _TAIL:
            raise ValueError("its end is missing")
        file.seek(size - _TAIL - length)
        known = json.loads(file.read(length))
        place = _aligned(known["tokens"] * np.dtype(known["dtype"]).itemsize)
        if known["format"] != _FORMAT or place + 8 * known["documents"] + length + _TAIL != size:
            raise ValueError(f"it has {size:,} bytes, which are not those of {known}")
        file.seek(place)
        lengths = np.fromfile(file, "<i8", known["documents"])
    if lengths.sum() != known["tokens"]:
        raise ValueError("the lengths of its documents are wrong")
    inode = os.stat(path).st_ino
    return Kept(MappedTokens(path, known["dtype"], known["tokens"], inode), lengths)


def write(path: Path, work: Work) -> bool:
    """Writes the tokens of a text, or waits until another process has written them.

    Args:
      path: path of the finished file.
      work: the text.

    Returns:
      Whether there is a file now; the cache directory may not be writable.

    Raises:
      ConfigError: the tokens need more than the limit of kept files or than the disk has. Errors of
        `work.encode` pass.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(path, work.name)
    except OSError:
        return False
    if file is None:
        return True
    with file:
        try:
            done = _resume(file, _journal(path), work)
            _finish(file, _append(file, _journal(path), work, done), work.dtype)
            os.replace(_partial(path), path)
        except OSError as error:
            raise ConfigError(f"the tokens of {work.name} cannot be encoded: {error}") from error
    _journal(path).unlink(missing_ok=True)
    return True


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}{kept_files.PARTIAL}")


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}.journal{kept_files.PARTIAL}")


def _locked(path: Path, name: str) -> BinaryIO | None:
    """Opens the unfinished file for this process alone; None once the file is finished."""
    while True:
        file = _partial(path).open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            kept_files.tell(f"another process encodes {name}; waiting for its tokens")
            fcntl.flock(file, fcntl.LOCK_EX)
        if path.is_file():
            with contextlib.suppress(FileNotFoundError):
                # It is the empty one that was opened above, or else the finished one is open.
                if os.path.samestat(os.fstat(file.fileno()), os.stat(_partial(path))):
                    _partial(path).unlink()
            file.close()
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(_partial(path))):
                return file
        file.close()


class _Done(NamedTuple):
    """What is done: the number of jobs, the bytes, their checksum, and the journal's lines."""

    jobs: int
    bytes: int
    crc: int
    counts: list[tuple[int, int]]
    lines: list[str]


def _resume(file: BinaryIO, journal: Path, work: Work) -> _Done:
    """Returns what an earlier start has done, and removes what it has done by half."""
    header = json.dumps({"format": _FORMAT, "work": zlib.crc32(repr(work.jobs).encode())})
    done = _read_journal(journal, header)
    if _crc(file, done.bytes) != done.crc:
        done = _Done(0, 0, 0, [], [header])
    file.truncate(done.bytes)
    file.seek(0, os.SEEK_END)
    files.write(journal, "\n".join(done.lines) + "\n")
    return done


def _read_journal(journal: Path, header: str) -> _Done:
    last, counts, lines = (0, 0, 0), [], [header]
    try:
        first, *written = journal.read_text().split("\n")
        for line in written if first == header else ():
            *last, found = json.loads(line)
            counts += map(tuple, found)
            lines.append(line)
    except (OSError, ValueError):
        # The last line is empty, or it is written by half.
        pass
    return _Done(*last, counts, lines)


def _crc(file: BinaryIO, size: int) -> int:
    """Returns the checksum of the first bytes of a file; -1 if it is shorter."""
    file.seek(0)
    crc = 0
    while size and (read := file.read(min(size, 1 << 24))):
        crc, size = zlib.crc32(read, crc), size - len(read)
    return -1 if size else crc


def _append(file: BinaryIO, journal: Path, work: Work, done: _Done) -> np.ndarray:
    """Writes the tokens of the remaining jobs; returns the number of tokens of each document."""
    lengths = np.zeros(work.documents, "<i8")
    told, size, crc = _Progress(work, done.jobs), done.bytes, done.crc
    for row, count in done.counts:
        lengths[row] += count
    with journal.open("a") as written:
        for number, found in enumerate(work.encode(work.jobs[done.jobs :]), done.jobs + 1):
            data = found.tokens.astype(work.dtype).tobytes()
            file.write(data)
            # The tokens are in the file before the journal says so.
            file.flush()
            size, crc = size + len(data), zlib.crc32(data, crc)
            written.write(json.dumps([number, size, crc, found.counts]) + "\n")
            written.flush()
            for row, count in found.counts:
                lengths[row] += count
            told.update(number, size)
    return lengths


def _finish(file: BinaryIO, lengths: np.ndarray, kind: str) -> None:
    count = int(lengths.sum())
    size = count * np.dtype(kind).itemsize
    known = {"format": _FORMAT, "dtype": kind, "tokens": count, "documents": len(lengths)}
    description = json.dumps(known).encode()
    file.write(bytes(_aligned(size) - size))
    file.write(lengths.tobytes())
    file.write(description + len(description).to_bytes(8, "little") + _MAGIC)
    file.flush()
    os.fsync(file.fileno())


class _Progress:
    """Tells how far the encoding is, and refuses what will not fit."""

    def __init__(self, work: Work, done: int):
        """Begins after the jobs that are done."""
        self._name, self._jobs, self._first = work.name, work.jobs, done
        self._all = sum(job.weight for job in work.jobs)
        self._begun = self._weight = sum(job.weight for job in work.jobs[:done])
        self._started = self._told = time.monotonic()
        self._checked = False
        if done:
            kept_files.tell(f"{self._name}: {self._share():.0%} are encoded already")

    def update(self, number: int, size: int) -> None:
        """Counts the job of a number, from 1, after which the file has `size` bytes."""
        self._weight += self._jobs[number - 1].weight
        if not self._checked and (self._share() > 0.01 or number >= self._first + 16):
            self._checked = True
            _check_room(self._name, size, round(size / max(self._share(), 1e-9)))
        now = time.monotonic()
        if now - self._told >= _TOLD_EVERY:
            self._told = now
            pace = (self._weight - self._begun) / (now - self._started)
            left = (self._all - self._weight) / max(pace, 1e-9)
            kept_files.tell(
                f"{self._name}: {self._share():.0%} are encoded, {left / 60:.1f} minutes left"
            )

    def _share(self) -> float:
        return self._weight / self._all if self._all else 1.0


def _check_room(name: str, written: int, size: int) -> None:
    """Raises ConfigError if a file of `size` bytes, `written` of them there, will not fit."""
    needed = f"the tokens of {name} need about {size / 1e9:.2g} GB"
    if size > kept_files.limit():
        raise ConfigError(
            f"{needed}, and {kept_files.LIMIT}={kept_files.limit() / 1e9:g} is the limit of all "
            f"kept files: set {kept_files.LIMIT}={np.ceil(1.2 * size / 1e9):g} or more"
        )
    kept_files.make_room(size - written)
    folder = kept_files.cache_directory()
    free = shutil.disk_usage(folder).free
    if size - written > free:
        raise ConfigError(
            f"{needed}, and the disk of {folder} has {free / 1e9:.2g} GB: set XDG_CACHE_HOME to a "
            "directory on another disk"
        )


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


@functools.lru_cache(maxsize=16)
def _mapped(path: Path, kind: str, count: int, inode: int) -> np.ndarray:
    return np.memmap(path, kind, "r", shape=(count,))
