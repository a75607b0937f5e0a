"""Semantic segmentation: a class for each pixel of an image.

The loss is the cross-entropy averaged over pixels (Long et al. 2015, "Fully Convolutional Networks
for Semantic Segmentation", arXiv 1411.4038, section 4), or the overlap of the classes' areas, dice.
Pixels may have weights: by class, or from a field such as U-Net's map of borders.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt8

from library import maps, painting, summaries
from library.config import ConfigError, check_choice
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair
from library.tasks.classification import checked_weights


class Pixels(NamedTuple):
    """The pixels of a batch that count.

    Attributes:
      classes: the class of each pixel, 0 where it does not count.
      known: whether the pixel counts.
      weight: the weight of each pixel in the loss, 0 where it does not count.
    """

    classes: Int[Array, "b h w"]
    known: Bool[Array, "b h w"]
    weight: Float[Array, "b h w"]


def segmentation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    inputs: tuple[str, ...] = ("image",),
    target: str = "map",
    ignore: int = maps.UNKNOWN,
    loss: Literal["softmax", "dice"] = "softmax",
    class_weights: tuple[float, ...] | str | None = None,
    weight: str | None = None,
    margin: int = 0,
    label_names: tuple[str, ...] | None = None,
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of predicting the map `target`, int (b, h, w), from the image or `inputs`.

    The training metrics are loss and pixel_accuracy. An evaluation gives loss and pixels (c, c):
    how many pixels of each true class (row) the model predicts as each class (column).
    `library.summaries` makes pixel_accuracy, class_accuracy, mean_iou and the IoU of each class
    from these. The loss of an evaluation is weighted, too.

    Outputs: "logits" (b, h, w, c); "prediction", int32 (b, h, w), the likeliest class; "mean_iou"
    (b,), of the classes that an image has or is predicted to have, and "error", 1 - mean_iou;
    "overlay", uint8 (b, 3, h, w, 3), the image, the image under its map, and the image under the
    prediction; "features" and "intermediates", which the model records.

    Args:
      model: `(image (b, h, w, k), train) -> logits (b, h, w, num_classes)`.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the map.
      inputs: the features that the model takes, in order; the first is the image of the overlay.
      target: the name of the feature with the map.
      ignore: the value of pixels that do not count, such as padding by augmentation.
      loss: "softmax", the cross-entropy of pixels, or "dice": 1 minus the mean over classes of
        (2 |A B| + 1) / (|A| + |B| + 1), of an image's true and predicted areas (Milletari et al.
        2016, arXiv 1606.04797, without squares).
      class_weights: one weight per class, or the name of a feature that has them, (b, c), such as
        that of the preprocessing `class_weights`. The loss is a mean over pixels, or for "dice"
        over classes, that is weighted by them.
      weight: the name of a field with a weight for each pixel, such as that of the preprocessing
        `border_weights`.
      margin: pixels on each side of an image that the model gives no logits for, such as 92 for a
        U-Net with padding "valid". They do not count.
      label_names: names of the classes.
      unnormalize: maps normalized images back to [0, 1].

    Raises:
      ConfigError: the model has another number of classes, the loss is unknown, the weights do not
        fit the classes, or, when the step is traced, the map has another shape than the logits.
    """
    check_outputs(model, num_classes, "num_classes")
    check_choice("loss", loss, ("softmax", "dice"))
    named = isinstance(class_weights, str)
    weights = class_weights if named else checked_weights(class_weights, num_classes)
    problem = _Problem(loss, num_classes, weights)
    read = partial(_pixels, target=target, ignore=ignore, weight=weight, margin=margin)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        logits, variables = trained(model, params, variables, batch, inputs, key)
        pixels = read(batch, logits)
        right = pixels.known & (jnp.argmax(logits, -1) == pixels.classes)
        accuracy = (
            jnp.sum(right, dtype=jnp.float32),
            jnp.sum(pixels.known, dtype=jnp.float32),
        )
        return {"loss": problem.lost(logits, pixels, batch), "pixel_accuracy": accuracy}, variables

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return evaluated(model, state, batch, inputs)

    def paint(batch: Batch, found: Int[Array, "b h w"]) -> UInt8[Array, "b 3 h w 3"]:
        image, true = unnormalize(batch[inputs[0]]), _inner(batch[target], margin)
        shown = (jnp.zeros_like(found), true, found)
        image = _inner(image, margin)
        return jnp.stack([painting.overlaid(image, m, num_classes) for m in shown], axis=1)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        found = logits(state, batch, key)
        pixels = read(batch, found)
        counts = _counted(found, pixels.classes, pixels.known)
        return {"loss": problem.lost(found, pixels, batch), "pixels": (counts, jnp.sum(counts))}

    learner = minimize(objective)
    outputs = {**_outputs(logits, read, paint), **recorded_outputs(model, inputs)}
    known = label_names if label_names and len(label_names) == num_classes else ()
    meaning = {"pixels": partial(summaries.intersection_over_union, names=known)}
    return Task(init, learner.update, evaluate, outputs, meaning)


