"""Files that a later start reads instead of making them again, in the user's cache directory.

The name of a kept file is a hash of all that it follows from. Each kind of file has a directory of
its own. `COMPENDIUM_CACHE_GB` is the most that all kept files may take, 10 GB by default; 0 keeps
none. The files that have been unused for longest are removed first.

A file is written under another name and then renamed. A damaged file is set aside under the ending
`.damaged` and made again. Where the cache directory is not writable, nothing is kept.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from library.config import ConfigError
from library.data.content_hashes import cache_directory

LIMIT = "COMPENDIUM_CACHE_GB"
_USUAL_LIMIT = "10"
# The directories whose files share the limit. Others, such as compiled programs, do not count.
KINDS = ("decoded_splits", "fitted", "texts", "tokens")
# A file that is still written is not removed; after a day its writer counts as dead.
PARTIAL = ".partial"
_DEAD_AFTER = 86_400

T = TypeVar("T")


def tell(line: str) -> None:
    """Shows a line to the user where a program has no better place for it yet."""
    print(line, file=sys.stderr, flush=True)


def limit() -> float:
    """Returns the most bytes of all kept files.

    Raises:
      ConfigError: the environment variable with the limit is no number of 0 or more.
    """
    given = os.environ.get(LIMIT) or _USUAL_LIMIT
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not found >= 0:
        raise ConfigError(f"{LIMIT}={given!r}: valid are numbers of 0 or more, such as 10 or 0.5")
    return found * 1e9


def place(kind: str, known: Any, suffix: str) -> Path | None:
    """Returns the path of the kept file that follows from `known`; None if nothing is kept.

    Args:
      kind: one of `KINDS`.
      known: all that the file follows from, as values that JSON can write.
      suffix: the ending of the file's name.

    Raises:
      ConfigError: see `limit`.
    """
    folder = cache_directory()
    # Without a home there is no absolute path.
    if not limit() or not folder.is_absolute():
        return None
    name = hashlib.sha256(json.dumps(known).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return folder / kind / f"{name}{suffix}"


def read(
    path: Path, load: Callable[[Path], T], what: str, say: Callable[[str], None] = tell
) -> T | None:
    """Reads a kept file; a damaged one is set aside, and `say` is told.

    Args:
      path: its path.
      load: reads the file, and raises any exception if it is damaged.
      what: what the file holds, for the message.
      say: a function that is called with each line for the user.

    Returns:
      What `load` returns; None if there is no such file, or if it is damaged.
    """
    try:
        found = load(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        # A damaged file raises errors of many kinds, such as MemoryError for a wrong shape.
        aside = path.with_suffix(".damaged")
        with contextlib.suppress(OSError):
            os.replace(path, aside)
        say(
            f"the kept {what} {path} is damaged ({error}): it is now {aside.name}, and is made "
            "again"
        )
        return None
    with contextlib.suppress(OSError):
        # The time of its last use, for `make_room`.
        os.utime(path)
    return found


def write(path: Path, size: int, save: Callable[[BinaryIO], None]) -> None:
    """Writes a kept file, atomically.

    A file above the limit is not written, and neither is one that would take more than half of the
    free space of the disk.

    Args:
      path: its path.
      size: its size in bytes, roughly.
      save: writes the content to an open file.
    """
    if size > limit():
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        make_room(size)
        if size > shutil.disk_usage(path.parent).free / 2:
            return
        # Several processes may write the same file at once, each under a name of its own.
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=PARTIAL)
        try:
            with os.fdopen(handle, "wb") as file:
                save(file)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def values(kind: str, known: Any, make: Callable[[], Any], what: str) -> Any:
    """Returns the plain values that `make` returns, as JSON gives them back, and keeps them.

    Args:
      kind: one of `KINDS`.
      known: all that the values follow from, see `place`; None if that is unknown: then the values
        are made each time.
      make: makes the values.
      what: what they are, for messages.

    Raises:
      ConfigError: a value is not finite; see also `limit`.
    """
    path = None if known is None else place(kind, known, ".json")
    held = None if path is None else read(path, _checked, what)
    if held is None:
        text = _strict(make(), what)
        held = [json.loads(text)]
        if path is not None:
            data = f"{_hash(text)}\n{text}".encode()
            write(path, len(data), lambda file: file.write(data))
    return held[0]


def _strict(made: Any, what: str) -> str:
    try:
        return json.dumps(made, allow_nan=False)
    except ValueError as error:
        raise ConfigError(
            f"the {what} has numbers that are not finite: look for NaN and infinity in the data"
        ) from error


def make_room(size: float) -> None:
    """Removes the files that have been unused for longest, until `size` more bytes are allowed."""
    held = sorted(_listed())
    total, most = sum(size for _, size, _ in held), limit() - size
    for changed, each, path in held:
        if total <= most:
            return
        if path.suffix == PARTIAL and time.time() - changed / 1e9 < _DEAD_AFTER:
            continue
        path.unlink(missing_ok=True)
        total -= each


def _listed() -> list[tuple[int, int, Path]]:
    """Lists time, size and path of the kept files."""
    found = []
    for folder in (cache_directory() / kind for kind in KINDS):
        for path in folder.iterdir() if folder.is_dir() else ():
            # Another process may remove it meanwhile.
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, path))
    return found


def _checked(path: Path) -> list:
    """Reads the values of a file, in a list because the values may be None."""
    found, _, text = path.read_text("utf-8").partition("\n")
    if found != _hash(text):
        raise ValueError("its checksum is wrong")
    return [json.loads(text)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
