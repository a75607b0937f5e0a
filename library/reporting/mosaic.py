"""Pictures that join many small images without resampling."""

import math
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from library import files

GAP, PAPER = 2, 255


def save(images: UInt8[np.ndarray, "n *k h w c"], path: str | os.PathLike) -> Path:
    """Writes images, or rows of them, as one PNG file; small images are enlarged.

    Args:
      images: (n, h, w, c), which are arranged as a square; or (n, k, h, w, c), n rows of images.
      path: the path of the file.
    """
    rows = images if images.ndim == 5 else in_rows(images)
    whole = mosaic(rows)
    scale = max(1, min(4, 128 // max(rows.shape[2:4])))
    whole = whole.repeat(scale, axis=0).repeat(scale, axis=1)
    path = Path(path)
    with files.replacing(path) as partial:
        Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole).save(partial, "PNG")
    return path


def in_rows(
    images: UInt8[np.ndarray, "n h w c"], columns: int | None = None
) -> UInt8[np.ndarray, "m k h w c"]:
    """Arranges images in rows, by default as a square; the rest of the last row is white."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    missing = -len(images) % columns
    white = np.full((missing, *images.shape[1:]), PAPER, images.dtype)
    return np.concatenate([images, white]).reshape(-1, columns, *images.shape[1:])


def mosaic(rows: UInt8[np.ndarray, "n k h w c"]) -> UInt8[np.ndarray, "H W c"]:
    """Returns one picture of rows of images, with narrow white lines between them."""
    space = ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0))
    tiles = np.pad(rows, space, constant_values=PAPER)
    n, k, h, w, c = tiles.shape
    return tiles.swapaxes(1, 2).reshape(n * h, k * w, c)[:-GAP, :-GAP]
