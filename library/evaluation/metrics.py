"""The task's own metrics over a whole split."""

from library.evaluation.context import Context, Evaluator
from library.evaluation.totals import total
from library.summaries import Summary, summarize
from library.task import TrainState


def metrics(context: Context, *, split: str = "test", batch_size: int | None = None) -> Evaluator:
    """Measures the task's own metrics over every example of a split once.

    Sums stay on the device and are fetched once, after the last batch.

    Args:
      context: the task, the data and functions to run over it.
      split: the split to evaluate.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> summary`, see `summarize`. The function raises ValueError if the split is empty.
    """
    measured = context.measure(context.task.evaluate)

    def evaluate(state: TrainState) -> Summary:
        totals = total(measured, state, context.batches(split, batch_size), split)
        return summarize(totals, context.task.summaries)

    return evaluate
