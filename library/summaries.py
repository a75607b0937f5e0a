"""Numbers out of summed metrics: what (sum, count) pairs mean once everything has been added up.

A metric is its sum over its count. A task hands a summary with those that mean more, see
`library.task.Task`: a function `(sum, count) -> numbers by name`, such as the ones here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Summary = dict[str, float | np.ndarray]
Meaning = Callable[[np.ndarray, np.ndarray], Summary]


def summarize(
    totals: Mapping[str, tuple[Any, Any]], summaries: Mapping[str, Meaning] = {}
) -> Summary:
    """Turns summed pairs into numbers: a float or an array each, nan where the count is 0.

    Args:
      totals: `{name: (sum, count)}`, arrays on the host.
      summaries: of the metrics that are more than a mean.
    """
    summary: Summary = {}
    for name, (total, count) in totals.items():
        total, count = np.asarray(total), np.asarray(count, np.float64)
        if name in summaries:
            summary |= summaries[name](total, count)
        else:
            mean = divide(total, count)
            summary[name] = float(mean) if mean.ndim == 0 else mean
    return summary


def confusion(matrix: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes a matrix (c, c) of counts, a row a true class, a column a predicted one.

    It is kept as it is, and gives per_class_accuracy (c,), which is recall, and balanced_accuracy,
    its mean over the classes that occur (Brodersen et al. 2010).
    """
    recall = divide(np.diagonal(matrix), np.sum(matrix, axis=1, dtype=np.float64))
    balanced = _mean_of_occurring(recall)
    return {"confusion": matrix, "per_class_accuracy": recall, "balanced_accuracy": balanced}


def intersection_over_union(matrix: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes the same matrix of pixels (Long et al. 2015, section 5).

    It gives pixel_accuracy, per_class_iou (c,), the pixels that are of a class and taken for it
    over those that are either, and mean_iou, its mean over the classes that occur.
    """
    right = np.diagonal(matrix).astype(np.float64)
    union = matrix.sum(0, dtype=np.float64) + matrix.sum(1, dtype=np.float64) - right
    each = divide(right, union)
    return {
        "confusion": matrix,
        "pixel_accuracy": float(divide(right.sum(), matrix.sum(dtype=np.float64))),
        "per_class_iou": each,
        "mean_iou": _mean_of_occurring(each),
    }


def precision_and_recall(counts: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes (3,), what is found and right, what is found, and what was to be found."""
    right, found, wanted = np.asarray(counts, np.float64)
    precision, recall = float(divide(right, found)), float(divide(right, wanted))
    f1 = float(divide(2 * right, found + wanted))
    return {"precision": precision, "recall": recall, "f1": f1}


def calibration(sums: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes (3, bins), sums of confidence, correctness and count.

    They are kept as they are, and give expected_calibration_error (Guo et al. 2017, equation 3).
    """
    return {
        "calibration": sums,
        "expected_calibration_error": expected_calibration_error(sums),
    }


def regression(sums: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes (4, d), sums of squared error, absolute error, target and squared target.

    They give mse, rmse, mae and r2.
    """
    return _from_regression(sums, float(count))


def expected_calibration_error(sums: np.ndarray) -> float:
    """Returns sum_m n_m / n |accuracy_m - confidence_m| over bins m (Guo et al. 2017, eq. 3).

    Args:
      sums: (3, bins), by bin the summed confidence, summed correctness and count.
    """
    confidence, correct, count = np.asarray(sums, np.float64)
    return float(divide(np.abs(correct - confidence).sum(), count.sum()))


def _mean_of_occurring(values: np.ndarray) -> float:
    occurring = values[~np.isnan(values)]
    return float(occurring.mean()) if len(occurring) else float("nan")


def _from_regression(sums: np.ndarray, count: float) -> Summary:
    squared_error, absolute_error, target, target_squared = np.asarray(sums, np.float64)
    mse = float(divide(squared_error, count).mean())
    # The mean over outputs of 1 - residual / total sum of squares, each about its own mean.
    variation = target_squared - divide(np.square(target), count)
    r2 = float((1 - divide(squared_error, variation)).mean())
    mae = float(divide(absolute_error, count).mean())
    return {"mse": mse, "rmse": float(np.sqrt(mse)), "mae": mae, "r2": r2}


def divide(total: Any, count: Any) -> np.ndarray:
    """Returns the quotients of sums and counts, nan where nothing was counted."""
    total, count = np.asarray(total, np.float64), np.asarray(count, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(count == 0, np.nan, total / count))
