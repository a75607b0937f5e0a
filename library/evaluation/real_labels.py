"""Accuracy on ReaL labels: is the predicted class one of the classes that the image shows?

Beyer, Henaff, Kolesnikov, Zhai & van den Oord 2020, "Are we done with ImageNet?" (arXiv
2006.07159), section 3: raters labelled ImageNet's validation images again, with all classes that
each image shows. A prediction is right if it is one of these; images without labels do not count.
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
    """Measures how often the best class of an image is one of its several labels.

    Args:
      context: a context whose task has the output "logits" (b, c).
      split: a split whose labels are 1 for each right class and 0 for others, float (b, c), such as
        the preprocessing `to_labels` makes.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"accuracy", "labelled"}`: the share of the labelled images whose best class is one
      of their labels, and the number of labelled images. The function raises ValueError if the
      split is empty.

    Raises:
      ConfigError: the task has no such output; when called, labels have another shape.
    """
    check_choice("output of the task", "logits", context.task.outputs)

    def judged(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        logits, label = context.task.outputs["logits"](state, batch, key), batch["label"]
        if label.shape != logits.shape:
            raise ConfigError(
                f"real_labels, split={split!r}: labels have shape {label.shape[1:]} per example, "
                f"but the logits have {logits.shape[1:]}; splits.NAME.then takes "
                f"dict(name='to_labels', key='real_label', num_classes={logits.shape[-1]})"
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
