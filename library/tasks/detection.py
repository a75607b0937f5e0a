"""Detection: the cells of a grid predict the boxes and the classes of the objects in an image.

Redmon et al. 2016, "You Only Look Once" (arXiv 1506.02640), section 2.2, with one box per cell: the
cell that contains the centre of an object predicts the object's place, size and class. Confidences
and classes are learned by cross-entropy (as in YOLOv3), not by squared errors.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt8

from library import painting, summaries
from library.config import ConfigError
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


class Objects(NamedTuple):
    """The objects of an image, padded to n.

    Attributes:
      boxes: (n, 4), ymin, xmin, ymax and xmax as fractions of the image.
      classes: (n,), the numbers of the classes.
      there: (n,), False on padding.
    """

    boxes: Float[Array, "n 4"]
    classes: Int[Array, " n"]
    there: Bool[Array, " n"]


def detection(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    inputs: tuple[str, ...] = ("image",),
    target: str = "boxes",
    coordinate_weight: float = 5.0,
    empty_weight: float = 0.5,
    confidence: float = 0.5,
    overlap: float = 0.5,
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of finding the objects `target` in the image, or in other `inputs`.

    It reads `boxes` (b, n, 4), `boxes_label` (b, n) and `boxes_mask` (b, n), which `pad_objects`
    makes. The metric of training is loss, the sum over the cells of an image. An evaluation adds
    precision, recall and f1: a detection is right if it overlaps an object of its class by
    `overlap` or more, and each object counts once.

    Outputs: "detections" (b, cells, 6), ymin, xmin, ymax, xmax, confidence and class, where
    confidence 0 means no detection; "overlay", uint8 (b, 2, h, w, 3), the image with its objects,
    and the image with the detections; "features" and "intermediates", which the model records.

    Args:
      model: `(image (b, h, w, c), train) -> (b, rows, columns, 5 + num_classes)`, see
        library/models/dense/grid_detector.py.
      minimize: turns a loss into the training step.
      num_classes: number of classes of objects.
      inputs: the features that the model takes, in order; the first is the image of the overlay.
      target: the name of the feature with the boxes.
      coordinate_weight: factor of the errors of the coordinates.
      empty_weight: factor of the confidence loss of cells without an object.
      confidence: the least confidence of a detection.
      overlap: the intersection over union that makes a detection right. Of two detections that
        overlap more, the one with less confidence is dropped.
      unnormalize: maps normalized images back to [0, 1].

    Raises:
      ConfigError: the model has another number of classes, or a threshold is not in (0, 1).
    """
    check_outputs(model, num_classes, "num_classes")
    for name, value in (("confidence", confidence), ("overlap", overlap)):
        if not 0 < value < 1:
            raise ConfigError(f"{name}={value}: valid are numbers between 0 and 1")
    lost = jax.vmap(partial(_loss, coordinates=coordinate_weight, empty=empty_weight))
    found = jax.vmap(partial(_detected, confidence=confidence, overlap=overlap))

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        cells, variables = trained(model, params, variables, batch, inputs, key)
        return {"loss": pair(lost(cells, _wanted(batch, target)), batch["mask"])}, variables

    def detections(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b m 6"]:
        return _rows(*found(evaluated(model, state, batch, inputs)))

    def overlay(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b 2 h w 3"]:
        image = unnormalize(batch[inputs[0]])
        both = (_wanted(batch, target), found(evaluated(model, state, batch, inputs))[0])
        return jnp.stack([painting.framed(image, *each, num_classes) for each in both], axis=1)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        cells, wanted = evaluated(model, state, batch, inputs), _wanted(batch, target)
        counts = jax.vmap(partial(_counts, overlap=overlap))(found(cells)[0], wanted)
        mask = batch["mask"]
        return {"loss": pair(lost(cells, wanted), mask), "found": pair(counts, mask)}

    learner = minimize(objective)
    outputs = {"detections": detections, "overlay": overlay, **recorded_outputs(model, inputs)}
    meaning = {"found": summaries.precision_and_recall}
    return Task(init, learner.update, evaluate, outputs, meaning)


def _wanted(batch: Batch, target: str) -> Objects:
    """Returns the objects of each image, with an axis of examples before those of `Objects`."""
    return Objects(batch[target], batch[f"{target}_label"], batch[f"{target}_mask"] > 0)


def _rows(objects: Objects, scores: Float[Array, "b m"]) -> Float[Array, "b m 6"]:
    """Returns box, confidence and class of each detection; confidence 0 where there is none."""
    rest = [jnp.where(objects.there, scores, 0), objects.classes.astype(jnp.float32)]
    return jnp.concatenate([objects.boxes, jnp.stack(rest, axis=-1)], axis=-1)


def _loss(
    cells: Float[Array, "rows columns k"], objects: Objects, coordinates: float, empty: float
) -> Float[Array, ""]:
    """Returns the loss of an image; a cell with several objects learns the first of them."""
    shape = jnp.array(cells.shape[:2], jnp.float32)
    center = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2 * shape
    place = jnp.clip(jnp.floor(center), 0, shape - 1)
    number = (place[:, 0] * cells.shape[1] + place[:, 1]).astype(jnp.int32)
    flat = cells.reshape(-1, cells.shape[-1])
    held = (number[None] == jnp.arange(len(flat))[:, None]) & objects.there
    full, first = jnp.any(held, axis=1), jnp.argmax(held, axis=1)
    within, side = (center - place)[first], (objects.boxes[:, 2:] - objects.boxes[:, :2])[first]
    error = jnp.square(jax.nn.sigmoid(flat[:, :2]) - within)
    # Square roots weigh an error of a small box more (section 2.2).
    roots = jnp.sqrt(jax.nn.sigmoid(flat[:, 2:4])) - jnp.sqrt(jnp.maximum(side, 1e-6))
    kind = optax.softmax_cross_entropy_with_integer_labels(flat[:, 5:], objects.classes[first])
    own = coordinates * jnp.sum(error + jnp.square(roots), axis=-1) + kind
    sure = optax.sigmoid_binary_cross_entropy(flat[:, 4], full.astype(jnp.float32))
    return jnp.sum(jnp.where(full, own + sure, empty * sure))


def _detected(
    cells: Float[Array, "rows columns k"], confidence: float, overlap: float
) -> tuple[Objects, Float[Array, " m"]]:
    """Returns the detections of an image in descending order of confidence, and confidences."""
    rows, columns = cells.shape[:2]
    corner = jnp.stack(jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij"), -1)
    center = (corner + jax.nn.sigmoid(cells[..., :2])) / jnp.array([rows, columns])
    half = jax.nn.sigmoid(cells[..., 2:4]) / 2
    boxes = jnp.clip(jnp.concatenate([center - half, center + half], -1), 0, 1).reshape(-1, 4)
    scores = jax.nn.sigmoid(cells[..., 4]).ravel()
    order = jnp.argsort(-scores, stable=True)
    boxes, scores = boxes[order], scores[order]
    classes = jnp.argmax(cells[..., 5:], axis=-1).ravel()[order].astype(jnp.int32)
    shared = _overlaps(boxes, boxes) > overlap

    def keep(i: Int[Array, ""], kept: Array) -> Array:
        return kept.at[i].set(kept[i] & ~jnp.any(shared[i] & kept & (jnp.arange(len(kept)) < i)))

    there = jax.lax.fori_loop(0, len(scores), keep, scores >= confidence)
    return Objects(boxes, classes, there), scores


def _counts(found: Objects, wanted: Objects, overlap: float) -> Float[Array, " 3"]:
    """Counts the right detections, all detections, and the objects."""
    fits = _overlaps(found.boxes, wanted.boxes) >= overlap
    fits &= (found.classes[:, None] == wanted.classes) & found.there[:, None] & wanted.there

    def match(left: Array, row: Array) -> tuple[Array, Array]:
        chosen = jnp.argmax(row & left)
        hit = (row & left)[chosen]
        return left.at[chosen].set(left[chosen] & ~hit), hit

    _, right = jax.lax.scan(match, wanted.there, fits)
    return jnp.stack([jnp.sum(x) for x in (right, found.there, wanted.there)]).astype(jnp.float32)


def _overlaps(ours: Float[Array, "n 4"], theirs: Float[Array, "m 4"]) -> Float[Array, "n m"]:
    """Returns the intersection over union of each box of `ours` with each box of `theirs`."""
    low = jnp.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = jnp.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = jnp.prod(jnp.maximum(high - low, 0), axis=-1)
    each = [jnp.prod(jnp.maximum(x[:, 2:] - x[:, :2], 0), axis=-1) for x in (ours, theirs)]
    union = each[0][:, None] + each[1][None] - shared
    return jnp.where(union > 0, shared / jnp.where(union > 0, union, 1), 0)
