"""Judged accuracy: how often a classifier recognizes the images that a system restores."""

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from library import bicubic
from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator
from library.evaluation.totals import total
from library.summaries import Summary, summarize
from library.task import Batch, Metrics, TrainState, pair


def judged_accuracy(
    context: Context,
    *,
    classifier: str,
    split: str = "test",
    output: str = "restored",
    beside: tuple[str, ...] = (),
    size: int | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures how often a finished classifier assigns a task's images to their true class.

    Args:
      context: the task, the data and functions to run over it.
      classifier: workdir of a finished run that classifies such images.
      split: the split, whose examples have a label.
      output: the task's output, images (b, h, w, c) in [0, 1].
      beside: further outputs to judge, such as "grey".
      size: side that images are resized to for the classifier, in pixels; by default their own.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"accuracy", "true_accuracy", "<beside>_accuracy"}`; the second is that of the true
      images. The function raises ValueError if the split is empty.

    Raises:
      ConfigError: there is no such run or output, or the examples have no label.
    """
    for name in (output, *beside):
        if name not in context.task.outputs:
            valid = nearest(name, context.task.outputs)
            raise ConfigError(f"judged_accuracy, output={name!r}: no such output, {valid}")
    if "label" not in context.features:
        raise ConfigError("judged_accuracy needs examples with a label")
    judge = context.judge(classifier, "probabilities")

    def judged(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        def right(image):
            seen = image if size is None else bicubic.resized(image, (size, size))
            return pair(jnp.argmax(judge(seen), axis=-1) == batch["label"], batch["mask"])

        made = {name: context.task.outputs[name](state, batch, key) for name in (output, *beside)}
        found = {f"{name}_accuracy": right(made[name]) for name in beside}
        true = right(context.unnormalize(batch["image"]))
        return {"accuracy": right(made[output]), "true_accuracy": true, **found}

    measured = context.measure(judged)

    def evaluate(state: TrainState) -> Summary:
        return summarize(total(measured, state, context.batches(split, batch_size), split))

    return evaluate
