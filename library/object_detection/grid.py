"""A cell of a grid predicts one box, its confidence and its class, all learned by logits.

Redmon et al. 2016, "You Only Look Once" (arXiv 1506.02640), section 2, with one box for each cell.
Confidences and classes are learned by cross-entropy, as in YOLOv3, and not by squared errors.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from library.object_detection.boxes import from_centers
from library.object_detection.objects import Objects, cells_of, corners_of_cells


def loss(
    cells: Float[Array, "rows columns k"], objects: Objects, coordinates: float, empty: float
) -> dict[str, Float[Array, ""]]:
    """Returns the loss of an image; a cell with several objects learns the first of them.

    Args:
      cells: the logits of each cell: y and x of the centre within the cell, height and width as
        shares of the image, confidence, and classes.
      objects: the objects of the image.
      coordinates: factor of the errors of the coordinates.
      empty: factor of the confidence loss of cells without an object.
    """
    held = cells_of(objects, *cells.shape[:2])
    flat = cells.reshape(-1, cells.shape[-1])
    side = (objects.boxes[:, 2:] - objects.boxes[:, :2])[held.first]
    error = jnp.square(jax.nn.sigmoid(flat[:, :2]) - held.within)
    # Square roots weigh an error of a small box more (section 2.2).
    roots = jnp.sqrt(jax.nn.sigmoid(flat[:, 2:4])) - jnp.sqrt(jnp.maximum(side, 1e-6))
    kind = optax.softmax_cross_entropy_with_integer_labels(flat[:, 5:], objects.classes[held.first])
    own = coordinates * jnp.sum(error + jnp.square(roots), axis=-1) + kind
    sure = optax.sigmoid_binary_cross_entropy(flat[:, 4], held.full.astype(jnp.float32))
    return {"loss": jnp.sum(jnp.where(held.full, own + sure, empty * sure))}


def candidates(
    cells: Float[Array, "rows columns k"],
) -> tuple[Float[Array, "m 4"], Float[Array, "m c"]]:
    """Returns the box of each cell, and its confidence as the score of its likeliest class."""
    rows, columns = cells.shape[:2]
    center = corners_of_cells(rows, columns) + jax.nn.sigmoid(cells[..., :2])
    sides = jax.nn.sigmoid(cells[..., 2:4])
    boxes = from_centers(jnp.concatenate([center / jnp.array([rows, columns]), sides], axis=-1))
    likeliest = jax.nn.one_hot(jnp.argmax(cells[..., 5:], axis=-1), cells.shape[-1] - 5)
    scores = jax.nn.sigmoid(cells[..., 4:5]) * likeliest
    return jnp.clip(boxes, 0, 1).reshape(-1, 4), scores.reshape(-1, scores.shape[-1])
