"""A cache directory of a test's own, in which later starts find what earlier ones kept."""

import time
from pathlib import Path

import pytest

from library.data import kept_files


def cache_in(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Keeps up to 1 GB of files below a folder, and returns the directory that has their kinds."""
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    patch.setenv(kept_files.LIMIT, "1")
    # As if an hour had passed: nothing is kept that follows from a file of this moment.
    now = time.time_ns() + 3600 * 10**9
    patch.setattr(time, "time_ns", lambda: now)
    return folder / "cache" / "compendium"
