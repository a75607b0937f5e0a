"""Resampling of learned positions of a grid of tokens to a grid of another size.

Positions of patches are resampled as in timm: by bicubic interpolation with antialiasing.
Positions of class and distillation tokens are kept. Swin's tables of biases by offset are resampled
as by its authors: by bicubic interpolation without antialiasing. Both equal PyTorch's `interpolate`
with mode="bicubic" and align_corners=False, which has another cubic kernel with antialiasing than
without.
"""

import math
import re
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_LEAF = re.compile(r"(?P<scope>(?:.*/)?)(?:positions/embedding|relative_bias)")
# Params beside positions that stand for tokens before the patches.
_TOKENS = ("cls", "distillation")

Grid = tuple[int, int]
Shape = tuple[int, ...]


class Resampling(NamedTuple):
    """How a leaf is resampled.

    Attributes:
      tokens: the number of positions before those of the grid; they are kept.
      old: rows and columns of the old grid.
      new: rows and columns of the new grid.
      antialias: whether the interpolation averages over positions when the grid shrinks.
    """

    tokens: int
    old: Grid
    new: Grid
    antialias: bool

    def __str__(self) -> str:
        kept = f", {self.tokens} before it kept" if self.tokens else ""
        return f"resampled from a grid of {_sides(self.old)} to {_sides(self.new)}{kept}"

    def apply(self, leaf: Float[np.ndarray, "*a n d"]) -> Float[np.ndarray, "*a m d"]:
        """Resamples a leaf of n = tokens + rows * columns positions, and keeps its type."""
        rows, columns = (_weights(*sides, self.antialias) for sides in zip(self.old, self.new))
        flat = np.asarray(leaf, np.float64).reshape(-1, leaf.shape[-1])
        kept, grid = flat[: self.tokens], flat[self.tokens :].reshape(*self.old, -1)
        made = np.einsum("ab,cd,bde->ace", rows, columns, grid, optimize=True)
        joined = np.concatenate([kept, made.reshape(-1, flat.shape[-1])])
        return joined.reshape(*leaf.shape[:-2], *joined.shape).astype(leaf.dtype)


def find(
    path: str, there: Shape, here: Shape, *, tokens: Grid, old: Grid | None, new: Grid | None
) -> Resampling | None:
    """Returns how a leaf of one shape becomes a leaf of another.

    Args:
      path: the path of the leaf, such as "params/positions/embedding".
      there: the shape of the leaf in the source.
      here: the shape of the leaf in the model.
      tokens: the numbers of positions outside of the grid, in the source and in the model, see
        `tokens_beside`.
      old: rows and columns of the grid in the source, a square if None.
      new: rows and columns of the grid in the model, a square if None.

    Returns:
      The resampling; None if the leaf contains no positions, or positions of a network of another
      width.

    Raises:
      ValueError: the leaf contains positions that cannot be resampled.
    """
    if not _LEAF.fullmatch(path) or len(there) != len(here) or there[-1:] != here[-1:]:
        return None
    if path.endswith("relative_bias"):
        return Resampling(0, _square(there[0], "offsets"), _square(here[0], "offsets"), False)
    if len(here) != 3:
        raise ValueError(f"positions of a text are not resampled; nearest: {there[0]} tokens")
    if tokens[0] != tokens[1]:
        raise ValueError(
            f"{tokens[0]} of its positions belong to no patch, but {tokens[1]} in the model"
        )
    counts = (there[1] - tokens[0], here[1] - tokens[1])
    for count, grid, where in zip(counts, (old, new), ("the source", "the model")):
        if grid is not None and grid[0] * grid[1] != count:
            raise ValueError(
                f"a grid of {_sides(grid)} does not fit the {count} patches of {where}"
            )
    found = [_square(n, "patches") if grid is None else grid for n, grid in zip(counts, (old, new))]
    return Resampling(tokens[0], *found, True)


def tokens_beside(path: str, paths: Collection[str]) -> int:
    """Counts the params of tokens, such as a class token, in the module with the positions."""
    match = _LEAF.fullmatch(path)
    return sum(f"{match['scope']}{name}" in paths for name in _TOKENS) if match else 0


def is_positions(path: str) -> bool:
    """Returns whether a leaf of this path contains positions."""
    return _LEAF.fullmatch(path) is not None


def _square(count: int, what: str) -> Grid:
    side = math.isqrt(count)
    if side * side != count:
        raise ValueError(f"{count} {what} are not a square")
    return side, side


def _sides(grid: Grid) -> str:
    return "x".join(map(str, grid))


def _weights(old: int, new: int, antialias: bool) -> Float[np.ndarray, "new old"]:
    """Returns the weight of each old value in each new one."""
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    if antialias:
        stretch = max(old / new, 1.0)
        weights = _cubic((np.arange(old) - centers[:, None]) / stretch, -0.5)
        return weights / weights.sum(axis=1, keepdims=True)
    # Values beyond the edge repeat the value at the edge.
    taps = np.floor(centers).astype(int)[:, None] + np.arange(-1, 3)
    weights = np.zeros((new, old))
    places = (np.arange(new)[:, None], np.clip(taps, 0, old - 1))
    np.add.at(weights, places, _cubic(taps - centers[:, None], -0.75))
    return weights


def _cubic(x: Float[np.ndarray, "n m"], a: float) -> Float[np.ndarray, "n m"]:
    """Computes the convolution kernel of Keys 1981, whose slope at 1 is `a`."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
