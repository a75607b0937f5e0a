"""Detection: finding the objects in an image, each with a box, a class and a confidence.

What a network's outputs mean and how they learn is a method of library/object_detection/methods.py.
The rest is the same for all: overlapping detections are suppressed, counted, drawn and handed on
as rows of ymin, xmin, ymax, xmax, confidence and class.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt8

from library import config, painting, summaries
from library.config import ConfigError
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.object_detection.boxes import overlaps
from library.object_detection.methods import Losses, Method
from library.object_detection.objects import Objects, of_batch
from library.object_detection.suppression import suppressed
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def detection(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    method: dict | None = None,
    inputs: tuple[str, ...] = ("image",),
    target: str = "boxes",
    confidence: float = 0.5,
    overlap: float = 0.5,
    least: float = 0.001,
    suppress: float = 0.5,
    class_wise: bool = True,
    num_detections: int = 100,
    candidates: int = 1000,
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of finding the objects `target` in the image, or in other `inputs`.

    It reads `boxes` (b, n, 4), `boxes_label` (b, n) and `boxes_mask` (b, n), which `pad_objects`
    makes. Metrics of training are loss, and its parts where the method has any. An evaluation adds
    precision, recall and f1 of the detections from `confidence` on: one is right if it overlaps an
    object of its class by `overlap` or more, and each object counts once. From the surest on, a
    detection takes the object that it overlaps most, of those that are left.

    Outputs: "detections" (b, num_detections, 6), ymin, xmin, ymax, xmax as fractions of the image,
    confidence and class, where confidence 0 means no detection; "overlay", uint8 (b, 2, h, w, 3),
    the image with its objects, and the image with the detections from `confidence` on; "error"
    (b,), the loss of each image; "features" and "intermediates", which the model records.

    Args:
      model: `(image (b, h, w, c), train) -> outputs`, as the method takes them.
      minimize: turns a loss into the training step.
      num_classes: number of classes of objects.
      method: name and arguments of a function of library/object_detection/methods.py; by default
        dict(name="grid").
      inputs: the features that the model takes, in order; the first is the image of the overlay.
      target: the name of the feature with the boxes.
      confidence: the least confidence of a detection that is counted and drawn.
      overlap: the intersection over union that makes a detection right.
      least: the least confidence of a row of "detections"; average precision needs unsure ones.
      suppress: of two detections that overlap more, the one with less confidence is dropped.
      class_wise: whether only detections of the same class suppress each other.
      num_detections: the most detections in an image.
      candidates: the most boxes of an image, with one class each, that suppression compares.
      unnormalize: maps normalized images back to [0, 1].

    Raises:
      ConfigError: the model has another number of classes, a threshold is not in (0, 1), `least` is
        above `confidence`, there are fewer candidates than detections, or the method is invalid.
    """
    check_outputs(model, num_classes, "num_classes")
    if not 1 <= num_detections <= candidates:
        raise ConfigError(
            f"num_detections={num_detections}, candidates={candidates}: valid are 1 or more "
            "detections, and as many candidates or more"
        )
    _check(confidence=confidence, overlap=overlap, least=least, suppress=suppress)
    keep = partial(
        suppressed,
        num=num_detections,
        least=least,
        overlap=suppress,
        class_wise=class_wise,
        candidates=candidates,
    )
    built = config.build(
        method or {"name": "grid"},
        "library.object_detection.methods",
        "method",
        num_classes=num_classes,
    )
    detector = Detector(model, num_classes, inputs, target, built, keep, confidence, unnormalize)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        outputs, variables = trained(model, params, variables, batch, inputs, key)
        return _metrics(detector.losses(outputs, batch), batch["mask"]), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        outputs, mask = evaluated(model, state, batch, inputs), batch["mask"]
        ours = _sure(detector.found(outputs, batch), confidence)
        counts = jax.vmap(partial(_counts, overlap=overlap))(ours, of_batch(batch, target))
        return {**_metrics(detector.losses(outputs, batch), mask), "found": pair(counts, mask)}

    learner = minimize(objective)
    outputs = {
        "detections": detector.detections,
        "overlay": detector.overlay,
        "error": detector.error,
        **recorded_outputs(model, inputs),
    }
    meaning = {"found": summaries.precision_and_recall}
    return Task(init, learner.update, evaluate, outputs, meaning)


