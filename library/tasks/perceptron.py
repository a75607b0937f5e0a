"""The perceptron: threshold units that move by each example that they get wrong.

Rosenblatt 1958, "The perceptron: a probabilistic model for information storage and organization in
the brain". If some weights separate the examples, the number of mistakes is at most (R / margin)^2,
however often the examples come (Novikoff 1962). If none do, the last weights depend on the last
examples, and the mean of all weights predicts better (Freund & Schapire 1999, "Large margin
classification using the perceptron algorithm").
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import summaries
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs
from library.moments import head_of
from library.task import (
    Batch,
    Metrics,
    Task,
    TrainState,
    check_outputs,
    pair,
    where_present,
    without_padding,
)
from library.tasks.adaline import signs


def perceptron(
    model: nn.Module,
    *,
    num_classes: int,
    averaged: bool = True,
    inputs: tuple[str, ...] = ("image",),
    axis_name: str | None = None,
) -> Task:
    """Builds the task of predicting `batch["label"]` with a threshold unit for each class.

    A unit answers yes or no: whether an example is of its class. The examples of a batch come one
    after the other, also if several devices hold them. A unit that is wrong, or undecided at 0,
    adds the example to its weights, or takes it away; the other units stay. The class is that of
    the largest unit. All weights start at 0, so the rate of learning has no effect and is 1.

    The metrics of training are mistakes, the wrong answers of all units for an example, counted
    before it moves them; total_mistakes, those of the run so far; and accuracy of the whole batch,
    after it. Those of evaluation are loss, the perceptron criterion sum_k max(0, -y_k z_k);
    mistakes of the final units; accuracy; and confusion (c, c), a row for each true class.

    Outputs: "logits" (b, c), the values of the units; "features" (b, d), the input of the model's
    head; "intermediates", all values that the model records.

    Args:
      model: `(image (b, h, w, c), train) -> units (b, num_classes)` with a dense layer "head" whose
        input is stored as "features"; other layers stay as they are. It takes `inputs` in place of
        the image.
      num_classes: number of classes of the dataset.
      averaged: whether the units predict with the mean of the weights after each example, those
        before the first included; otherwise with the last weights.
      inputs: the features that the model takes, in order.
      axis_name: the device axis to gather examples over, under `pmap`.

    Raises:
      ConfigError: the model has another number of classes, or no head.
    """
    check_outputs(model, num_classes, "num_classes")
    outputs = recorded_outputs(model, inputs)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        variables = dict(initialized(model, key, batch, inputs))
        params = variables.pop("params")
        head = jax.tree.map(jnp.zeros_like, head_of(params))
        moving = {"last": head, "weighted": head, "seen": jnp.ones((), jnp.int32)}
        moving["mistakes"] = jnp.zeros(num_classes, jnp.int32)
        variables["perceptron"] = moving
        return TrainState(jnp.zeros((), jnp.int32), {**params, "head": head}, variables, (), None)

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        batch = without_padding(batch)
        x = outputs["features"](state, batch, key).astype(jnp.float32)
        shown = (x, signs(batch, num_classes), batch["mask"], batch["label"])
        if axis_name is not None:
            shown = jax.lax.all_gather(shown, axis_name, tiled=True)
        before = state.variables["perceptron"]
        moved, _ = jax.lax.scan(_shown, before, shown[:3])
        head = _mean(moved) if averaged else moved["last"]
        x, _, mask, label = shown
        right = jnp.argmax(_units(head, x), axis=-1) == label
        wrong = jnp.sum(moved["mistakes"] - before["mistakes"]).astype(jnp.float32)
        metrics = {
            "mistakes": (wrong, jnp.sum(mask)),
            "total_mistakes": (jnp.sum(moved["mistakes"]).astype(jnp.float32), jnp.ones(())),
            "accuracy": pair(right, mask),
        }
        params = {**state.params, "head": head}
        variables = {**state.variables, "perceptron": moved}
        return state.replace(step=state.step + 1, params=params, variables=variables), metrics

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        return evaluated(model, state, batch, inputs)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        label, mask = batch["label"], batch["mask"]
        units = logits(state, batch, key)
        margins = units * signs(batch, num_classes)
        known = (label >= 0) & (label < num_classes)
        criterion = nan_unless(known, jnp.sum(jnp.maximum(-margins, 0), axis=-1))
        best = jnp.argmax(units, axis=-1)
        rows = where_present(jax.nn.one_hot(label, num_classes), mask)
        return {
            "loss": pair(criterion, mask),
            "mistakes": pair(jnp.sum(margins <= 0, axis=-1), mask),
            "accuracy": pair(best == label, mask),
            "confusion": (rows.T @ jax.nn.one_hot(best, num_classes), jnp.sum(mask)),
        }

    summarized = {"confusion": summaries.confusion}
    return Task(init, update, evaluate, {"logits": logits, **outputs}, summarized)


def _units(head: PyTree, x: Float[Array, "*b f"]) -> Float[Array, "*b c"]:
    return jnp.matmul(x, head["kernel"], precision="highest") + head["bias"]


def _shown(
    state: PyTree, example: tuple[Float[Array, " f"], Float[Array, " c"], Float[Array, ""]]
) -> tuple[PyTree, tuple]:
    """Returns the state after an example (x, y, mask) that the units answer and learn.

    "weighted" has the sum over changes of a change times the number of the example, from 1, that
    made it. The mean of the weights follows from it without a sum of all weights.
    """
    x, y, mask = example
    wrong = (y * _units(state["last"], x) <= 0) & (mask > 0)
    sign = jnp.where(wrong, y, 0)
    change = {"kernel": jnp.outer(x, sign), "bias": sign}
    last = jax.tree.map(jnp.add, state["last"], change)
    weighted = jax.tree.map(lambda w, d: w + state["seen"] * d, state["weighted"], change)
    seen = state["seen"] + (mask > 0)
    mistakes = state["mistakes"] + wrong
    return {"last": last, "weighted": weighted, "seen": seen, "mistakes": mistakes}, ()


def _mean(state: PyTree) -> PyTree:
    """Returns the mean of the weights before the first example and after each."""
    return jax.tree.map(lambda w, u: w - u / state["seen"], state["last"], state["weighted"])
