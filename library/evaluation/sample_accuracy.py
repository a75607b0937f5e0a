"""Sample accuracy: how often a classifier assigns a conditional sample to its class."""

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from library import trees
from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.summaries import Summary, confusion, summarize
from library.task import Batch, Metrics, TrainState, pair, where_present

_add = jax.jit(trees.add)


def sample_accuracy(
    context: Context, *, classifier: str, num: int = 1000, batch_size: int | None = None
) -> Evaluator:
    """Measures how often a finished classifier assigns samples to the class they are made for.

    Args:
      context: the task, the data and functions to run over it.
      classifier: workdir of a finished run that classifies the same images.
      num: number of samples, which cycle through the classes.
      batch_size: samples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"accuracy", "confidence", "per_class_accuracy" (c,), "balanced_accuracy",
      "confusion" (c, c)}`: accuracy is the share of samples that are assigned to their class,
      confidence the mean probability of that class; the rows of the confusion are the classes that
      samples are made for.

    Raises:
      ConfigError: there is no such run, `num` is below 1, the dataset has no classes, the task has
        no output "sample", or, when called, the classifier has another number of classes.
    """
    if num < 1:
        raise ConfigError(f"sample_accuracy, num={num}: valid are 1 or more")
    if context.num_classes is None:
        raise ConfigError("sample_accuracy needs a dataset with classes")
    if "sample" not in context.task.outputs:
        raise ConfigError(
            f"sample_accuracy needs the output 'sample' of a task; here are "
            f"{', '.join(sorted(context.task.outputs))}"
        )
    judge = context.judge(classifier, "probabilities")
    num_classes = context.num_classes

    def judged(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        label, mask = batch["label"], batch["mask"]
        made = context.task.outputs["sample"](state, batch, key)
        probabilities = judge(context.unnormalize(made))
        if probabilities.shape[-1] != num_classes:
            raise ConfigError(
                f"classifier {classifier!r} has {probabilities.shape[-1]} classes, but the dataset "
                f"has {num_classes}"
            )
        best = jnp.argmax(probabilities, axis=-1)
        rows = where_present(jax.nn.one_hot(label, num_classes), mask)
        confidence = jnp.take_along_axis(probabilities, label[:, None], axis=-1)[:, 0]
        return {
            "accuracy": pair(best == label, mask),
            "confidence": pair(confidence, mask),
            "confusion": (rows.T @ jax.nn.one_hot(best, num_classes), jnp.sum(mask)),
        }

    measured = context.measure(judged)

    def evaluate(state: TrainState) -> Summary:
        totals = None
        for batch in context.draws(num, batch_size):
            sums = measured(state, batch)
            totals = sums if totals is None else _add(totals, sums)
        return summarize(jax.device_get(totals), {"confusion": confusion})

    return evaluate
