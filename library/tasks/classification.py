"""Classification: one class per example (softmax), or any number of classes (sigmoid).

Cross-entropy is the negative log-likelihood of the labels under the distribution that the output
layer defines: categorical for softmax, one Bernoulli variable per class for sigmoid (Bishop 2006,
Pattern Recognition and Machine Learning, sections 4.3.2 and 4.3.4).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library import summaries
from library.config import ConfigError, check_choice, nearest
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained, variables_of
from library.task import (
    Batch,
    Learner,
    Loss,
    Metrics,
    Task,
    TrainState,
    check_outputs,
    pair,
    where_present,
)

CALIBRATION_BINS = 15
# The matrix of ImageNet-21k would take 1.8 GB.
MAX_CONFUSION_CLASSES = 2000

# (logits, labels, targets) -> each example's weighted loss, and its weight.
ExampleLosses = Callable[[Array, Array, Array], tuple[Array, Array]]


def classification(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    loss: Literal["softmax", "sigmoid"] = "softmax",
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    aux_weight: float = 0.0,
    penalty_weight: float = 0.0,
    frozen_statistics: bool = False,
    test_time_augmentation: Literal["none", "mirror", "mirror_translate"] = "none",
    inputs: tuple[str, ...] = ("image",),
) -> Task:
    """Builds the task of predicting `batch["label"]` from the image, or from other `inputs`.

    A label is the number of a class, int (b,), or a value for each class, float (b, c): the shares
    of a mixed label, which sum to one, or, with `loss="sigmoid"`, 1 (yes) or 0 (no).

    The training metrics are loss and accuracy: whether the class with the highest logit has the
    highest label. An evaluation with one label per example gives loss, accuracy, top5 (all classes
    where there are fewer), confusion (c, c) with a row for each true class, and calibration
    (3, 15): the summed confidence, the summed correctness and the count of each bin of confidence
    (Guo et al. 2017, section 2). An evaluation with yes or no for each class gives loss,
    label_accuracy (the share of right answers) and exact_match (the share of examples whose answers
    are all right). The loss of an evaluation is weighted but not smoothed.

    Outputs: "logits" and "probabilities" (b, c), after test-time augmentation; "features" (b, d),
    the input of the model's head; "intermediates", all values that the model records.

    Args:
      model: `(image (b, h, w, c), train) -> logits (b, num_classes)`; it takes `inputs` in place of
        the image.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the dataset.
      loss: "softmax" for one class per example, "sigmoid" for each class by itself.
      label_smoothing: targets are (1 - label_smoothing) labels + label_smoothing / num_classes
        (Szegedy et al. 2016, section 7), with either loss.
      class_weights: one weight per class. Softmax weights an example by the weight w of its class
        and minimizes sum(w l) / sum(w), where w of a mixed label is the mean; sigmoid weights the
        term of each class.
      reduction: how the sigmoid loss combines the classes; "mean" divides by the sum of the
        weights.
      aux_weight: factor of the loss of each auxiliary classifier, whose logits the model records in
        training as "aux_logits", "aux1_logits", ... (0.3 in Szegedy et al. 2014, section 5).
      penalty_weight: factor of the penalty (b,) that the model records in training as "penalty"
        (0.001 for the transforms of PointNet, Qi et al. 2017).
      frozen_statistics: trains the model in its evaluation mode: it uses the batch statistics
        without changing them and drops nothing. For a body whose params are frozen, too.
      test_time_augmentation: "mirror" averages the logits of the image and its mirror image.
        "mirror_translate" gives this average half of the weight. The other half goes to the same
        average of two shifted images: one pixel down and right, and one pixel up and left, with
        reflected borders (Jordan 2024, arXiv 2404.00498, multi-crop evaluation).
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: the model has another number of classes, the weights do not fit the classes, a
        smoothing is outside [0, 1), the loss does not use the reduction, statistics are frozen
        although `aux_weight` or `penalty_weight` is set, a weight is negative, the model records no
        penalty, or test-time augmentation gets several inputs.
    """
    check_outputs(model, num_classes, "num_classes")
    _check_augmentation(test_time_augmentation, inputs)
    weights = checked_weights(class_weights, num_classes)
    losses = _example_losses(loss, weights, reduction)
    _check_training(label_smoothing, frozen_statistics, aux_weight, penalty_weight)
    measures = _Measures(num_classes, loss, losses, label_smoothing, aux_weight, penalty_weight)
    recorded = ["intermediates"] if aux_weight or penalty_weight else []
    outputs = _outputs(model, loss, test_time_augmentation, inputs)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        options = dict(train=not frozen_statistics, recorded=recorded)
        logits, variables = trained(model, params, variables, batch, inputs, key, **options)
        intermediates = variables.pop("intermediates", {})
        return measures.training(logits, intermediates, batch), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measures.evaluation(outputs["logits"](state, batch, key), batch)

    learner = minimize(objective)
    summarized = {"confusion": summaries.confusion, "calibration": summaries.calibration}
    return Task(init, learner.update, evaluate, outputs, summarized)


class _Measures(NamedTuple):
    """What training and evaluation measure of a batch's logits.

    Attributes:
      num_classes: number of classes.
      loss: "softmax" or "sigmoid".
      losses: the loss of each example.
      label_smoothing: the share of the labels that training spreads over all classes.
      aux_weight: factor of the loss of each auxiliary classifier.
      penalty_weight: factor of the penalty that the model records.
    """

    num_classes: int
    loss: str
    losses: ExampleLosses
    label_smoothing: float
    aux_weight: float
    penalty_weight: float

    def training(
        self, logits: Float[Array, "b c"], recorded: Mapping[str, Any], batch: Batch
    ) -> Metrics:
        """Returns the loss, with the losses of auxiliary logits in `recorded`, and the accuracy."""
        mask = batch["mask"]
        labels = _dense_labels(batch["label"], mask, self.num_classes)
        targets = optax.smooth_labels(labels, self.label_smoothing)
        each, weight = self.losses(logits, labels, targets)
        if self.aux_weight:
            for aux in _auxiliary(recorded):
                each = each + self.aux_weight * self.losses(aux, labels, targets)[0]
        if self.penalty_weight:
            each = each + self.penalty_weight * _penalty(recorded)
        return {
            "loss": _summed(each, weight, mask),
            "accuracy": pair(_hit(logits, labels), mask),
        }

    def evaluation(self, logits: Float[Array, "b c"], batch: Batch) -> Metrics:
        """Returns the loss without smoothing, and the metrics of one or of many labels."""
        mask = batch["mask"]
        labels = _dense_labels(batch["label"], mask, self.num_classes)
        metrics = {"loss": _summed(*self.losses(logits, labels, labels), mask)}
        if self.loss == "sigmoid" and batch["label"].ndim == 2:
            return {**metrics, **_multi_label_metrics(logits, labels, mask)}
        probabilities = _probabilities(logits, self.loss)
        label = jnp.argmax(labels, axis=-1)
        return {**metrics, **_single_label_metrics(logits, probabilities, label, mask)}


def _check_augmentation(augmentation: str, inputs: tuple[str, ...]) -> None:
    check_choice("test_time_augmentation", augmentation, _AUGMENTATIONS)
    if augmentation != "none" and len(inputs) != 1:
        raise ConfigError(f"test_time_augmentation={augmentation!r} takes one input, not {inputs}")


def _check_training(
    label_smoothing: float, frozen_statistics: bool, aux_weight: float, penalty_weight: float
) -> None:
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing={label_smoothing}: valid are 0 to below 1")
    if penalty_weight < 0:
        raise ConfigError(f"penalty_weight={penalty_weight}: valid are 0 or more")
    if frozen_statistics and aux_weight:
        raise ConfigError(
            f"aux_weight={aux_weight}: auxiliary classifiers need frozen_statistics=False; "
            "valid with frozen_statistics=True is aux_weight=0"
        )
    if frozen_statistics and penalty_weight:
        raise ConfigError(
            f"penalty_weight={penalty_weight} needs frozen_statistics=False; valid with "
            "frozen_statistics=True is penalty_weight=0"
        )


def _auxiliary(recorded: Mapping[str, Any]) -> list[Float[Array, "b c"]]:
    found = [recorded[name] for name in sorted(recorded) if re.fullmatch(r"aux\d*_logits", name)]
    if not found:
        raise ConfigError(
            "aux_weight: the model records no logits of an auxiliary classifier in training; "
            f"{nearest('aux_logits', recorded)}. Models with auxiliary classifiers take "
            "model.aux=True"
        )
    return found


def _penalty(recorded: Mapping[str, Any]) -> Float[Array, " b"]:
    if "penalty" not in recorded:
        raise ConfigError(
            "penalty_weight: the model records no 'penalty' in training; "
            f"{nearest('penalty', recorded)}"
        )
    return recorded["penalty"]


def checked_weights(weights: tuple[float, ...] | None, num_classes: int) -> np.ndarray | None:
    """Returns the loss weights of the classes as float32 (num_classes,), or None.

    Raises:
      ConfigError: there is not one weight for each class, or a weight is not finite or below 0, or
        all are 0.
    """
    if weights is None:
        return None
    if len(weights) != num_classes:
        raise ConfigError(f"class_weights has {len(weights)} values for {num_classes} classes")
    if not all(0 <= w < float("inf") for w in weights) or not sum(weights):
        raise ConfigError(f"class_weights={weights}: weights are finite, none below 0, not all 0")
    return np.asarray(weights, np.float32)


def _example_losses(loss: str, weights: np.ndarray | None, reduction: str) -> ExampleLosses:
    check_choice("loss", loss, ("softmax", "sigmoid"))
    check_choice("reduction", reduction, ("sum", "mean"))
    if loss == "softmax" and reduction != "sum":
        raise ConfigError(
            f"reduction={reduction!r} is read with loss='sigmoid' only, not 'softmax'"
        )

    def softmax(logits, labels, targets):
        weight = jnp.ones(len(logits)) if weights is None else jnp.sum(labels * weights, axis=-1)
        return optax.softmax_cross_entropy(logits, targets) * weight, weight

    def sigmoid(logits, labels, targets):
        each = np.ones(logits.shape[-1], np.float32) if weights is None else weights
        total = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, targets) * each, axis=-1)
        return total / each.sum() if reduction == "mean" else total, jnp.ones(len(logits))

    return softmax if loss == "softmax" else sigmoid


def _dense_labels(
    label: Int[Array, " b"] | Float[Array, "b c"], mask: Float[Array, " b"], num_classes: int
) -> Float[Array, "b c"]:
    if jnp.issubdtype(label.dtype, jnp.floating):
        if label.shape[-1] != num_classes:
            raise ValueError(f"labels have shape {label.shape} for {num_classes} classes")
        return label
    # A number outside the classes must show as a NaN loss: a row of zeros would look like an
    # example without a loss.
    known = ((label >= 0) & (label < num_classes)) | (mask == 0)
    return nan_unless(known[:, None], jax.nn.one_hot(label, num_classes))


def _summed(
    losses: Float[Array, " b"], weights: Float[Array, " b"], mask: Float[Array, " b"]
) -> tuple[Array, Array]:
    return jnp.sum(where_present(losses, mask)), jnp.sum(where_present(weights, mask))


def _hit(logits: Float[Array, "b c"], labels: Float[Array, "b c"]) -> Bool[Array, " b"]:
    best = jnp.argmax(logits, axis=-1)
    chosen = jnp.take_along_axis(labels, best[:, None], axis=-1)[:, 0]
    return chosen >= jnp.max(labels, axis=-1)


def _single_label_metrics(
    logits: Float[Array, "b c"],
    probabilities: Float[Array, "b c"],
    label: Int[Array, " b"],
    mask: Float[Array, " b"],
) -> Metrics:
    num_classes = logits.shape[-1]
    best = jnp.argmax(logits, axis=-1)
    top5 = jax.lax.top_k(logits, min(5, num_classes))[1]
    correct = best == label
    metrics = {
        "accuracy": pair(correct, mask),
        "top5": pair(jnp.any(top5 == label[:, None], axis=-1), mask),
        "calibration": _calibration(jnp.max(probabilities, axis=-1), correct, mask),
    }
    if num_classes <= MAX_CONFUSION_CLASSES:
        rows = where_present(jax.nn.one_hot(label, num_classes), mask)
        metrics["confusion"] = (rows.T @ jax.nn.one_hot(best, num_classes), jnp.sum(mask))
    return metrics


def _calibration(
    confidence: Float[Array, " b"], correct: Bool[Array, " b"], mask: Float[Array, " b"]
) -> tuple[Array, Array]:
    """Returns the sums by bin; bins are ((m - 1) / M, m / M] (Guo et al. 2017, section 2)."""
    position = jnp.ceil(confidence * CALIBRATION_BINS).astype(jnp.int32) - 1
    bins = jax.nn.one_hot(jnp.clip(position, 0, CALIBRATION_BINS - 1), CALIBRATION_BINS)
    values = jnp.stack([confidence, correct.astype(jnp.float32), jnp.ones_like(confidence)], -1)
    return pair(values[:, :, None] * bins[:, None, :], mask)


def _multi_label_metrics(
    logits: Float[Array, "b c"], labels: Float[Array, "b c"], mask: Float[Array, " b"]
) -> Metrics:
    right = (logits > 0) == (labels > 0.5)
    return {
        "label_accuracy": pair(jnp.mean(right, axis=-1), mask),
        "exact_match": pair(jnp.all(right, axis=-1), mask),
    }


def _probabilities(logits: Float[Array, "b c"], loss: str) -> Float[Array, "b c"]:
    return jax.nn.softmax(logits) if loss == "softmax" else jax.nn.sigmoid(logits)


def _outputs(
    model: nn.Module, loss: str, augmentation: str, inputs: tuple[str, ...]
) -> Mapping[str, Callable[..., Any]]:
    views = _AUGMENTATIONS[augmentation]

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        if augmentation == "none":
            return evaluated(model, state, batch, inputs)
        variables = variables_of(state)
        weights, images = views(batch[inputs[0]])
        each = jax.lax.map(lambda x: model.apply(variables, x, train=False), jnp.stack(images))
        return jnp.sum(each * np.float32(weights)[:, None, None], axis=0)

    def probabilities(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        return _probabilities(logits(state, batch, key), loss)

    return {"logits": logits, "probabilities": probabilities, **recorded_outputs(model, inputs)}


def _mirror(image: Float[Array, "b h w c"]) -> tuple[tuple[float, ...], list[Array]]:
    return (0.5, 0.5), [image, image[:, :, ::-1]]


def _mirror_translate(image: Float[Array, "b h w c"]) -> tuple[tuple[float, ...], list[Array]]:
    height, width = image.shape[1:3]
    padded = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    moved = padded[:, :height, :width], padded[:, 2:, 2:]
    images = [view for x in (image, *moved) for view in _mirror(x)[1]]
    return (0.25, 0.25, 0.125, 0.125, 0.125, 0.125), images


_AUGMENTATIONS = {"none": None, "mirror": _mirror, "mirror_translate": _mirror_translate}
