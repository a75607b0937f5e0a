"""Decoded, preprocessed splits, kept in the user's cache directory for the next start.

The name of a kept file is a hash of all that its arrays follow from: the sizes and times of the
dataset's files, the split, the preprocessing with all its arguments, and the versions of this code
and of the libraries that decode. A split is kept if all of that is known: a prepared dataset or a
folder of images, with operations of this project. What a random operation makes is not kept.

`COMPENDIUM_CACHE_GB` is the most that all kept splits may take, 10 GB by default; 0 keeps none. The
splits that have been unused for longest are removed first.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import tensorflow_datasets as tfds
from PIL import features as codecs

from library.config import ConfigError
from library.data import preprocessing
from library.data.content_hashes import cache_directory
from library.data.pipeline import Loader

LIMIT = "COMPENDIUM_CACHE_GB"
_USUAL_LIMIT = "10"
# Nanoseconds since the last change of a file, see `content_hashes`.
_MIN_AGE = 2_000_000_000
# An array's name in a file, so that no feature has the name of an argument of `np.savez`.
_PREFIX = "feature_"
# The modules with this project's operations. Those of others may read what no hash covers.
_OPERATIONS = {
    module
    for module in (
        getattr(getattr(preprocessing, x), "__module__", "") for x in preprocessing.__all__
    )
    if module.startswith(f"{preprocessing.__name__}.")
}


class _UnknownError(ValueError):
    """Raised for what a hash cannot cover."""


def place(loader: Loader) -> Path | None:
    """Returns the path at which the arrays of a split are kept; None if they are not kept.

    Raises:
      ConfigError: the environment variable with the limit is no number of 0 or more.
    """
    stored, folder = getattr(loader.source.records, "stored", None), cache_directory()
    # Without a home there is no absolute path.
    if not limit() or stored is None or not folder.is_absolute():
        return None
    try:
        paths, chosen = stored() or _refuse("no files")
        made = _described(loader.preprocess)
        known = [_states(paths), chosen, made, sorted(loader.kinds.items()), _versions()]
    except (_UnknownError, OSError):
        return None
    name = hashlib.sha256(json.dumps(known).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return folder / "decoded_splits" / f"{name}.npz"


def limit() -> float:
    """Returns the most bytes of all kept splits.

    Raises:
      ConfigError: see `place`.
    """
    given = os.environ.get(LIMIT) or _USUAL_LIMIT
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not found >= 0:
        raise ConfigError(f"{LIMIT}={given!r}: valid are numbers of 0 or more, such as 10 or 0.5")
    return found * 1e9


def read(path: Path, loader: Loader, say: Callable[[str], None]) -> dict[str, np.ndarray] | None:
    """Reads kept arrays; a damaged file is set aside under another name, and `say` is told.

    Args:
      path: their path.
      loader: the loader of the split.
      say: a function that is called with each line for the user.

    Returns:
      The arrays `(n, ...)` by feature, with `mask`; None if there are none, or if they are damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            found = {name.removeprefix(_PREFIX): file[name] for name in file.files}
        _check_shapes(found, loader)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        # A damaged zip file raises errors of many kinds, such as MemoryError for a wrong shape.
        aside = path.with_suffix(".damaged")
        with contextlib.suppress(OSError):
            os.replace(path, aside)
        say(
            f"the kept split {path} is damaged ({error}): it is now {aside.name}, and the split is "
            "decoded again"
        )
        return None
    with contextlib.suppress(OSError):
        # The time of its last use, for `_make_room`.
        os.utime(path)
    return found


def keep(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays of a split, atomically.

    A split above the limit is not written, and neither is one that would take more than half of the
    free space of the disk. Where the cache directory is not writable, nothing is kept.

    Args:
      path: their path.
      arrays: arrays `(n, ...)` by feature, with `mask`.
    """
    size = sum(x.nbytes for x in arrays.values())
    # Other dtypes, such as bfloat16, do not come back from a file as they were.
    if size > limit() or any(x.dtype.kind not in "biufc" for x in arrays.values()):
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent, limit() - size)
        if size > shutil.disk_usage(path.parent).free / 2:
            return
        # Several processes may write the same split at once, each to a file of its own.
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **{f"{_PREFIX}{name}": x for name, x in arrays.items()})
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def _make_room(folder: Path, most: float) -> None:
    """Removes the files that have been unused for longest, until `most` bytes remain."""
    held = sorted((stat.st_mtime_ns, stat.st_size, path) for path, stat in _listed(folder))
    total = sum(size for _, size, _ in held)
    for _, size, path in held:
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size


def _listed(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.iterdir():
        # Another process may remove it meanwhile.
        with contextlib.suppress(FileNotFoundError):
            found.append((path, path.stat()))
    return found


def _check_shapes(found: Mapping[str, np.ndarray], loader: Loader) -> None:
    count = len(loader.source.records)
    wanted = {name: (count, *x.shape) for name, x in loader.blank.items()} | {"mask": (count,)}
    shapes = {name: x.shape for name, x in found.items()}
    if shapes != wanted:
        raise ValueError(f"it holds {shapes}, expected {wanted}")


def _states(paths: list[str]) -> list[tuple[str, int, int, int]]:
    """Returns the path, size and times of each file, without reading it."""
    found = []
    for path in paths:
        stat = os.stat(path)
        if time.time_ns() - stat.st_ctime_ns < _MIN_AGE:
            _refuse(f"{path} may change again within one tick of the clock")
        found.append((path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return found


def _described(value: Any) -> Any:
    """Returns a preprocessing operation, or a part of one, as values that JSON can write.

    Raises:
      _UnknownError: a function or an argument is none of this project's preprocessing.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return [type(value).__name__, repr(value)]
    if isinstance(value, functools.partial):
        return ["call", *map(_described, (value.func, value.args, value.keywords))]
    if isinstance(value, Mapping):
        return ["dict", [[_described(k), _described(x)] for k, x in value.items()]]
    if isinstance(value, (tuple, list)):
        return ["list", [_described(each) for each in value]]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return [value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if getattr(value, "__module__", None) not in _OPERATIONS:
        _refuse(f"{value!r} is none of this project's operations")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return [type(value).__qualname__, _described(held)]
    if not hasattr(value, "__qualname__"):
        _refuse(f"{value!r} is no function")
    return f"{value.__module__}.{value.__qualname__}"


@functools.cache
def _versions() -> list[str | None]:
    """Returns a hash of the code that reads and prepares examples, and versions of libraries."""
    code, folder = hashlib.sha256(), Path(__file__).parent
    for path in sorted((*folder.glob("*.py"), *folder.glob("preprocessing/*.py"))):
        code.update(path.read_bytes())
    decoders = [codecs.version(name) for name in ("jpg", "zlib", "webp")]
    libraries = [np.__version__, PIL.__version__, tfds.__version__]
    return [code.hexdigest(), platform.machine(), *libraries, *decoders]


def _refuse(why: str) -> Any:
    raise _UnknownError(why)
