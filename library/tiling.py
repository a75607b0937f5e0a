"""Images larger than memory: a function of images, applied to overlapping tiles without seams.

A network whose outputs depend on a bounded neighbourhood gives the same result tile by tile as on
the whole image. Three conditions make the seams invisible:

- Each tile is read with a margin, the halo. It is at least the reach of the network, the distance
  from an output pixel to the farthest pixel that it depends on. `reach` measures it.
- Tiles begin at multiples of the network's stride, so that pooling joins the same pixels.
- A network that pads by itself must see the border of the image where the image ends. Tiles are
  therefore moved inwards at the border, and never reach beyond it. For a network that does not pad
  ("valid" convolutions) the image continues as its mirror image: the overlap-tile strategy of
  Ronneberger et al. 2015 (arXiv 1505.04597), figure 2.

The result then equals that of the whole image, except that programs for images of different sizes
may round differently. All tiles have one shape, so a compiled function is compiled once.

The functions here are plain numpy over a callable. `tiled` serves maps (`scale=1`) and enlarged
images (`scale` above 1) alike:

    enlarged = tiled(network, photograph, tile=256, halo=12, scale=3)
    classes = tiled(predict, photograph, tile=512, halo=reach(logits, 3, 16), multiple=16)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from library.config import ConfigError

# The largest image that `reach` tries. ENet feels a pixel about 600 pixels away.
MOST_SIDE = 4096


class Span(NamedTuple):
    """The place of a tile along one axis, in pixels of the input.

    Attributes:
      start: the first pixel that the tile reads; negative before the image.
      offset: pixels from the start of the tile's result to those that are kept.
      first: the first pixel that is kept.
      stop: the pixel after the last one that is kept.
    """

    start: int
    offset: int
    first: int
    stop: int


def tiled(
    function: Callable[[np.ndarray], Any],
    image: Any,
    *,
    tile: int,
    halo: int,
    scale: int = 1,
    multiple: int = 1,
    batch_size: int = 1,
    valid: bool = False,
    out: Any = None,
) -> Any:
    """Applies a function of images to one image, tile by tile, and joins the results.

    Args:
      function: `(n, h, w, c) -> (n, scale * h, scale * w, ...)`; with `valid` its result lacks
        `scale * halo` pixels on each side. It always gets n = `batch_size` tiles of one shape.
      image: (h, w, c), an array, or anything that gives arrays when it is sliced, such as a
        `numpy.memmap`. Only the part below a tile is read at a time.
      tile: side of the part of a tile that is kept, in pixels. It is rounded down to a multiple of
        `multiple`.
      halo: margin that a tile is read with, in pixels, from the reach of the function on. It is
        rounded up to a multiple of `multiple`, but with `valid` is exact.
      scale: pixels of the result per pixel of the image, along each axis.
      multiple: stride of the function. If it does not divide a side of the image, the image is
        continued by its mirror image, and the result is cut.
      batch_size: tiles per call.
      valid: whether the function does not pad, and so cuts off the halo by itself.
      out: where to write the result, such as a `numpy.memmap`; by default a new array.

    Returns:
      (scale * h, scale * w, ...), `out` if it is given.

    Raises:
      ConfigError: a size is out of range, or the result of the function has another shape.
    """
    _check(tile, halo, scale, multiple, batch_size)
    step, halo = tile // multiple * multiple, halo if valid else -(-halo // multiple) * multiple
    sides = image.shape[:2]
    axes = [_spans(side, step, tile, halo, multiple, valid) for side in sides]
    places = [(row, column) for row in axes[0][0] for column in axes[1][0]]
    shape = tuple(size for _, size in axes)
    for begin in range(0, len(places), batch_size):
        chosen = places[begin : begin + batch_size]
        # The last batch is filled with its last tile.
        filled = chosen + [chosen[-1]] * (batch_size - len(chosen))
        windows = np.stack([_read(image, r.start, c.start, shape) for r, c in filled])
        made = np.asarray(function(windows))
        _check_made(made, (batch_size, *shape), scale, halo if valid else 0)
        if out is None:
            out = np.empty((scale * sides[0], scale * sides[1], *made.shape[3:]), made.dtype)
        for (r, c), result in zip(chosen, made):
            out[_scaled(r.first, r.stop, scale), _scaled(c.first, c.stop, scale)] = result[
                _scaled(r.offset, r.offset + r.stop - r.first, scale),
                _scaled(c.offset, c.offset + c.stop - c.first, scale),
            ]
    return out


def reach(
    function: Callable[[np.ndarray], Any],
    channels: int,
    multiple: int = 1,
    scale: int = 1,
    most: int = MOST_SIDE,
) -> int:
    """Returns the halo that a function needs: how far a pixel of the image is felt in the result.

    A cell of `multiple` x `multiple` pixels of NaN is put into an image of zeros. The farthest NaN
    of the result shows the reach, rounded up to pixels of the image. NaN passes convolutions,
    poolings and sums whatever their weights are, so the answer depends on the layers alone.

    Args:
      function: `(1, h, w, c) -> (1, scale * h, scale * w, ...)`, floats.
      channels: channels of the image.
      multiple: stride of the function.
      scale: pixels of the result per pixel of the image, along each axis.
      most: the largest side of the image to try, in pixels.

    Raises:
      ConfigError: the result has no floats, or feels a pixel in the whole of the largest image: the
        function sees the whole image, and tiles would show seams.
    """
    side = 0
    for cells in (5, 17, 33, 65, 129, 257):
        if cells * multiple > most and side:
            break
        side = cells * multiple
        first = side // 2 // multiple * multiple
        image = np.zeros((1, side, side, channels), np.float32)
        image[:, first : first + multiple, first : first + multiple] = np.nan
        made = np.asarray(function(image))
        if not np.issubdtype(made.dtype, np.floating):
            raise ConfigError(
                f"the reach is measured on floats, and this function makes {made.dtype}: state the "
                "halo, in pixels"
            )
        felt = np.isnan(made[0]).reshape(scale * side, scale * side, -1).any(axis=-1)
        edges = [_extent(felt.any(axis=axis), first, multiple, scale) for axis in (1, 0)]
        if max(edges) < first:
            return max(edges)
    raise ConfigError(
        f"a pixel is felt in the whole of an image of {side}x{side}: the network sees the whole "
        "image, so tiles would show seams; make the result in one piece"
    )


def _spans(
    side: int, step: int, tile: int, halo: int, multiple: int, valid: bool
) -> tuple[list[Span], int]:
    """Returns the places of the tiles along an axis, and the number of pixels that each reads."""
    starts = range(0, side, step)
    if valid:
        return [Span(i - halo, 0, i, min(i + step, side)) for i in starts], tile + 2 * halo
    whole = -(-side // multiple) * multiple
    size = step + 2 * halo
    if whole <= size:
        return [Span(0, 0, 0, side)], whole
    begins = {i: min(max(i - halo, 0), whole - size) for i in starts}
    return [Span(b, i - b, i, min(i + step, side)) for i, b in begins.items()], size


def _read(image: Any, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
    """Returns a window of an image; outside the image it has the pixels of the mirror image."""
    rows, columns = (
        _mirrored(np.arange(first, first + size), side)
        for first, size, side in zip((top, left), shape, image.shape[:2])
    )
    part = np.asarray(image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    return part[rows - rows.min()][:, columns - columns.min()]


def _mirrored(place: Int[np.ndarray, " n"], side: int) -> Int[np.ndarray, " n"]:
    """Mirrors places outside [0, side) about the first and the last pixel."""
    period = max(1, 2 * (side - 1))
    return side - 1 - np.abs(side - 1 - place % period)


def _scaled(first: int, stop: int, scale: int) -> slice:
    return slice(scale * first, scale * stop)


def _extent(felt: Bool[np.ndarray, " n"], first: int, multiple: int, scale: int) -> int:
    """Returns how far from a cell a result is felt along an axis, in pixels of the image."""
    places = np.flatnonzero(felt) // scale
    if not len(places):
        return 0
    return int(max(first - places[0], places[-1] - (first + multiple - 1), 0))


def _check(tile: int, halo: int, scale: int, multiple: int, batch_size: int) -> None:
    for name, value in (("scale", scale), ("multiple", multiple), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(f"{name}={value}: valid are 1 or more")
    if halo < 0:
        raise ConfigError(f"halo={halo}: valid are 0 or more pixels")
    if tile < multiple:
        raise ConfigError(f"tile={tile}: valid are {multiple} or more, the stride of the function")


def _check_made(made: np.ndarray, shape: tuple[int, ...], scale: int, cut: int) -> None:
    count, height, width = shape
    wanted = (count, scale * (height - 2 * cut), scale * (width - 2 * cut))
    if made.shape[:3] != wanted:
        raise ConfigError(
            f"the function makes {made.shape} of tiles of {height}x{width}, expected "
            f"{wanted} and channels"
        )