class _Problem(NamedTuple):
    """What is learnt.

    Attributes:
      loss: see `segmentation`.
      num_classes: see `segmentation`.
      class_weights: one weight per class, the name of the feature that has them, or None.
    """

    loss: str
    num_classes: int
    class_weights: Any

    def lost(self, logits: Array, pixels: Pixels, batch: Batch) -> tuple[Array, Array]:
        """Returns the loss as a pair (sum, weight)."""
        if self.class_weights is None:
            by_class = jnp.ones(self.num_classes)
        elif isinstance(self.class_weights, str):
            by_class = _fitted(batch, self.class_weights, self.num_classes)
        else:
            by_class = jnp.asarray(self.class_weights)
        by_class = jnp.broadcast_to(by_class, (len(logits), self.num_classes))
        if self.loss == "dice":
            return pair(_dice(logits, pixels, by_class), batch["mask"])
        return _cross_entropy(logits, pixels, by_class)


def _outputs(
    logits: Callable[..., Array],
    read: Callable[[Batch, Array], Pixels],
    paint: Callable[[Batch, Array], Array],
) -> dict[str, Callable[..., Array]]:
    """Returns the outputs of the task, see `segmentation`.

    Args:
      logits: the output "logits".
      read: `(batch, logits) -> pixels that count`.
      paint: `(batch, predicted classes) -> pictures`.
    """

    def prediction(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b h w"]:
        return jnp.argmax(logits(state, batch, key), axis=-1).astype(jnp.int32)

    def overlay(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b 3 h w 3"]:
        return paint(batch, prediction(state, batch, key))

    def mean_iou(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        found = logits(state, batch, key)
        pixels = read(batch, found)
        return _mean_iou(jax.vmap(_counted)(found, pixels.classes, pixels.known))

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return 1 - mean_iou(state, batch, key)

    return {
        "logits": logits,
        "prediction": prediction,
        "overlay": overlay,
        "mean_iou": mean_iou,
        "error": error,
    }


def _cross_entropy(
    logits: Float[Array, "b h w c"], pixels: Pixels, by_class: Float[Array, "b c"]
) -> tuple[Array, Array]:
    """Returns the summed cross-entropy of the pixels, weighted, and their weight."""
    each = optax.softmax_cross_entropy_with_integer_labels(logits, pixels.classes)
    each = _nan_outside(pixels, each, logits.shape[-1])
    of_class = jax.vmap(lambda weights, classes: weights[classes])(by_class, pixels.classes)
    weight = of_class * pixels.weight
    return jnp.sum(jnp.where(pixels.known, each, 0) * weight), jnp.sum(weight)


def _dice(
    logits: Float[Array, "b h w c"], pixels: Pixels, by_class: Float[Array, "b c"]
) -> Float[Array, " b"]:
    """Returns 1 minus the mean dice of each image's classes, weighted by class."""
    weight = pixels.weight[..., None]
    # A pixel that does not count may hold any number.
    share = nn.softmax(jnp.where(pixels.known[..., None], logits, 0)) * weight
    true = jax.nn.one_hot(pixels.classes, logits.shape[-1]) * weight
    both = jnp.sum(share * (true > 0), axis=(1, 2))
    areas = jnp.sum(share, axis=(1, 2)) + jnp.sum(true, axis=(1, 2))
    overlap = (2 * both + 1) / (areas + 1)
    found = 1 - jnp.sum(overlap * by_class, axis=-1) / jnp.sum(by_class, axis=-1)
    inside = _nan_outside(pixels, pixels.weight, logits.shape[-1])
    return found + 0 * jnp.sum(inside, axis=(1, 2))


def _nan_outside(pixels: Pixels, values: Float[Array, "b h w"], num: int) -> Array:
    """Returns NaN where a number is outside the classes: it must show as a loss of NaN."""
    return nan_unless((pixels.classes >= 0) & (pixels.classes < num), values)


def _mean_iou(counts: Float[Array, "b c c"]) -> Float[Array, " b"]:
    """Returns each image's mean IoU over the classes that occur; nan if no pixel counts."""
    right = jnp.diagonal(counts, axis1=1, axis2=2)
    union = jnp.sum(counts, 1) + jnp.sum(counts, 2) - right
    each = right / jnp.maximum(union, 1)
    occurring = jnp.sum(union > 0, axis=-1)
    with jax.debug_nans(False):
        return jnp.where(occurring > 0, jnp.sum(each, -1) / jnp.maximum(occurring, 1), jnp.nan)


def _counted(
    logits: Float[Array, "*s c"], classes: Int[Array, "*s"], known: Bool[Array, "*s"]
) -> Float[Array, "c c"]:
    """Counts the known pixels of each true class (row) by the likeliest class (column)."""
    num_classes = logits.shape[-1]
    place = classes * num_classes + jnp.argmax(logits, axis=-1)
    counts = jnp.zeros(num_classes**2).at[place.ravel()].add(known.ravel().astype(jnp.float32))
    return counts.reshape(num_classes, num_classes)


def _pixels(
    batch: Batch,
    logits: Float[Array, "b h w c"],
    *,
    target: str,
    ignore: int,
    weight: str | None,
    margin: int,
) -> Pixels:
    """Reads the map of a batch, and the weights of its pixels.

    Raises:
      ConfigError: the map or the field of weights has another shape than the logits.
    """
    classes = _inner(batch[target], margin)
    _check_shape("map", target, classes, logits)
    known = (classes != ignore) & (batch["mask"] > 0)[:, None, None]
    weights = known.astype(jnp.float32)
    if weight is not None and weight not in batch:
        raise ConfigError(
            f"weight={weight!r}: the examples have no such field; the preprocessing "
            "border_weights adds one"
        )
    if weight is not None:
        field = _inner(batch[weight], margin)
        _check_shape("weights", weight, field, logits)
        weights = jnp.where(known, field, 0)
    return Pixels(jnp.where(known, classes, 0), known, weights)


def _check_shape(what: str, name: str, x: Array, logits: Array) -> None:
    if x.shape != logits.shape[:-1]:
        raise ConfigError(
            f"the {what} {name!r} has shape {x.shape}, but the logits have {logits.shape}"
        )


def _fitted(batch: Batch, name: str, num: int) -> Float[Array, "b c"]:
    """Reads the weights of classes that the preprocessing adds to each example."""
    if name not in batch:
        raise ConfigError(
            f"class_weights={name!r}: the examples have no such feature; the preprocessing "
            "class_weights adds it"
        )
    if batch[name].shape[1:] != (num,):
        raise ConfigError(
            f"class_weights={name!r} has the shape {batch[name].shape[1:]}, expected ({num},)"
        )
    return batch[name]


def _inner(x: Array, margin: int) -> Array:
    """Returns images or maps without `margin` pixels on each side."""
    return x[:, margin : x.shape[1] - margin, margin : x.shape[2] - margin]
