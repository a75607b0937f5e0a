"""YOLO: each cell predicts several boxes, and one set of class probabilities, by squared errors.

Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection" (arXiv 1506.02640),
section 2. A cell's outputs are num_boxes times y and x of the centre within the cell, the square
roots of height and width as shares of the image, and the confidence; then the classes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.object_detection.boxes import from_centers, overlap, to_centers
from library.object_detection.objects import Objects, cells_of, corners_of_cells


def loss(
    cells: Float[Array, "rows columns k"],
    objects: Objects,
    num_boxes: int,
    coordinates: float,
    empty: float,
) -> dict[str, Float[Array, ""]]:
    """Returns the loss of an image (equation 3), and its parts.

    A cell with several objects learns the first of them. Of its boxes, the one that overlaps the
    object most is responsible; if none does, the one with the least squared distance of centre,
    height and width from it, as in the authors' program. Its confidence learns the overlap, and
    that of all other boxes learns 0.

    Args:
      cells: the outputs of each cell, see the docstring of this file.
      objects: the objects of the image.
      num_boxes: boxes of a cell.
      coordinates: factor of the errors of the coordinates, 5 in the paper.
      empty: factor of the errors of confidences without an object, 0.5 in the paper.
    """
    rows, columns = cells.shape[:2]
    held = cells_of(objects, rows, columns)
    found, kinds = _parts(cells.reshape(rows * columns, -1), num_boxes)
    truth = objects.boxes[held.first]
    boxes = _boxes(found, rows, columns)
    shared = overlap(boxes, truth[:, None])
    distance = jnp.sum(jnp.square(to_centers(boxes) - to_centers(truth)[:, None]), axis=-1)
    none = jnp.all(shared <= 0, axis=-1, keepdims=True)
    rank = jax.lax.stop_gradient(jnp.where(none, -distance, shared))
    chosen = jax.nn.one_hot(jnp.argmax(rank, axis=-1), num_boxes) * held.full[:, None]
    roots = jnp.sqrt(jnp.maximum(truth[:, 2:] - truth[:, :2], 0))
    wanted = jnp.concatenate([held.within, roots], axis=-1)
    place = jnp.sum(jnp.square(found[..., :4] - wanted[:, None]), axis=-1)
    sure = jnp.square(found[..., 4] - jax.lax.stop_gradient(shared))
    kind = jnp.square(kinds - jax.nn.one_hot(objects.classes[held.first], kinds.shape[-1]))
    parts = {
        "box_loss": coordinates * jnp.sum(chosen * place),
        "object_loss": jnp.sum(chosen * sure)
        + empty * jnp.sum((1 - chosen) * jnp.square(found[..., 4])),
        "class_loss": jnp.sum(held.full * jnp.sum(kind, axis=-1)),
    }
    return {"loss": sum(parts.values()), **parts}


def candidates(
    cells: Float[Array, "rows columns k"], num_boxes: int
) -> tuple[Float[Array, "m 4"], Float[Array, "m c"]]:
    """Returns the boxes of all cells, and their scores: confidence times class (equation 1)."""
    rows, columns = cells.shape[:2]
    found, kinds = _parts(cells.reshape(rows * columns, -1), num_boxes)
    scores = jnp.clip(found[..., 4:], 0, 1) * jnp.clip(kinds, 0, 1)[:, None]
    boxes = jnp.clip(_boxes(found, rows, columns), 0, 1)
    return boxes.reshape(-1, 4), scores.reshape(-1, scores.shape[-1])


def _parts(flat: Float[Array, "cells k"], num_boxes: int) -> tuple[Array, Array]:
    """Splits the outputs of cells into boxes with confidences (cells, n, 5) and classes."""
    return flat[:, : 5 * num_boxes].reshape(len(flat), num_boxes, 5), flat[:, 5 * num_boxes :]


def _boxes(found: Float[Array, "cells n 5"], rows: int, columns: int) -> Float[Array, "cells n 4"]:
    corners = corners_of_cells(rows, columns).reshape(-1, 1, 2)
    center = (corners + found[..., :2]) / jnp.array([rows, columns])
    return from_centers(jnp.concatenate([center, jnp.square(found[..., 2:4])], axis=-1))
