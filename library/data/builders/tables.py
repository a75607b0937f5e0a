"""Shared functions of the builders of tables: gzipped files of comma-separated values."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from library.config import ConfigError
from library.data.builders import making


def read(path: Path, header: bool) -> list[list[str]]:
    """Reads the rows of a table, without its header.

    Args:
      path: path of the file, gzipped or not.
      header: whether the first row is a header.

    Raises:
      ConfigError: the file is damaged or empty, or its rows differ in length.
    """
    text = making.unzipped(path).decode("utf-8-sig")
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    rows = rows[1:] if header else rows
    if len({len(row) for row in rows}) != 1:
        raise ConfigError(
            f"{path}: the rows have {sorted({len(row) for row in rows})} values, not all the same "
            "number"
        )
    return rows


def numbers(path: Path, rows: Sequence[Sequence[str]]) -> Float32[np.ndarray, "n c"]:
    """Converts cells to numbers; an empty cell or "?" becomes NaN.

    Raises:
      ConfigError: a cell is not a number.
    """
    try:
        cells = [[float("nan") if x in ("", "?") else float(x) for x in row] for row in rows]
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return np.array(cells, np.float32)


def pack(paths: Mapping[str, Path], folder: Path) -> None:
    """Writes published tables as gzipped files, with unchanged contents."""
    for name, path in paths.items():
        data = making.unzipped(path)
        file = name if name.endswith(".gz") else f"{name}.gz"
        (folder / file).write_bytes(gzip.compress(data, mtime=0))
