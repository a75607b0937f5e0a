"""Labelling of sequences that nobody has segmented: connectionist temporal classification.

The loss is the negative log probability of the labels, summed over all paths that read as them
(Graves et al. 2006, equation 5), in nats an example.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from library import ctc as reading
from library.config import ConfigError
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def ctc(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    inputs: tuple[str, ...] = ("audio", "audio_mask"),
    target: str = "tokens",
) -> Task:
    """Builds the task of reading the labels `target`, int (b, n), from the frames of `inputs`.

    `batch["<target>_mask"]` (b, n) is 1 for labels and 0 for padding. The training metrics are the
    loss and label_error_rate: the edit distance between the best path's reading and the labels,
    summed over examples and divided by the number of labels. An evaluation also gives
    sequence_accuracy, the share of examples that are read without an error.

    An example needs a frame for each label, and one more between equal labels. With fewer it has no
    path, and its loss is about 1e5 (`optax.ctc_loss`).

    Outputs: "logits" (b, t, num_classes + 1), whose last is the blank, with the frames of padding
    certain of the blank; "transcript", int32 (b, t), the reading of the best path, then -1;
    "features" and "intermediates", which the model records.

    Args:
      model: `(*inputs, train) -> (logits (b, t, num_classes + 1), mask (b, t))`.
      minimize: turns a loss into the training step.
      num_classes: number of labels, without the blank.
      inputs: the features that the model takes, in order.
      target: the feature with the labels.

    Raises:
      ConfigError: the model has another number of classes, or (when traced) the labels have no
        mask.
    """
    check_outputs(model, num_classes, "num_classes")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def measured(logits: Float[Array, "b t k"], mask: Float[Array, "b t"], batch: Batch) -> Metrics:
        labels, there = _labels(batch, target)
        losses = optax.ctc_loss(logits, 1 - mask, labels, 1 - there, blank_id=num_classes)
        # A number outside the labels must show as a NaN loss.
        known = jnp.all((labels >= 0) & (labels < num_classes) | (there == 0), axis=1)
        wanted = jnp.where(there > 0, labels, reading.EMPTY)
        edits, lengths = reading.edit_distances(reading.best_path(logits, mask), wanted)
        error, total = pair(edits, batch["mask"])[0], pair(lengths, batch["mask"])[0]
        return {
            "loss": pair(nan_unless(known, losses), batch["mask"]),
            "label_error_rate": (error, total),
            "sequence_accuracy": pair(edits == 0, batch["mask"]),
        }

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        (logits, mask), variables = trained(model, params, variables, batch, inputs, key)
        return measured(logits, mask, batch), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(*evaluated(model, state, batch, inputs), batch)

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t k"]:
        found, mask = evaluated(model, state, batch, inputs)
        certain = jnp.where(jnp.arange(num_classes + 1) == num_classes, 0.0, -1e9)
        return jnp.where(mask[..., None] > 0, found, certain)

    def transcript(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b t"]:
        return reading.best_path(*evaluated(model, state, batch, inputs))

    learner = minimize(objective)
    outputs = {"logits": logits, "transcript": transcript, **recorded_outputs(model, inputs)}
    return Task(init, learner.update, evaluate, outputs)


def _labels(batch: Batch, target: str) -> tuple[Int[Array, "b n"], Float[Array, "b n"]]:
    if f"{target}_mask" not in batch:
        raise ConfigError(
            f"{target} has no mask {target}_mask: add dict(name='pad_series', length=..., "
            f"only=['{target}']) to preprocess"
        )
    return batch[target].astype(jnp.int32), batch[f"{target}_mask"]
