"""Tagging: a class for each step of a series.

The loss is the cross-entropy averaged over the steps that exist. The steps of the classes need not
be those of the input: a model may read one series and give another, of another length.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library.config import ConfigError
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs


def tagging(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    inputs: tuple[str, ...] = ("series",),
    tags: str = "tags",
    ignore: int | None = None,
) -> Task:
    """Builds the task of predicting `batch[tags]`, int (b, t), a class for each step.

    Steps whose `{tags}_mask` is 0, if the batch has it, do not count. The metrics are loss and
    accuracy over the steps that count, and exact_match, the share of examples that have all of
    these right.

    Outputs: "logits" (b, t, c); "prediction", int32 (b, t), the likeliest classes; "features" and
    "intermediates", which the model records.

    Args:
      model: `(series (b, t', d), train) -> logits (b, t, num_classes)`; it takes `inputs`.
      minimize: turns a loss into the training step.
      num_classes: number of classes.
      inputs: the features that the model takes, in order: with padding, a series and its mask.
      tags: the name of the feature with the classes.
      ignore: a class whose steps do not count, too; None for none.

    Raises:
      ConfigError: the model has another number of classes, or, when the step is traced, the batch
        has no such feature or its shape is not that of the logits.
    """
    check_outputs(model, num_classes, "num_classes")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def metrics(found: Float[Array, "b t c"], batch: Batch) -> Metrics:
        classes, known = _known(batch, tags, ignore, found)
        # A number outside the classes must show as a NaN loss.
        each = optax.softmax_cross_entropy_with_integer_labels(found, classes)
        each = nan_unless((classes >= 0) & (classes < num_classes), each)
        right = jnp.argmax(found, axis=-1) == classes
        present, count = batch["mask"] > 0, jnp.sum(known, dtype=jnp.float32)
        exact = present & jnp.all(right | ~known, axis=-1)
        return {
            "loss": (jnp.sum(jnp.where(known, each, 0)), count),
            "accuracy": (jnp.sum(known & right, dtype=jnp.float32), count),
            "exact_match": (jnp.sum(exact, dtype=jnp.float32), jnp.sum(batch["mask"])),
        }

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        found, moved = trained(model, params, variables, batch, inputs, key)
        return metrics(found, batch), moved

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t c"]:
        return evaluated(model, state, batch, inputs)

    def prediction(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b t"]:
        return jnp.argmax(logits(state, batch, key), axis=-1).astype(jnp.int32)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return metrics(logits(state, batch, key), batch)

    learner = minimize(objective)
    outputs = {"logits": logits, "prediction": prediction, **recorded_outputs(model, inputs)}
    return Task(init, learner.update, evaluate, outputs)


def _known(
    batch: Batch, tags: str, ignore: int | None, logits: Float[Array, "b t c"]
) -> tuple[Int[Array, "b t"], Bool[Array, "b t"]]:
    """Returns the class of each step, 0 where it does not count, and whether the step counts."""
    if tags not in batch:
        raise ConfigError(f"the examples have no {tags!r}; they have {', '.join(sorted(batch))}")
    classes = batch[tags]
    if classes.shape != logits.shape[:-1]:
        raise ConfigError(
            f"the tags {tags!r} have shape {classes.shape}, but the logits have {logits.shape}"
        )
    known = jnp.broadcast_to(batch["mask"][:, None] > 0, classes.shape)
    if f"{tags}_mask" in batch:
        known &= batch[f"{tags}_mask"] > 0
    if ignore is not None:
        known &= classes != ignore
    return jnp.where(known, classes, 0), known
