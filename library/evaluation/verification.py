"""Verification: do two examples have the same class? Measured on all pairs, by their distance."""

import numpy as np
from jaxtyping import Bool, Float

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.evaluation.frozen_features import labelled_features
from library.summaries import Summary
from library.task import TrainState


def verification(
    context: Context,
    *,
    far: float = 0.01,
    split: str = "test",
    num: int = 2000,
    batch_size: int | None = None,
) -> Evaluator:
    """Ranks all pairs of examples by the distance of their "features", scaled to length one.

    Schroff et al. 2015 (FaceNet, arXiv 1503.03832), section 4: a pair is accepted if its distance
    is below a threshold. The false accept rate is the share of accepted pairs among those of
    different classes, the validation rate that among those of one class.

    Args:
      context: the task, the data and functions to run over it.
      far: the greatest false accept rate at which the validation rate is measured.
      split: the split to evaluate.
      num: the most examples, from the start of the split; n of them have n (n - 1) / 2 pairs.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"auroc", "validation_rate"}`: the probability that a pair of one class is nearer
      than a pair of different classes, and the validation rate; nan if there is no pair of a kind.

    Raises:
      ConfigError: `far` is outside [0, 1), `num` is below 2, the task has no features, or, when
        called, examples do not have one label each.
    """
    if not 0 <= far < 1:
        raise ConfigError(f"far={far}: valid are rates from 0 to below 1, such as 0.01")
    if num < 2:
        raise ConfigError(f"num={num}: a pair needs 2 examples or more")
    read = labelled_features(context, batch_size=batch_size)

    def evaluate(state: TrainState) -> Summary:
        found = read(state, split, num)
        features = found.features.astype(np.float64)
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        one, other = np.triu_indices(len(features), k=1)
        distance = 2 - 2 * (features @ features.T)[one, other]
        return rates(distance, found.label[one] == found.label[other], far)

    return evaluate


def rates(distance: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], far: float) -> Summary:
    """Returns the measures of pairs by their distance, see `verification`."""
    from sklearn.metrics import roc_auc_score

    if same.all() or not same.any():
        return dict.fromkeys(("auroc", "validation_rate"), float("nan"))
    strangers = np.sort(distance[~same])
    # The nearest strangers whose share is at most `far` may be accepted, and no further one.
    threshold = strangers[int(far * len(strangers))]
    return {
        "auroc": float(roc_auc_score(same, -distance)),
        "validation_rate": float(np.mean(distance[same] < threshold)),
    }
