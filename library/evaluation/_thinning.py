"""Thinning of a binary image to lines of one pixel that separate the same regions."""

import numpy as np
from jaxtyping import Bool, Int

# The neighbours of a pixel, counterclockwise from the right, as (row, column).
_AROUND = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
# The neighbours above, below, left and right.
_SIDES = (2, 6, 4, 0)


def thinned(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Removes pixels that join no lines, one layer after the other from all sides.

    Lines are connected through corners, and the regions between them through sides only. A pixel is
    removed if neither the number of lines nor that of regions changes. Lines with a free end shrink
    to a point, so what remains are the lines that separate regions, and points. The border of the
    image is a line, too: what ends there has no free end.

    Pixels with rows and columns of the same parity are no neighbours. They are removed together,
    which equals their removal one after the other.
    """
    padded = np.ascontiguousarray(np.pad(mask, 1, constant_values=True))
    flat, width = padded.reshape(-1), padded.shape[1]
    inside = np.zeros_like(padded)
    inside[1:-1, 1:-1] = True
    offsets = np.array([row * width + column for row, column in _AROUND])
    before = -1
    while before != (before := np.count_nonzero(flat)):
        for side in _SIDES:
            for row, column in ((0, 0), (1, 1), (0, 1), (1, 0)):
                _remove(flat, inside.reshape(-1), width, offsets, side, row, column)
    return padded[1:-1, 1:-1]


def _remove(
    flat: Bool[np.ndarray, " n"],
    inside: Bool[np.ndarray, " n"],
    width: int,
    offsets: Int[np.ndarray, " 8"],
    side: int,
    row: int,
    column: int,
) -> None:
    """Removes, in place, pixels of some parity whose neighbour at a side is empty."""
    places = np.flatnonzero(flat & inside & ~np.roll(flat, -offsets[side]))
    places = places[(places // width % 2 == row) & (places % width % 2 == column)]
    codes = flat[places[:, None] + offsets] @ (1 << np.arange(8))
    flat[places[_REMOVABLE[codes]]] = False


def _removable() -> Bool[np.ndarray, " 256"]:
    """Returns for each set of neighbours whether the pixel between them can be removed.

    It can if the number of lines through it is one, the connectivity number of Yokoi et al. (1975).
    """
    codes: Int[np.ndarray, "256 8"] = np.arange(256)[:, None] >> np.arange(8) & 1
    empty = 1 - codes
    lines = sum(
        empty[:, k] - empty[:, k] * empty[:, k + 1] * empty[:, (k + 2) % 8] for k in (0, 2, 4, 6)
    )
    return lines == 1


_REMOVABLE = _removable()
