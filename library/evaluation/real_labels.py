"""Accuracy on ReaL labels: is the one class that is predicted among those in the image?

Beyer, Henaff, Kolesnikov, Zhai & van den Oord 2020, "Are we done with ImageNet?" (arXiv
2006.07159), section 3: raters labelled ImageNet's validation images anew, with as many classes as
they show. A prediction is right if it is one of these; images without any are left out.
"""

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator
from library.evaluation.totals import total
from library.summaries import Summary
from library.task import Batch, Metrics, TrainState, pair


def real_labels(
    context: Context, *, split: str = "test", batch_size: int | None = None
) -> Evaluator:
    """Evaluates the best class of each image against all that it may be called.

    Args:
      context: its task has the output "logits" (b, c).
      split: its labels are 1 for each right class and 0 for others, float (b, c), as the
        preprocessing `to_labels` makes them.
      batch_size: examples a batch, by default that of training.

    Returns:
      `state -> {"accuracy", "labelled"}`: the share of the images with labels whose best class is
      among them, and how many images that are. It raises ValueError if the split is empty.

    Raises:
      ConfigError: the task has no such output; when called, labels of another form.
    """
    check_choice("output of the task", "logits", context.task.outputs)

    def judged(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        logits, label = context.task.outputs["logits"](state, batch, key), batch["label"]
        if label.shape != logits.shape:
            raise ConfigError(
                f"real_labels, split={split!r}: labels are {label.shape[1:]} an example, and the "
                f"logits {logits.shape[1:]}; splits.NAME.then takes dict(name='to_labels', "
                f"key='real_label', num_classes={logits.shape[-1]})"
            )
        counted = batch["mask"] * jnp.any(label > 0, axis=-1)
        return {"accuracy": pair(_among(logits, label), counted)}

    measured = context.measure(judged)

    def evaluate(state: TrainState) -> Summary:
        totals = total(measured, state, context.batches(split, batch_size), split)
        right, count = map(float, totals["accuracy"])
        return {"accuracy": right / count if count else float("nan"), "labelled": count}

    return evaluate


def _among(logits: Array, label: Array) -> Array:
    best = jnp.argmax(logits, axis=-1)
    return jnp.take_along_axis(label, best[:, None], axis=-1)[:, 0] > 0
