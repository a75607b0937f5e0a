"""Hashes of files' contents, remembered by size and times in the user's cache directory.

Without a cache directory that can be written to, files are read each time.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# Nanoseconds: a file may change again within one tick of a file system's clock.
_SETTLED = 2_000_000_000
_MOST = 4096


def content_hashes(root: Path, paths: Sequence[str]) -> list[str | None]:
    """Returns the SHA-256 of files, hexadecimal, in their order; None for what cannot be read.

    A file whose size and times (of its content, and of its entry) are those of the last call is not
    read again.

    Args:
      root: a directory, whose hashes are remembered together.
      paths: of the files, relative to it.
    """
    memory = _memory(root)
    known = _recall(memory)
    found, fresh = [], {}
    for path in paths:
        try:
            stat = os.stat(root / path)
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            if known.get(path, [])[:-1] != state:
                known[path] = [*state, _hash(root / path)]
                if time.time_ns() - max(state[1:]) > _SETTLED:
                    fresh[path] = known[path]
            found.append(known[path][-1])
        except OSError:
            found.append(None)
    if fresh:
        _remember(memory, fresh)
    return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _memory(root: Path) -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    name = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:32]
    return Path(caches) / "compendium" / "content_hashes" / f"{name}.json"


def _recall(memory: Path) -> dict[str, list]:
    # A damaged memory counts as empty.
    try:
        known = json.loads(memory.read_bytes())
        sound = all(len(held) == 4 and isinstance(held[-1], str) for held in known.values())
        return known if sound else {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _remember(memory: Path, fresh: dict[str, list]) -> None:
    """Adds hashes to those on disk. Of two processes that write at once, the last one wins."""
    others = {path: held for path, held in _recall(memory).items() if path not in fresh}
    kept = dict([*others.items(), *fresh.items()][-_MOST:])
    # A home that cannot be written to costs time, and nothing else.
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=memory.parent)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(kept, file)
            os.replace(partial, memory)
        finally:
            Path(partial).unlink(missing_ok=True)
