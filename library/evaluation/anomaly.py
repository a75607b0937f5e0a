"""Anomaly detection: does the reconstruction error show a class that training never saw?"""

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.ranking import area_under_curve
from library.summaries import Summary
from library.task import Batch, TrainState


def anomaly(
    context: Context, *, held_out: int, split: str = "test", batch_size: int | None = None
) -> Evaluator:
    """Measures how well the task's output "error" ranks a held-out class above the others.

    The area under the ROC curve is the probability that an example of the held-out class has a
    larger error than an example of the other classes (scikit-learn's `roc_auc_score`).

    Args:
      context: the task, the data and functions to run over it.
      held_out: the class that counts as an anomaly, the same as the task's `held_out`.
      split: the split to evaluate.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"auroc", "error_normal", "error_anomalous"}`: the area, and the mean error of each
      kind; nan if the split has no examples of one kind. The function raises ValueError if the
      split is empty or its examples do not have one class each.

    Raises:
      ConfigError: there is no such class, or the task has no output "error".
    """
    if "error" not in context.task.outputs:
        found = nearest("error", context.task.outputs)
        raise ConfigError(f"the task has no output 'error': {found}")
    classes = context.num_classes
    if held_out < 0 or (classes is not None and held_out >= classes):
        valid = "numbered from 0" if classes is None else f"0 to {classes - 1}"
        raise ConfigError(f"held_out={held_out}: classes are {valid}")

    def errors(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        if "label" not in batch or batch["label"].ndim != 1:
            raise ValueError("anomaly needs one class per example as the label, int (b,)")
        error = context.task.outputs["error"](state, batch, key)
        return {"error": error, "label": batch["label"], "mask": batch["mask"]}

    function = context.collect(errors)

    def evaluate(state: TrainState) -> Summary:
        found = collected(function, state, context.batches(split, batch_size), split)
        return _ranking(found["error"].astype(np.float64), found["label"] == held_out)

    return evaluate


def _ranking(error: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    if anomalous.all() or not anomalous.any():
        return dict.fromkeys(("auroc", "error_normal", "error_anomalous"), float("nan"))
    return {
        "auroc": area_under_curve(anomalous, error),
        "error_normal": float(error[~anomalous].mean()),
        "error_anomalous": float(error[anomalous].mean()),
    }
