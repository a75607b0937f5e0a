"""Mean average precision for several labels per example, the metric of PASCAL VOC and MS-COCO."""

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def mean_average_precision(
    context: Context, *, split: str = "test", batch_size: int | None = None
) -> Evaluator:
    """Measures how well each class's scores rank the examples of the class above the others.

    The average precision of a class is sum_n (R_n - R_{n-1}) P_n over the thresholds n, without
    interpolation (scikit-learn's `average_precision_score`; VOC since 2010 interpolates, which
    gives slightly higher numbers). Scores are the task's "logits", labels float (b, c).

    Args:
      context: the task, the data and functions to run over it.
      split: the split to evaluate.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"mean_average_precision", "average_precision" (c,)}`: nan for classes without
      positives; the mean is over the other classes. The function raises ValueError if examples have
      one label each or the split is empty.
    """

    def scores(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        # In float32 probabilities saturate at 0 and 1 and tie; logits do not.
        logits = context.task.outputs["logits"](state, batch, key)
        return {"score": logits, "label": batch["label"], "mask": batch["mask"]}

    compiled = context.collect(scores)

    def evaluate(state: TrainState) -> Summary:
        found = collected(compiled, state, context.batches(split, batch_size), split)
        each = _average_precision(found["score"], found["label"])
        mean = float(np.nanmean(each)) if not np.isnan(each).all() else float("nan")
        return {"mean_average_precision": mean, "average_precision": each}

    return evaluate


def _average_precision(score: np.ndarray, label: np.ndarray) -> np.ndarray:
    from sklearn.metrics import average_precision_score

    if label.shape != score.shape:
        raise ValueError(
            f"labels have shape {label.shape}, scores {score.shape}: "
            "average precision needs yes or no for each class"
        )
    positive = label > 0.5
    each = [
        average_precision_score(truth, ranked) if truth.any() else np.nan
        for truth, ranked in zip(positive.T, score.T)
    ]
    return np.asarray(each, np.float64)
