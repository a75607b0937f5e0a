"""How well scores rank two kinds of examples."""

import numpy as np
from jaxtyping import Bool, Float


def area_under_curve(positive: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Returns the area under the ROC curve: how often a positive example scores above another one.

    Equal scores count one half. It is nan if all examples are of one kind.
    """
    from sklearn.metrics import roc_auc_score

    if positive.all() or not positive.any():
        return float("nan")
    return float(roc_auc_score(positive, scores))
