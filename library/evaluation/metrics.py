"""The task's own metrics over a whole split."""

from library.evaluation.context import Context, Evaluator
from library.evaluation.totals import total
from library.summaries import Summary, summarize
from library.task import TrainState


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
        totals = total(measured, state, context.batches(split, batch_size), split)
        return summarize(totals, context.task.summaries)

    return evaluate
