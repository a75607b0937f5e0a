"""The objects of images, padded to the same number, and the cells of a grid that hold them."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from library.task import Batch


class Objects(NamedTuple):
    """The objects of one image, padded to n, or of a batch, with an axis of examples before n.

    Attributes:
      boxes: (n, 4), ymin, xmin, ymax and xmax as fractions of the image.
      classes: (n,), the numbers of the classes.
      there: (n,), False on padding.
    """

    boxes: Float[Array, "*b n 4"]
    classes: Int[Array, "*b n"]
    there: Bool[Array, "*b n"]


def of_batch(batch: Batch, target: str = "boxes") -> Objects:
    """Returns the objects of the feature `target`, of `target_label` and `target_mask`."""
    return Objects(batch[target], batch[f"{target}_label"], batch[f"{target}_mask"] > 0)


class Cells(NamedTuple):
    """What the cells of a grid hold, row by row.

    Attributes:
      full: (cells,), whether the centre of an object is in the cell.
      first: (cells,), the number of the first such object; 0 where there is none.
      within: (cells, 2), y and x of its centre within the cell, 0 to 1.
    """

    full: Bool[Array, " cells"]
    first: Int[Array, " cells"]
    within: Float[Array, "cells 2"]


def cells_of(objects: Objects, rows: int, columns: int) -> Cells:
    """Returns what the cells of a grid over an image hold; of several objects the first."""
    shape = jnp.array([rows, columns], jnp.float32)
    center = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2 * shape
    place = jnp.clip(jnp.floor(center), 0, shape - 1)
    number = (place[:, 0] * columns + place[:, 1]).astype(jnp.int32)
    held = (number[None] == jnp.arange(rows * columns)[:, None]) & objects.there
    first = jnp.argmax(held, axis=1)
    return Cells(jnp.any(held, axis=1), first, (center - place)[first])


def corners_of_cells(rows: int, columns: int) -> Float[Array, "rows columns 2"]:
    """Returns the row and the column of each cell."""
    grid = jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij")
    return jnp.stack(grid, axis=-1).astype(jnp.float32)
