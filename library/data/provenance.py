"""What the values of a split follow from, as plain values: files, operations, code and libraries.

A kept file is named by a hash of these. What a hash cannot cover raises `UnknownError`: a source
without files of its own, and a function that is none of this project's preprocessing.
"""

import dataclasses
import functools
import hashlib
import inspect
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import PIL
import tensorflow_datasets as tfds
from PIL import features as codecs

from library.data import preprocessing

# Nanoseconds since the last change of a file, see `content_hashes`.
_MIN_AGE = 2_000_000_000
# The modules with this project's operations. Those of others may read what no hash covers.
_OPERATIONS = {
    module
    for module in (
        getattr(getattr(preprocessing, x), "__module__", "") for x in preprocessing.__all__
    )
    if module.startswith(f"{preprocessing.__name__}.")
}


class UnknownError(ValueError):
    """Raised for what a hash cannot cover."""


def of_records(records: Any) -> list:
    """Returns what the examples of a split follow from.

    Args:
      records: examples; those of files have a function `stored`, which returns the paths of the
        files and plain values, or None.

    Raises:
      UnknownError: the examples are not those of files, or a file may change unnoticed.
      OSError: a file cannot be read.
    """
    stored = getattr(records, "stored", None)
    paths, chosen = (stored and stored()) or refuse("no files")
    return [states(paths), chosen]


def states(paths: Iterable[str]) -> list[tuple[str, int, int, int]]:
    """Returns the path, size and times of each file, without reading it.

    Raises:
      UnknownError: a file may change again within one tick of the clock.
      OSError: a file cannot be read.
    """
    found = []
    for path in paths:
        stat = os.stat(path)
        if time.time_ns() - stat.st_ctime_ns < _MIN_AGE:
            refuse(f"{path} may change again within one tick of the clock")
        found.append((path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return found


def wait(paths: Iterable[str | Path]) -> None:
    """Waits until files that were just written are old enough for `states`; at most two seconds."""
    ages = [time.time_ns() - os.stat(path).st_ctime_ns for path in paths if os.path.isfile(path)]
    if ages and 0 <= min(ages) < _MIN_AGE:
        time.sleep((_MIN_AGE - min(ages)) / 1e9)


def of_operation(value: Any) -> Any:
    """Returns a preprocessing operation, or a part of one, as values that JSON can write.

    Raises:
      UnknownError: a function or an argument is none of this project's preprocessing.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return [type(value).__name__, repr(value)]
    if isinstance(value, functools.partial):
        return ["call", *map(of_operation, (value.func, value.args, value.keywords))]
    if isinstance(value, Mapping):
        return ["dict", [[of_operation(k), of_operation(x)] for k, x in value.items()]]
    if isinstance(value, (tuple, list)):
        return ["list", [of_operation(each) for each in value]]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return [value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if getattr(value, "__module__", None) not in _OPERATIONS:
        refuse(f"{value!r} is none of this project's operations")
    if getattr(value, "outside", False):
        refuse(f"{value!r} reads files of its own")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return [type(value).__qualname__, of_operation(held)]
    if not hasattr(value, "__qualname__"):
        refuse(f"{value!r} is no function")
    return f"{value.__module__}.{value.__qualname__}"


@functools.cache
def versions() -> list[str | None]:
    """Returns a hash of the code that reads and prepares examples, and versions of libraries."""
    folder = Path(__file__).parent
    code = _of_files((*folder.glob("*.py"), *folder.glob("preprocessing/*.py")))
    decoders = [codecs.version(name) for name in ("jpg", "zlib", "webp")]
    libraries = [np.__version__, PIL.__version__, tfds.__version__]
    return [code, platform.machine(), *libraries, *decoders]


def of_function(function: Callable) -> str:
    """Returns a hash of the code of a function: of all files in the folder of its file.

    Raises:
      UnknownError: the function is in no file.
    """
    while isinstance(function, functools.partial):
        function = function.func
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        file = None
    if file is None or not os.path.isfile(file):
        refuse(f"{function!r} is in no file")
    return f"{function.__qualname__} {_of_files(Path(file).parent.glob('*.py'))}"


def refuse(why: str) -> NoReturn:
    """Raises UnknownError."""
    raise UnknownError(why)


def _of_files(paths: Iterable[Path]) -> str:
    code = hashlib.sha256()
    for path in sorted(paths):
        code.update(path.read_bytes())
    return code.hexdigest()
