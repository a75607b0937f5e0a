"""What the builders of tables share: lines of values between commas, gzipped."""

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

    Raises:
      ConfigError: it is damaged, empty, or its rows differ in length.
    """
    text = making.unzipped(path).decode("utf-8-sig")
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    rows = rows[1:] if header else rows
    if len({len(row) for row in rows}) != 1:
        raise ConfigError(f"{path}: rows of {sorted({len(row) for row in rows})} values")
    return rows


def numbers(path: Path, rows: Sequence[Sequence[str]]) -> Float32[np.ndarray, "n c"]:
    """Reads numbers; NaN where a cell is empty or "?".

    Raises:
      ConfigError: a cell is no number.
    """
    try:
        cells = [[float("nan") if x in ("", "?") else float(x) for x in row] for row in rows]
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return np.array(cells, np.float32)


def pack(paths: Mapping[str, Path], folder: Path) -> None:
    """Writes published tables gzipped, with their contents as they are."""
    for name, path in paths.items():
        data = making.unzipped(path)
        file = name if name.endswith(".gz") else f"{name}.gz"
        (folder / file).write_bytes(gzip.compress(data, mtime=0))
