"""YOLOv2 and YOLOv3: boxes are offsets from anchors, boxes of usual sizes in each cell.

Redmon & Farhadi 2017, "YOLO9000" (arXiv 1612.08242), section 2, and 2018, "YOLOv3: An Incremental
Improvement" (arXiv 1804.02767), section 2. What the papers leave open is as in Darknet, the
authors' program (region_layer.c, yolo_layer.c). In particular, the gradients of the centre and of
confidences with respect to logits are those of cross-entropy, and errors of boxes are weighed by
2 - height * width.

An output is a map (rows, columns, anchors, 5 + classes) of logits in Darknet's order: x and y of
the centre within the cell, the logarithms of width and height in units of the anchor, confidence,
classes. Anchors are (width, height) in pixels of the image.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from library.object_detection.boxes import from_centers, overlaps, to_centers
from library.object_detection.objects import Objects, corners_of_cells

Anchors = Sequence[Sequence[tuple[float, float]]]
# The authors' anchors, for strides of 8, 16 and 32 pixels (yolov3.cfg).
COCO: Anchors = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
# A larger factor than e^10 of an anchor is no box; it would overflow.
_MOST = 10.0


class Settings(NamedTuple):
    """The settings of the loss.

    Attributes:
      ignore: predictions that overlap an object more than this need not be empty.
      objects: factor of the confidence loss of predictions with an object.
      empty: factor of the confidence loss of the others.
      exclusive: whether an object has one class, learned by a softmax, or classes by sigmoids.
      rescored: whether a confidence learns the overlap with its object (YOLOv2), or 1 (YOLOv3).
    """

    ignore: float
    objects: float
    empty: float
    exclusive: bool
    rescored: bool


class _Wanted(NamedTuple):
    """The object of each of p predictions: whether there is one, its number, and (p, 4) offsets."""

    there: Array
    number: Array
    offsets: Array


def loss(
    maps: Sequence[Float[Array, "rows columns a k"]],
    objects: Objects,
    anchors: Anchors,
    sides: tuple[int, int],
    settings: Settings,
) -> dict[str, Float[Array, ""]]:
    """Returns the loss of an image, and its parts.

    An object belongs to the anchor, of all maps, whose shape overlaps its own most, in the cell of
    its centre. Of several objects of one prediction the first counts.

    Args:
      maps: the outputs for the image, see the docstring of this file.
      objects: the objects of the image.
      anchors: the anchors of each map.
      sides: height and width of the image in pixels.
      settings: see `Settings`.
    """
    flat = jnp.concatenate([each.reshape(-1, each.shape[-1]) for each in maps])
    wanted = _wanted([each.shape[:2] for each in maps], objects, anchors, sides)
    shared = jax.lax.stop_gradient(overlaps(_boxes(maps, anchors, sides), objects.boxes))
    shared = jnp.where(objects.there, shared, 0)
    own = jnp.take_along_axis(shared, wanted.number[:, None], axis=1)[:, 0]
    size = objects.boxes[:, 2:] - objects.boxes[:, :2]
    weight = wanted.there * (2 - jnp.prod(size, axis=-1))[wanted.number]
    place = optax.sigmoid_binary_cross_entropy(flat[:, :2], wanted.offsets[:, :2])
    extent = jnp.square(flat[:, 2:4] - wanted.offsets[:, 2:]) / 2
    sure = wanted.there * (own if settings.rescored else 1.0)
    free = ~wanted.there & (jnp.max(shared, axis=-1, initial=0) <= settings.ignore)
    counted = wanted.there * settings.objects + free * settings.empty
    kinds = _class_losses(flat[:, 5:], objects.classes[wanted.number], settings.exclusive)
    parts = {
        "box_loss": jnp.sum(weight * jnp.sum(place + extent, axis=-1)),
        "object_loss": jnp.sum(counted * optax.sigmoid_binary_cross_entropy(flat[:, 4], sure)),
        "class_loss": jnp.sum(wanted.there * kinds),
    }
    return {"loss": sum(parts.values()), **parts}


def candidates(
    maps: Sequence[Float[Array, "rows columns a k"]],
    anchors: Anchors,
    sides: tuple[int, int],
    exclusive: bool,
) -> tuple[Float[Array, "m 4"], Float[Array, "m c"]]:
    """Returns the boxes of all predictions, and their scores: confidence times class."""
    flat = jnp.concatenate([each.reshape(-1, each.shape[-1]) for each in maps])
    kinds = jax.nn.softmax(flat[:, 5:]) if exclusive else jax.nn.sigmoid(flat[:, 5:])
    boxes = jnp.clip(_boxes(maps, anchors, sides), 0, 1)
    return boxes, jax.nn.sigmoid(flat[:, 4:5]) * kinds


def clusters(
    sizes: Float[np.ndarray, "n 2"], num: int, starts: int = 10
) -> Float[np.ndarray, "{num} 2"]:
    """Returns anchors for the boxes of a dataset, by k-means (YOLO9000, section 2, figure 2).

    The distance of two shapes is one minus the overlap of boxes of these shapes with one centre.

    Args:
      sizes: widths and heights of boxes, in pixels.
      num: number of anchors.
      starts: number of searches, each from other boxes; the best result counts.

    Returns:
      Widths and heights in the order of their areas.
    """
    shapes = np.unique(sizes, axis=0)
    drawn = (np.random.default_rng(seed).permutation(shapes)[:num] for seed in range(starts))
    found = [_settled(sizes, first) for first in drawn]
    best = max(found, key=lambda each: np.max(_shape_overlaps(sizes, each), axis=1).mean())
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def _settled(sizes: Float[np.ndarray, "n 2"], found: np.ndarray) -> Float[np.ndarray, "k 2"]:
    """Moves each of `found` to the mean of the shapes nearest to it, until none moves."""
    for _ in range(100):
        nearest = np.argmax(_shape_overlaps(sizes, found), axis=1)
        own = [sizes[nearest == i] for i in range(len(found))]
        moved = np.array([x.mean(axis=0) if len(x) else old for x, old in zip(own, found)])
        if np.array_equal(moved, found):
            break
        found = moved
    return found


def _class_losses(
    logits: Float[Array, "p c"], classes: Int[Array, " p"], exclusive: bool
) -> Float[Array, " p"]:
    if exclusive:
        return optax.softmax_cross_entropy_with_integer_labels(logits, classes)
    wanted = jax.nn.one_hot(classes, logits.shape[-1])
    return jnp.sum(optax.sigmoid_binary_cross_entropy(logits, wanted), axis=-1)


def _wanted(
    grids: Sequence[tuple[int, int]], objects: Objects, anchors: Anchors, sides: tuple[int, int]
) -> _Wanted:
    """Assigns the objects to predictions."""
    centers = to_centers(objects.boxes)
    shapes = centers[:, :1:-1] * jnp.array(sides[::-1], jnp.float32)
    every = jnp.array([anchor for each in anchors for anchor in each], jnp.float32)
    best = jnp.argmax(_shape_overlaps(shapes, every), axis=1)
    start, before, index = 0, 0, jnp.zeros(len(best), jnp.int32)
    within = jnp.zeros((len(best), 2))
    for (rows, columns), each in zip(grids, anchors):
        place = centers[:, :2] * jnp.array([rows, columns], jnp.float32)
        cell = jnp.clip(jnp.floor(place), 0, jnp.array([rows - 1, columns - 1], jnp.float32))
        number = (cell[:, 0] * columns + cell[:, 1]).astype(jnp.int32)
        here = (best >= before) & (best < before + len(each))
        index = jnp.where(here, start + number * len(each) + best - before, index)
        within = jnp.where(here[:, None], (place - cell)[:, ::-1], within)
        start, before = start + rows * columns * len(each), before + len(each)
    scale = jnp.log(jnp.maximum(shapes, 1e-6) / every[best])
    offsets = jnp.concatenate([within, scale], axis=-1)
    # The least number wins, whatever the order in which a device writes.
    count = len(best)
    numbers = jnp.where(objects.there, jnp.arange(count), count)
    owner = jnp.full(start, count).at[index].min(numbers)
    number = jnp.minimum(owner, count - 1)
    return _Wanted(owner < count, number, offsets[number])


def _shape_overlaps(ours: Any, theirs: Any) -> Any:
    """Returns the intersection over union (n, m) of boxes (n, 2) and (m, 2) with one centre."""
    xp = ours.__array_namespace__()
    shared = xp.prod(xp.minimum(ours[:, None], theirs[None]), axis=-1)
    union = xp.prod(ours, axis=-1)[:, None] + xp.prod(theirs, axis=-1)[None] - shared
    return shared / xp.maximum(union, 1e-9)


def _boxes(
    maps: Sequence[Float[Array, "rows columns a k"]], anchors: Anchors, sides: tuple[int, int]
) -> Float[Array, "p 4"]:
    """Returns the box of each prediction, as fractions of the image."""
    found = []
    for each, own in zip(maps, anchors):
        rows, columns = each.shape[:2]
        corners = corners_of_cells(rows, columns)[:, :, None]
        # Darknet's order is x, y, width, height.
        center = (corners + jax.nn.sigmoid(each[..., 1::-1])) / jnp.array([rows, columns])
        shape = jnp.array(own, jnp.float32)[:, ::-1] / jnp.array(sides, jnp.float32)
        size = shape * jnp.exp(jnp.minimum(each[..., 3:1:-1], _MOST))
        found.append(from_centers(jnp.concatenate([center, size], axis=-1)).reshape(-1, 4))
    return jnp.concatenate(found)
