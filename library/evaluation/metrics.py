"""The task's own metrics over a whole split."""

import jax

from library import trees
from library.evaluation.context import Context, Evaluator
from library.summaries import Summary, summarize
from library.task import TrainState

# One program an addition, however many metrics there are; sums stay on the device.
_add = jax.jit(trees.add)


def metrics(context: Context, *, split: str = "test", batch_size: int | None = None) -> Evaluator:
    """Evaluates every example of a split once.

    Sums stay on the device and are fetched once, after the last batch.

    Args:
      context: the task, the data and ways to run functions over it.
      split: which part of the data set.
      batch_size: examples a batch, by default that of training.

    Returns:
      `state -> summary`, see `summarize`. It raises ValueError if the split is empty.
    """
    measured = context.measure(context.task.evaluate)

    def evaluate(state: TrainState) -> Summary:
        totals = None
        for batch in context.batches(split, batch_size):
            sums = measured(state, batch)
            totals = sums if totals is None else _add(totals, sums)
        if totals is None:
            raise ValueError(f"split {split!r} has no examples to evaluate")
        return summarize(jax.device_get(totals))

    return evaluate
