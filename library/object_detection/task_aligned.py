"""YOLOv8: points predict distances to the sides of a box, and learn from the best-aligned objects.

The loss of ultralytics' YOLOv8 (2023), which has no paper. The assignment is that of Feng et al.
2021, "TOOD" (arXiv 2108.07755): how well a point fits an object is its score for the object's class
to the power alpha, times the overlap of the boxes to the power beta. Distances are means of
distributions over whole numbers of strides, as in Li et al. 2020, "Generalized Focal Loss" (arXiv
2006.04388).

An output is a map (rows, columns, 4 * bins + classes): the logits of the distributions of the
distances to top, left, bottom and right, and of the classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from library.object_detection.boxes import complete_overlap
from library.object_detection.objects import Objects, corners_of_cells

_EPSILON = 1e-9


class Settings(NamedTuple):
    """The settings of the loss.

    Attributes:
      top_k: points that an object may teach.
      alpha: power of the score in the alignment.
      beta: power of the overlap in the alignment.
      box: factor of one minus the complete IoU.
      classes: factor of the cross-entropy of the classes.
      distances: factor of the loss of the distributions.
    """

    top_k: int
    alpha: float
    beta: float
    box: float
    classes: float
    distances: float


class Points(NamedTuple):
    """What p points of all maps predict.

    Attributes:
      places: (p, 2), y and x in pixels.
      strides: (p, 1), pixels between points of a map.
      distances: (p, 4, bins), logits of the distances, in strides.
      classes: (p, c), logits of the classes.
    """

    places: Float[Array, "p 2"]
    strides: Float[Array, "p 1"]
    distances: Float[Array, "p 4 bins"]
    classes: Float[Array, "p c"]

    def boxes(self) -> Float[Array, "p 4"]:
        """Returns the predicted boxes in pixels."""
        shares, bins = jax.nn.softmax(self.distances), jnp.arange(self.distances.shape[-1])
        reach = jnp.sum(shares * bins, axis=-1) * self.strides
        return jnp.concatenate([self.places - reach[:, :2], self.places + reach[:, 2:]], axis=-1)


class Assigned(NamedTuple):
    """What p points learn.

    Attributes:
      there: (p,), whether a point has an object.
      number: (p,), the number of its object; 0 where there is none.
      scores: (p,), the score of the object's class that it learns; 0 where there is none.
    """

    there: Bool[Array, " p"]
    number: Int[Array, " p"]
    scores: Float[Array, " p"]


def points(
    maps: Sequence[Float[Array, "rows columns k"]], bins: int, sides: tuple[int, int]
) -> Points:
    """Joins the outputs for an image of `sides`, height and width in pixels."""
    places, strides, flat = [], [], []
    for each in maps:
        rows, columns = each.shape[:2]
        stride = jnp.array([sides[0] / rows, sides[1] / columns], jnp.float32)
        places.append(((corners_of_cells(rows, columns) + 0.5) * stride).reshape(-1, 2))
        strides.append(jnp.full((rows * columns, 1), sides[0] / rows, jnp.float32))
        flat.append(each.reshape(-1, each.shape[-1]))
    whole = jnp.concatenate(flat)
    distances = whole[:, : 4 * bins].reshape(-1, 4, bins)
    return Points(*map(jnp.concatenate, (places, strides)), distances, whole[:, 4 * bins :])


def loss(
    found: Points, objects: Objects, sides: tuple[int, int], settings: Settings
) -> tuple[dict[str, Float[Array, ""]], Float[Array, ""]]:
    """Returns the summed loss of an image and its parts, and the sum of the scores to learn.

    The original divides the sums over a batch by the sum of the scores of the batch.

    Args:
      found: what the points predict.
      objects: the objects of the image.
      sides: height and width of the image in pixels.
      settings: see `Settings`.
    """
    truth = objects.boxes * jnp.array([*sides, *sides], jnp.float32)
    boxes = found.boxes()
    scores = jax.nn.sigmoid(found.classes)
    given = assigned(
        *jax.lax.stop_gradient((scores, boxes)), found.places, truth, objects, settings
    )
    kinds = jax.nn.one_hot(objects.classes[given.number], scores.shape[-1])
    wanted = kinds * given.scores[:, None]
    # Points without an object get a box that all gradients can pass; its weight is 0.
    own = jnp.where(given.there[:, None], truth[given.number], boxes)
    own = jax.lax.stop_gradient(own)
    misplaced = given.scores * (1 - complete_overlap(boxes, own))
    reach = jnp.concatenate([found.places - own[:, :2], own[:, 2:] - found.places], axis=-1)
    spread = jnp.mean(_distribution_losses(found.distances, reach / found.strides), axis=-1)
    parts = {
        "box_loss": settings.box * jnp.sum(jnp.where(given.there, misplaced, 0)),
        "class_loss": settings.classes
        * jnp.sum(optax.sigmoid_binary_cross_entropy(found.classes, wanted)),
        "distance_loss": settings.distances * jnp.sum(given.scores * spread),
    }
    return {"loss": sum(parts.values()), **parts}, jnp.sum(given.scores)


def assigned(
    scores: Float[Array, "p c"],
    boxes: Float[Array, "p 4"],
    places: Float[Array, "p 2"],
    truth: Float[Array, "n 4"],
    objects: Objects,
    settings: Settings,
) -> Assigned:
    """Assigns objects to points.

    An object teaches the `top_k` points within it that are aligned best. A point of several objects
    learns the one that its box overlaps most. The scores of an object's points are proportional to
    their alignment; the greatest is the greatest overlap.

    Args:
      scores: probabilities of the classes of each point.
      boxes: predicted boxes, in pixels.
      places: places of the points, in pixels.
      truth: boxes of the objects, in pixels.
      objects: the objects of the image.
      settings: see `Settings`.
    """
    reach = jnp.concatenate([places - truth[:, None, :2], truth[:, None, 2:] - places], axis=-1)
    inside = (jnp.min(reach, axis=-1) > _EPSILON) & objects.there[:, None]
    shared = jnp.maximum(complete_overlap(truth[:, None], boxes[None]), 0)
    shared = jnp.where(inside, shared, 0)
    chance = jnp.where(inside, scores[:, objects.classes].T, 0)
    aligned = chance**settings.alpha * shared**settings.beta
    _, best = jax.lax.top_k(aligned, min(settings.top_k, aligned.shape[1]))
    numbers = jnp.arange(len(truth))
    taught = jnp.zeros(inside.shape, bool).at[numbers[:, None], best].set(True) & inside
    several = jnp.sum(taught, axis=0) > 1
    closest = jnp.argmax(shared, axis=0) == numbers[:, None]
    taught = jnp.where(several, closest & inside, taught)
    aligned, shared = jnp.where(taught, aligned, 0), jnp.where(taught, shared, 0)
    most = jnp.max(aligned, axis=1, keepdims=True)
    learned = aligned * jnp.max(shared, axis=1, keepdims=True) / (most + _EPSILON)
    return Assigned(jnp.any(taught, axis=0), jnp.argmax(taught, axis=0), jnp.max(learned, axis=0))


def _distribution_losses(
    logits: Float[Array, "p 4 bins"], wanted: Float[Array, "p 4"]
) -> Float[Array, "p 4"]:
    """Returns the cross-entropy with the two whole numbers around each wanted distance."""
    wanted = jnp.clip(wanted, 0, logits.shape[-1] - 1 - 0.01)
    low = jnp.floor(wanted)
    share = (wanted - low)[..., None]
    logs = jax.nn.log_softmax(logits)
    below, above = (
        jnp.take_along_axis(logs, (low + i).astype(jnp.int32)[..., None], axis=-1) for i in (0, 1)
    )
    return -((1 - share) * below + share * above)[..., 0]


def candidates(
    found: Points, sides: tuple[int, int]
) -> tuple[Float[Array, "m 4"], Float[Array, "m c"]]:
    """Returns the boxes of all points as fractions of the image, and the scores of the classes."""
    boxes = found.boxes() / jnp.array([*sides, *sides], jnp.float32)
    return jnp.clip(boxes, 0, 1), jax.nn.sigmoid(found.classes)
