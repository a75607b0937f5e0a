"""How well the error of a reconstruction tells a class that training never saw."""

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def anomaly(
    context: Context, *, held_out: int, split: str = "test", batch_size: int | None = None
) -> Evaluator:
    """Evaluates the ranking of examples by the task's output "error", highest first.

    The area under the ROC curve is the probability that an example of the class held out has a
    larger error than one of the others (scikit-learn's `roc_auc_score`).

    Args:
      context: the task, the data and ways to run functions over it.
      held_out: the class that counts as an anomaly, that of the task's `held_out`.
      split: which part of the data set.
      batch_size: examples a batch, by default that of training.

    Returns:
      `state -> {"auroc", "error_normal", "error_anomalous"}`, mean errors of either kind; nan where
      the split has no examples of one kind. It raises ValueError if the split is empty, or not
      labelled with one class an example.

    Raises:
      ConfigError: no such class, or a task without errors.
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
            raise ValueError("anomalies are told by one class an example, which this set has not")
        error = context.task.outputs["error"](state, batch, key)
        return {"error": error, "label": batch["label"], "mask": batch["mask"]}

    function = context.collect(errors)

    def evaluate(state: TrainState) -> Summary:
        found = collected(function, state, context.batches(split, batch_size))
        return _ranking(found["error"].astype(np.float64), found["label"] == held_out)

    return evaluate


def _ranking(error: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    if anomalous.all() or not anomalous.any():
        return dict.fromkeys(("auroc", "error_normal", "error_anomalous"), float("nan"))
    return {
        "auroc": float(roc_auc_score(anomalous, error)),
        "error_normal": float(error[~anomalous].mean()),
        "error_anomalous": float(error[anomalous].mean()),
    }
