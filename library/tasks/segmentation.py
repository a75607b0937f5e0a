"""Semantic segmentation: a class for each pixel of an image.

The loss is the cross-entropy averaged over pixels (Long et al. 2015, "Fully Convolutional Networks
for Semantic Segmentation", arXiv 1411.4038, section 4).
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt8

from library import maps, painting, summaries
from library.config import ConfigError
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs
from library.tasks.classification import checked_weights


def segmentation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    inputs: tuple[str, ...] = ("image",),
    target: str = "map",
    ignore: int = maps.UNKNOWN,
    class_weights: tuple[float, ...] | None = None,
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of predicting the map `target`, int (b, h, w), from the image or `inputs`.

    The training metrics are loss and pixel_accuracy. An evaluation gives loss and pixels (c, c):
    how many pixels of each true class (row) the model predicts as each class (column).
    `library.summaries` makes pixel_accuracy, per_class_iou and mean_iou from these. The loss of an
    evaluation is weighted, too.

    Outputs: "logits" (b, h, w, c); "prediction", int32 (b, h, w), the likeliest class; "overlay",
    uint8 (b, 3, h, w, 3), the image, the image under its map, and the image under the prediction;
    "features" and "intermediates", which the model records.

    Args:
      model: `(image (b, h, w, k), train) -> logits (b, h, w, num_classes)`.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the map.
      inputs: the features that the model takes, in order; the first is the image of the overlay.
      target: the name of the feature with the map.
      ignore: the value of pixels that do not count, such as padding by augmentation.
      class_weights: one weight per class; the loss is a mean over pixels weighted by them.
      unnormalize: maps normalized images back to [0, 1].

    Raises:
      ConfigError: the model has another number of classes, the weights do not fit the classes, or,
        when the step is traced, the map has another shape than the logits.
    """
    check_outputs(model, num_classes, "num_classes")
    weights = checked_weights(class_weights, num_classes)
    weights = np.ones(num_classes, np.float32) if weights is None else weights

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        logits, variables = trained(model, params, variables, batch, inputs, key)
        classes, known = _known(batch, target, ignore, logits)
        right = known & (jnp.argmax(logits, -1) == classes)
        accuracy = (jnp.sum(right, dtype=jnp.float32), jnp.sum(known, dtype=jnp.float32))
        loss = _loss(logits, classes, known, weights)
        return {"loss": loss, "pixel_accuracy": accuracy}, variables

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return evaluated(model, state, batch, inputs)

    def prediction(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b h w"]:
        return jnp.argmax(logits(state, batch, key), axis=-1).astype(jnp.int32)

    def overlay(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b 3 h w 3"]:
        image, found = unnormalize(batch[inputs[0]]), prediction(state, batch, key)
        maps = (jnp.zeros_like(found), batch[target], found)
        return jnp.stack([painting.overlaid(image, m, num_classes) for m in maps], axis=1)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        found = logits(state, batch, key)
        classes, known = _known(batch, target, ignore, found)
        pixels = _counted(found, classes, known)
        loss = _loss(found, classes, known, weights)
        return {"loss": loss, "pixels": (pixels, jnp.sum(pixels))}

    learner = minimize(objective)
    outputs = {"logits": logits, "prediction": prediction, "overlay": overlay}
    outputs |= recorded_outputs(model, inputs)
    meaning = {"pixels": summaries.intersection_over_union}
    return Task(init, learner.update, evaluate, outputs, meaning)


def _loss(
    logits: Float[Array, "b h w c"],
    classes: Int[Array, "b h w"],
    known: Bool[Array, "b h w"],
    weights: Float[np.ndarray, " c"],
) -> tuple[Array, Array]:
    """Returns the summed cross-entropy of the known pixels, weighted by class, and their weight."""
    # A number outside the classes must show as a NaN loss.
    each = optax.softmax_cross_entropy_with_integer_labels(logits, classes)
    each = nan_unless((classes >= 0) & (classes < len(weights)), each)
    weight = jnp.where(known, jnp.asarray(weights)[classes], 0)
    return jnp.sum(jnp.where(known, each, 0) * weight), jnp.sum(weight)


def _counted(
    logits: Float[Array, "b h w c"], classes: Int[Array, "b h w"], known: Bool[Array, "b h w"]
) -> Float[Array, "c c"]:
    """Counts the known pixels of each true class (row) by the likeliest class (column)."""
    num_classes = logits.shape[-1]
    place = classes * num_classes + jnp.argmax(logits, axis=-1)
    counts = jnp.zeros(num_classes**2).at[place.ravel()].add(known.ravel().astype(jnp.float32))
    return counts.reshape(num_classes, num_classes)


def _known(
    batch: Batch, target: str, ignore: int, logits: Float[Array, "b h w c"]
) -> tuple[Int[Array, "b h w"], Bool[Array, "b h w"]]:
    """Returns each pixel's class, 0 where it does not count, and whether the pixel counts."""
    classes = batch[target]
    if classes.shape != logits.shape[:-1]:
        raise ConfigError(
            f"the map {target!r} has shape {classes.shape}, but the logits have {logits.shape}"
        )
    known = (classes != ignore) & (batch["mask"] > 0)[:, None, None]
    return jnp.where(known, classes, 0), known