class Detector(NamedTuple):
    """A network, what its outputs mean, and which detections are kept.

    Attributes are the arguments of `detection`; `method` is built, and `keep` maps the boxes (m, 4)
    and scores (m, c) of an image to its rows of detections.
    """

    model: nn.Module
    num_classes: int
    inputs: tuple[str, ...]
    target: str
    method: Method
    keep: Callable[[Array, Array], Float[Array, "k 6"]]
    confidence: float
    unnormalize: Callable[[Array], Array]

    def losses(self, outputs: Any, batch: Batch) -> Losses:
        """Returns the losses of the network's outputs."""
        return self.method.losses(outputs, of_batch(batch, self.target), self._sides(batch))

    def found(self, outputs: Any, batch: Batch) -> Float[Array, "b m 6"]:
        """Returns the detections of the network's outputs."""
        return jax.vmap(self.keep)(*self.method.candidates(outputs, self._sides(batch)))

    def detections(
        self, state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> Float[Array, "b m 6"]:
        """Returns the task's output "detections"."""
        return self.found(evaluated(self.model, state, batch, self.inputs), batch)

    def overlay(
        self, state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> UInt8[Array, "b 2 h w 3"]:
        """Returns the task's output "overlay"."""
        image = self.unnormalize(batch[self.inputs[0]])
        ours = _sure(self.detections(state, batch, key), self.confidence)
        both = (of_batch(batch, self.target), ours)
        drawn = [painting.framed(image, *each, self.num_classes) for each in both]
        return jnp.stack(drawn, axis=1)

    def error(self, state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        """Returns the task's output "error"."""
        losses = self.losses(evaluated(self.model, state, batch, self.inputs), batch)
        return losses.sums["loss"] / jnp.maximum(losses.weights, 1)

    def _sides(self, batch: Batch) -> tuple[int, int]:
        return batch[self.inputs[0]].shape[1:3]


def _check(confidence: float, least: float, **others: float) -> None:
    for name, value in dict(confidence=confidence, least=least, **others).items():
        if not 0 < value < 1:
            raise ConfigError(f"{name}={value}: valid are numbers between 0 and 1")
    if least > confidence:
        raise ConfigError(
            f"least={least} is above confidence={confidence}: detections that are counted must be "
            f"among the rows; valid are numbers up to {confidence}"
        )


def _metrics(losses: Losses, mask: Float[Array, " b"]) -> Mapping[str, tuple[Array, Array]]:
    """Returns each loss as its sum over the examples and the sum of their weights."""
    weight = pair(losses.weights, mask)[0]
    return {name: (pair(values, mask)[0], weight) for name, values in losses.sums.items()}


def _sure(rows: Float[Array, "b m 6"], confidence: float) -> Objects:
    """Returns the detections of each image from a confidence on."""
    return Objects(rows[..., :4], rows[..., 5].astype(jnp.int32), rows[..., 4] >= confidence)


def _counts(found: Objects, wanted: Objects, overlap: float) -> Float[Array, " 3"]:
    """Counts the right detections, all detections, and the objects."""
    shared = overlaps(found.boxes, wanted.boxes)
    fits = (found.classes[:, None] == wanted.classes) & found.there[:, None] & wanted.there
    fits &= shared >= overlap

    def match(left: Array, row: Array) -> tuple[Array, Array]:
        free = jnp.where(left, row, 0)
        chosen = jnp.argmax(free)
        hit = free[chosen] > 0
        return left.at[chosen].set(left[chosen] & ~hit), hit

    _, right = jax.lax.scan(match, wanted.there, jnp.where(fits, shared, 0))
    return jnp.stack([jnp.sum(x) for x in (right, found.there, wanted.there)]).astype(jnp.float32)
