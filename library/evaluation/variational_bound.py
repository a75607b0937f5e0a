"""The variational bound on the likelihood of a split, in bits per dimension."""

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from library import trees
from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.summaries import Summary, summarize
from library.task import Batch, Metrics, TrainState, pair

_add = jax.jit(trees.add)


def variational_bound(
    context: Context,
    *,
    split: str = "test",
    num_examples: int | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the variational bound of a task with the output "bits", such as `diffusion`.

    It calls the model once for each of the task's `bound_steps`, and once more.

    Args:
      context: the task, the data and functions to run over it.
      split: the split to evaluate.
      num_examples: number of examples from the start of the split; all by default.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"bits_per_dim", and its parts}`, means over examples. The function raises
      ValueError if the split is empty.

    Raises:
      ConfigError: the task has no such output, or `num_examples` is below 1.
    """
    if "bits" not in context.task.outputs:
        raise ConfigError(
            f"variational_bound needs the output 'bits' of a task; here are "
            f"{', '.join(sorted(context.task.outputs))}"
        )
    if num_examples is not None and num_examples < 1:
        raise ConfigError(f"num_examples={num_examples}: valid are 1 or more")

    def terms(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        mask = batch["mask"]
        if num_examples is not None:
            mask = jnp.where(batch["index"] < num_examples, mask, 0)
        parts = context.task.outputs["bits"](state, batch, key)
        return {"bits_per_dim": pair(sum(parts.values()), mask)} | {
            name: pair(value, mask) for name, value in parts.items()
        }

    measured = context.measure(terms)

    def evaluate(state: TrainState) -> Summary:
        totals, seen = None, 0
        for batch in context.batches(split, batch_size):
            sums = measured(state, batch)
            totals = sums if totals is None else _add(totals, sums)
            seen += len(batch["mask"])
            if num_examples is not None and seen >= num_examples:
                break
        if totals is None:
            raise ValueError(f"split {split!r} has no examples to evaluate")
        return summarize(jax.device_get(totals))

    return evaluate
