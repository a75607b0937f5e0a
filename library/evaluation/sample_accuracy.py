"""Whether samples of a class are taken for that class by a classifier."""

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
    """Evaluates conditional samples, as many of each class, by what a finished run makes of them.

    Args:
      context: the task, the data and ways to run functions over it.
      classifier: workdir of a finished run that classifies the same images.
      num: samples; their classes take turns.
      batch_size: samples a batch, by default that of evaluation.

    Returns:
      `state -> {"accuracy", "confidence", "per_class_accuracy" (c,), "balanced_accuracy",
      "confusion" (c, c)}`: the share of samples that are taken for their class, and the mean
      probability of that class; the confusion's rows are the classes asked for.

    Raises:
      ConfigError: there is no such run, `num` is below 1, the data set has no classes or the task
        no output "sample".
    """
    if num < 1:
        raise ConfigError(f"sample_accuracy, num={num}: valid are 1 or more")
    if context.num_classes is None:
        raise ConfigError("sample_accuracy needs a data set with classes")
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
                f"classifier {classifier!r} tells {probabilities.shape[-1]} classes apart, and the "
                f"data set has {num_classes}"
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
