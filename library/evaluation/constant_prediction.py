"""The error of a prediction that is the same for all examples, beside which a model is measured."""

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def constant_prediction(
    context: Context,
    *,
    split: str = "test",
    target: str = "target",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the mean and the median of the targets of "train" as predictions.

    Args:
      context: the data and functions to run over them.
      split: the split to evaluate.
      target: the feature to predict, (b, d).
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"mean_mae", "mean_rmse", "median_mae"}`, averaged over the d values as
      `library.summaries.regression` does. The state does not matter.
    """

    def given(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        return {"target": batch[target], "mask": batch["mask"]}

    function = context.collect(given)

    def read(state: TrainState, split: str) -> np.ndarray:
        found = collected(function, state, context.batches(split, batch_size), split)
        return found["target"].astype(np.float64)

    def evaluate(state: TrainState) -> Summary:
        fitted, true = read(state, "train"), read(state, split)
        # A rehearsal of the run has no examples.
        if not len(fitted) or not len(true):
            return dict.fromkeys(("mean_mae", "mean_rmse", "median_mae"), float("nan"))
        error = true - fitted.mean(axis=0)
        return {
            "mean_mae": float(np.abs(error).mean()),
            "mean_rmse": float(np.sqrt(np.square(error).mean())),
            "median_mae": float(np.abs(true - np.median(fitted, axis=0)).mean()),
        }

    return evaluate
