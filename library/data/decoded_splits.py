"""Decoded, preprocessed splits, kept in the user's cache directory for the next start.

The name of a kept file is a hash of all that its arrays follow from: the sizes and times of the
dataset's files, the split, the preprocessing with all its arguments, and the versions of this code
and of the libraries that decode. A split is kept if all of that is known: a prepared dataset or a
folder of images, with operations of this project. What a random operation makes is not kept.
`library.data.kept_files` has the size limit.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from library.data import kept_files, provenance
from library.data.pipeline import Loader

# An array's name in a file, so that no feature has the name of an argument of `np.savez`.
_PREFIX = "feature_"


def place(loader: Loader) -> Path | None:
    """Returns the path at which the arrays of a split are kept; None if they are not kept.

    Raises:
      ConfigError: the environment variable with the limit is no number of 0 or more.
    """
    if not kept_files.limit():
        return None
    try:
        known = [
            *provenance.of_records(loader.source.records),
            provenance.of_operation(loader.preprocess),
            sorted(loader.kinds.items()),
            provenance.versions(),
        ]
    except (provenance.UnknownError, OSError):
        return None
    return kept_files.place("decoded_splits", known, ".npz")


def read(path: Path, loader: Loader, say: Callable[[str], None]) -> dict[str, np.ndarray] | None:
    """Reads kept arrays; a damaged file is set aside under another name, and `say` is told.

    Args:
      path: their path.
      loader: the loader of the split.
      say: a function that is called with each line for the user.

    Returns:
      The arrays `(n, ...)` by feature, with `mask`; None if there are none, or if they are damaged.
    """

    def load(path: Path) -> dict[str, np.ndarray]:
        with path.open("rb") as opened, np.load(opened) as file:
            found = {name.removeprefix(_PREFIX): file[name] for name in file.files}
        _check_shapes(found, loader)
        return found

    return kept_files.read(path, load, "split", say)


def keep(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays of a split, atomically; `kept_files.write` says when it does not.

    Args:
      path: their path.
      arrays: arrays `(n, ...)` by feature, with `mask`.
    """
    # Other dtypes, such as bfloat16, do not come back from a file as they were.
    if all(x.dtype.kind in "biufc" for x in arrays.values()):
        named = {f"{_PREFIX}{name}": x for name, x in arrays.items()}
        size = sum(x.nbytes for x in arrays.values())
        kept_files.write(path, size, lambda file: np.savez(file, **named))


def _check_shapes(found: Mapping[str, np.ndarray], loader: Loader) -> None:
    count = len(loader.source.records)
    wanted = {name: (count, *x.shape) for name, x in loader.blank.items()} | {"mask": (count,)}
    shapes = {name: x.shape for name, x in found.items()}
    if shapes != wanted:
        raise ValueError(f"it holds {shapes}, expected {wanted}")
