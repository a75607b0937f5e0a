"""Adaline: linear units that learn the signs of their classes by the squared error.

Widrow & Hoff 1960, "Adaptive switching circuits": the least mean squares rule is a step of gradient
descent on the squared error of one example. `library.tasks.least_squares` finds the minimum that it
approaches in closed form.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import summaries
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained
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


def adaline(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    inputs: tuple[str, ...] = ("image",),
) -> Task:
    """Builds the task of predicting `batch["label"]` with one unit for each class.

    The target of a unit is 1 for its class and -1 for others. The loss of an example is half of the
    squared error, summed over the units, so that a step of gradient descent is the rule of Widrow
    and Hoff. The class is that of the largest unit.

    The metrics are loss and accuracy, and in evaluation confusion (c, c), a row for each true
    class.

    Outputs: "logits" (b, c), the values of the units; "features" (b, d), the input of the model's
    head; "intermediates", all values that the model records.

    Args:
      model: `(image (b, h, w, c), train) -> units (b, num_classes)`; it takes `inputs` in place of
        the image.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the dataset.
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: the model has another number of classes.
    """
    check_outputs(model, num_classes, "num_classes")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        units, moved = trained(model, params, variables, batch, inputs, key)
        return measured(units, batch), moved

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        return evaluated(model, state, batch, inputs)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        units, mask = logits(state, batch, key), batch["mask"]
        rows = where_present(jax.nn.one_hot(batch["label"], num_classes), mask)
        best = jax.nn.one_hot(jnp.argmax(units, axis=-1), num_classes)
        return {**measured(units, batch), "confusion": (rows.T @ best, jnp.sum(mask))}

    learner = minimize(objective)
    outputs = {"logits": logits, **recorded_outputs(model, inputs)}
    return Task(init, learner.update, evaluate, outputs, {"confusion": summaries.confusion})


def measured(units: Float[Array, "b c"], batch: Batch) -> Metrics:
    """Returns the loss and the accuracy of the units."""
    label, classes = batch["label"], units.shape[-1]
    each = jnp.sum(jnp.square(units - signs(batch, classes)), axis=-1) / 2
    # A number outside the classes must show as a NaN loss.
    each = nan_unless((label >= 0) & (label < classes), each)
    right = jnp.argmax(units, axis=-1) == label
    return {"loss": pair(each, batch["mask"]), "accuracy": pair(right, batch["mask"])}


def signs(batch: Batch, num_classes: int) -> Float[Array, "b c"]:
    """Returns 1 for the class of each example and -1 for the others."""
    return 2 * jax.nn.one_hot(batch["label"], num_classes) - 1
