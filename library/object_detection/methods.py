"""The methods of detection that `task.method` names: what a network's outputs mean and learn."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.object_detection import anchors as anchored
from library.object_detection import grid as gridded
from library.object_detection import task_aligned, yolo_v1
from library.object_detection.objects import Objects

Sides = tuple[int, int]


class Losses(NamedTuple):
    """The losses of the examples of a batch.

    Attributes:
      sums: the loss of each example, (b,), as "loss", and its parts by name.
      weights: (b,), by whose sum over a batch the sums are divided.
    """

    sums: Mapping[str, Float[Array, " b"]]
    weights: Float[Array, " b"]


class Method(NamedTuple):
    """A method of detection.

    Attributes:
      losses: (outputs of the network, objects of the batch, sides of the images) -> `Losses`.
      candidates: (outputs, sides) -> boxes (b, m, 4), as fractions, and scores (b, m, c).
    """

    losses: Callable[[Any, Objects, Sides], Losses]
    candidates: Callable[[Any, Sides], tuple[Float[Array, "b m 4"], Float[Array, "b m c"]]]


def grid(num_classes: int, *, coordinate_weight: float = 5.0, empty_weight: float = 0.5) -> Method:
    """Each cell of a grid predicts one box, by logits: a small form of YOLO.

    Args:
      num_classes: number of classes of objects.
      coordinate_weight: factor of the errors of the coordinates.
      empty_weight: factor of the confidence loss of cells without an object.
    """
    lost = partial(gridded.loss, coordinates=coordinate_weight, empty=empty_weight)
    known = dict(method="grid", channels=5 + num_classes)

    def losses(outputs: Any, objects: Objects, sides: Sides) -> Losses:
        return _each(jax.vmap(lost)(_one_map(outputs, **known), objects))

    def candidates(outputs: Any, sides: Sides) -> tuple[Array, Array]:
        return jax.vmap(gridded.candidates)(_one_map(outputs, **known))

    return Method(losses, candidates)


def yolo(
    num_classes: int,
    *,
    num_boxes: int = 2,
    coordinate_weight: float = 5.0,
    empty_weight: float = 0.5,
) -> Method:
    """YOLO (Redmon et al. 2016, arXiv 1506.02640): squared errors of the boxes of a cell.

    Args:
      num_classes: number of classes of objects.
      num_boxes: boxes of a cell.
      coordinate_weight: factor of the errors of the coordinates.
      empty_weight: factor of the errors of confidences without an object.
    """
    lost = partial(
        yolo_v1.loss, num_boxes=num_boxes, coordinates=coordinate_weight, empty=empty_weight
    )
    known = dict(method="yolo", channels=5 * num_boxes + num_classes)

    def losses(outputs: Any, objects: Objects, sides: Sides) -> Losses:
        return _each(jax.vmap(lost)(_one_map(outputs, **known), objects))

    def candidates(outputs: Any, sides: Sides) -> tuple[Array, Array]:
        cells = _one_map(outputs, **known)
        return jax.vmap(partial(yolo_v1.candidates, num_boxes=num_boxes))(cells)

    return Method(losses, candidates)


def anchors(
    num_classes: int,
    *,
    anchors: tuple[tuple[tuple[float, float], ...], ...] = anchored.COCO,
    ignore: float = 0.7,
    object_weight: float = 1.0,
    empty_weight: float = 1.0,
    exclusive: bool = False,
    rescored: bool = False,
) -> Method:
    """YOLOv2 and YOLOv3 (arXiv 1612.08242, 1804.02767): boxes as offsets from anchors.

    The defaults are those of YOLOv3. YOLOv2 has ignore=0.6, object_weight=5, exclusive=True and
    rescored=True (region_layer.c and yolov2.cfg of Darknet).

    Args:
      num_classes: number of classes of objects.
      anchors: width and height of the anchors of each map, in pixels, from the finest map on.
      ignore: predictions that overlap an object more than this need not be empty.
      object_weight: factor of the confidence loss of predictions with an object.
      empty_weight: factor of the confidence loss of the others.
      exclusive: whether an object has one class, learned by a softmax, or classes by sigmoids.
      rescored: whether a confidence learns the overlap with its object, or 1.

    Raises:
      ConfigError: there are no anchors, one is not positive, or `ignore` is not in [0, 1].
    """
    if not anchors or not all(anchors) or min(x for m in anchors for each in m for x in each) <= 0:
        raise ConfigError(f"anchors={anchors}: each map has one pair or more of positive pixels")
    if not 0 <= ignore <= 1:
        raise ConfigError(f"ignore={ignore}: valid are 0 to 1")
    settings = anchored.Settings(ignore, object_weight, empty_weight, exclusive, rescored)
    counts = [len(each) for each in anchors]

    def checked(outputs: Any) -> tuple[Array, ...]:
        wanted = [(count, 5 + num_classes) for count in counts]
        return _maps(outputs, "anchors", wanted, "num_anchors, 5 + num_classes")

    def losses(outputs: Any, objects: Objects, sides: Sides) -> Losses:
        lost = partial(anchored.loss, anchors=anchors, sides=sides, settings=settings)
        return _each(jax.vmap(lost)(checked(outputs), objects))

    def candidates(outputs: Any, sides: Sides) -> tuple[Array, Array]:
        found = partial(anchored.candidates, anchors=anchors, sides=sides, exclusive=exclusive)
        return jax.vmap(found)(checked(outputs))

    return Method(losses, candidates)


def aligned(
    num_classes: int,
    *,
    num_bins: int = 16,
    top_k: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
    box_weight: float = 7.5,
    class_weight: float = 0.5,
    distance_weight: float = 1.5,
) -> Method:
    """YOLOv8: points predict distances to the sides of a box; the best-aligned points learn.

    The loss of a batch is divided by the sum of the scores that its points learn, as in the
    original, which then multiplies it by the number of images.

    Args:
      num_classes: number of classes of objects.
      num_bins: whole numbers of strides in the distribution of a distance, from 0.
      top_k: points that an object may teach.
      alpha: power of the class score in the alignment.
      beta: power of the overlap in the alignment.
      box_weight: factor of one minus the complete IoU.
      class_weight: factor of the cross-entropy of the classes.
      distance_weight: factor of the loss of the distributions.

    Raises:
      ConfigError: `num_bins` or `top_k` is too small.
    """
    if num_bins < 2 or top_k < 1:
        raise ConfigError(f"num_bins={num_bins}, top_k={top_k}: valid are from 2 and from 1")
    settings = task_aligned.Settings(top_k, alpha, beta, box_weight, class_weight, distance_weight)

    def found(outputs: Any, sides: Sides) -> task_aligned.Points:
        return task_aligned.points(outputs, num_bins, sides)

    def checked(outputs: Any) -> tuple[Array, ...]:
        wanted = [(4 * num_bins + num_classes,)] * len(jax.tree.leaves(outputs))
        return _maps(outputs, "aligned", wanted, "4 * num_bins + num_classes")

    def losses(outputs: Any, objects: Objects, sides: Sides) -> Losses:
        def lost(maps: Any, each: Objects) -> tuple[dict[str, Array], Array]:
            return task_aligned.loss(found(maps, sides), each, sides, settings)

        sums, weights = jax.vmap(lost)(checked(outputs), objects)
        # A batch without objects would divide by 0.
        return Losses(sums, jnp.maximum(weights, _LEAST_WEIGHT))

    def candidates(outputs: Any, sides: Sides) -> tuple[Array, Array]:
        def one(maps: Any) -> tuple[Array, Array]:
            return task_aligned.candidates(found(maps, sides), sides)

        return jax.vmap(one)(checked(outputs))

    return Method(losses, candidates)


# The least weight of an example of "aligned"; the original has a least sum of 1 for a batch.
_LEAST_WEIGHT = 1 / 16


def _each(sums: Mapping[str, Float[Array, " b"]]) -> Losses:
    """Returns losses whose mean over examples is minimized."""
    return Losses(sums, jnp.ones_like(sums["loss"]))


def _one_map(outputs: Any, method: str, channels: int) -> Float[Array, "b rows columns k"]:
    shapes = [tuple(each.shape) for each in jax.tree.leaves(outputs)]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != channels:
        raise ValueError(
            f"method {method!r} takes one map (b, rows, columns, {channels}), but the model's "
            f"outputs have the shapes {shapes}: choose the method of the model"
        )
    return jax.tree.leaves(outputs)[0]


def _maps(
    outputs: Any, method: str, wanted: list[tuple[int, ...]], meaning: str
) -> tuple[Array, ...]:
    maps = tuple(jax.tree.leaves(outputs))
    shapes = [tuple(each.shape) for each in maps]
    fits = len(shapes) == len(wanted) and all(
        len(shape) == 3 + len(last) and shape[3:] == last for shape, last in zip(shapes, wanted)
    )
    if not fits:
        raise ValueError(
            f"method {method!r} takes maps (b, rows, columns, {meaning}) that end in {wanted}, but "
            f"the model's outputs have the shapes {shapes}: choose the method of the model"
        )
    return maps
