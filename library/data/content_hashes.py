"""Hashes of file contents, cached in the user's cache directory.

A cached hash is valid while the file's size and times are the same. If the cache directory is not
writable, every call reads the files.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# Nanoseconds that a file must be old to be cached: it may change again within one tick of the file
# system's clock.
_MIN_AGE = 2_000_000_000
_MAX_ENTRIES = 4096


def content_hashes(root: Path, paths: Sequence[str]) -> list[str | None]:
    """Returns the hexadecimal SHA-256 of each file, or None for a file that cannot be read.

    A file is not read again if its size, mtime and ctime are those of the cached hash.

    Args:
      root: a directory; one cache file holds all its hashes.
      paths: paths of the files, relative to `root`.
    """
    cache = _cache_file(root)
    known = _load(cache)
    found, fresh = [], {}
    for path in paths:
        try:
            stat = os.stat(root / path)
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            if known.get(path, [])[:-1] != state:
                known[path] = [*state, _hash(root / path)]
                if time.time_ns() - max(state[1:]) > _MIN_AGE:
                    fresh[path] = known[path]
            found.append(known[path][-1])
        except OSError:
            found.append(None)
    if fresh:
        _save(cache, fresh)
    return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_directory() -> Path:
    """Returns the project's directory in the user's cache directory; it may not exist."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(caches) / "compendium"


def _cache_file(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:32]
    return cache_directory() / "content_hashes" / f"{name}.json"


def _load(cache: Path) -> dict[str, list]:
    # A damaged cache counts as empty.
    try:
        known = json.loads(cache.read_bytes())
        valid = all(len(entry) == 4 and isinstance(entry[-1], str) for entry in known.values())
        return known if valid else {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _save(cache: Path, fresh: dict[str, list]) -> None:
    """Adds hashes to the cache file. If two processes write at once, the last one wins."""
    others = {path: entry for path, entry in _load(cache).items() if path not in fresh}
    kept = dict([*others.items(), *fresh.items()][-_MAX_ENTRIES:])
    # Without a writable cache the next call reads the files again; nothing else is lost.
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=cache.parent)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(kept, file)
            os.replace(partial, cache)
        finally:
            Path(partial).unlink(missing_ok=True)
