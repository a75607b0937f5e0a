"""Numbers out of summed metrics: what (sum, count) pairs mean once everything has been added up."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Summary = dict[str, float | np.ndarray]


def summarize(totals: Mapping[str, tuple[Any, Any]]) -> Summary:
    """Turns summed pairs into numbers.

    A metric is its sum over its count, a float or an array; where the count is 0 it is nan. Three
    have a meaning of their own:

    - confusion (c, c), rows of true classes: kept as it is, and per_class_accuracy (c,), which is
      recall, and balanced_accuracy, its mean over the classes that occur (Brodersen et al. 2010).
    - calibration (3, bins), sums of confidence, correctness and count: kept as it is, and
      expected_calibration_error (Guo et al. 2017, equation 3).
    - regression (4, d), sums of squared error, absolute error, target and squared target: mse,
      rmse, mae and r2.

    Args:
      totals: `{name: (sum, count)}`, arrays on the host.
    """
    summary: Summary = {}
    for name, (total, count) in totals.items():
        total, count = np.asarray(total), np.asarray(count, np.float64)
        if name == "confusion":
            summary |= {"confusion": total, **_from_confusion(total)}
        elif name == "calibration":
            error = expected_calibration_error(total)
            summary |= {"calibration": total, "expected_calibration_error": error}
        elif name == "regression":
            summary |= _from_regression(total, float(count))
        else:
            mean = _divide(total, count)
            summary[name] = float(mean) if mean.ndim == 0 else mean
    return summary


def expected_calibration_error(sums: np.ndarray) -> float:
    """Returns sum_m n_m / n |accuracy_m - confidence_m| over bins m (Guo et al. 2017, eq. 3).

    Args:
      sums: (3, bins), by bin the summed confidence, summed correctness and count.
    """
    confidence, correct, count = np.asarray(sums, np.float64)
    return float(_divide(np.abs(correct - confidence).sum(), count.sum()))


def _from_confusion(matrix: np.ndarray) -> Summary:
    recall = _divide(np.diagonal(matrix), np.sum(matrix, axis=1, dtype=np.float64))
    occurring = recall[~np.isnan(recall)]
    balanced = float(occurring.mean()) if len(occurring) else float("nan")
    return {"per_class_accuracy": recall, "balanced_accuracy": balanced}


def _from_regression(sums: np.ndarray, count: float) -> Summary:
    squared_error, absolute_error, target, target_squared = np.asarray(sums, np.float64)
    mse = float(_divide(squared_error, count).mean())
    # The mean over outputs of 1 - residual / total sum of squares, each about its own mean.
    variation = target_squared - _divide(np.square(target), count)
    r2 = float((1 - _divide(squared_error, variation)).mean())
    mae = float(_divide(absolute_error, count).mean())
    return {"mse": mse, "rmse": float(np.sqrt(mse)), "mae": mae, "r2": r2}


def _divide(total: Any, count: Any) -> np.ndarray:
    total, count = np.asarray(total, np.float64), np.asarray(count, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(count == 0, np.nan, total / count))
