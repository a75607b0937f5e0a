"""Summaries of metrics: the numbers that summed (sum, count) pairs mean.

A metric is its sum divided by its count. For metrics that are more than a mean, a task names a
summary (see `library.task.Task`): a function `(sum, count) -> numbers by name`, as in this file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Summary = dict[str, float | np.ndarray]
Meaning = Callable[[np.ndarray, np.ndarray], Summary]


def summarize(
    totals: Mapping[str, tuple[Any, Any]], summaries: Mapping[str, Meaning] = {}
) -> Summary:
    """Turns summed pairs into numbers, a float or an array each; nan where the count is 0.

    Args:
      totals: `{name: (sum, count)}`, arrays on the host.
      summaries: summary functions of the metrics that are more than a mean, by name.
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
    """Summarizes a confusion matrix (c, c) of counts: rows are true classes, columns predicted.

    Returns the matrix itself, per_class_accuracy (c,), which is recall, and balanced_accuracy, its
    mean over the classes that occur (Brodersen et al. 2010).
    """
    recall = divide(np.diagonal(matrix), np.sum(matrix, axis=1, dtype=np.float64))
    balanced = _mean_of_occurring(recall)
    return {"confusion": matrix, "per_class_accuracy": recall, "balanced_accuracy": balanced}


def intersection_over_union(
    matrix: np.ndarray, count: np.ndarray, names: Sequence[str] = ()
) -> Summary:
    """Summarizes a confusion matrix (c, c) of pixels, rows true (Long et al. 2015, section 5).

    Returns the matrix itself, pixel_accuracy, per_class_accuracy (c,), which is recall, and its
    mean class_accuracy; per_class_iou (c,) and its mean mean_iou; and iou_NAME for each class with
    a name. The IoU of a class is the number of pixels that are of the class and predicted as it,
    divided by the number of pixels that are either. class_accuracy is over the classes that occur.
    mean_iou is also over those that are predicted alone, whose IoU is 0. Names that are alike but
    for other characters than letters and digits get the number of their class, as in iou_car_2.

    Args:
      matrix: counts of pixels.
      count: not used.
      names: c names of classes, or none.
    """
    right = np.diagonal(matrix).astype(np.float64)
    true = matrix.sum(1, dtype=np.float64)
    each = divide(right, matrix.sum(0, dtype=np.float64) + true - right)
    recall = divide(right, true)
    return {
        "confusion": matrix,
        "pixel_accuracy": float(divide(right.sum(), true.sum())),
        "per_class_accuracy": recall,
        "class_accuracy": _mean_of_occurring(recall),
        "per_class_iou": each,
        "mean_iou": _mean_of_occurring(each),
        **{f"iou_{name}": float(x) for name, x in zip(_plain_names(names), each)},
    }


def _plain_names(names: Sequence[str]) -> list[str]:
    """Returns names of letters, digits and "_", all different."""
    plain = [re.sub(r"[^0-9A-Za-z]+", "_", name) for name in names]
    return [f"{n}_{i}" if plain.count(n) > 1 else n for i, n in enumerate(plain)]


def precision_and_recall(counts: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes three counts as precision, recall and f1.

    Args:
      counts: (3,), the numbers of correct finds, of all finds and of things to find.
      count: not used.
    """
    right, found, wanted = np.asarray(counts, np.float64)
    precision, recall = float(divide(right, found)), float(divide(right, wanted))
    f1 = float(divide(2 * right, found + wanted))
    return {"precision": precision, "recall": recall, "f1": f1}


def calibration(sums: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes the sums of confidence, correctness and count in each bin, (3, bins).

    Returns the sums themselves and expected_calibration_error (Guo et al. 2017, equation 3).
    """
    return {
        "calibration": sums,
        "expected_calibration_error": expected_calibration_error(sums),
    }


def regression(sums: np.ndarray, count: np.ndarray) -> Summary:
    """Summarizes the errors of d outputs as mse, rmse, mae and r2.

    Args:
      sums: (4, d), the sums of squared error, absolute error, target and squared target.
      count: number of examples.
    """
    return _from_regression(sums, float(count))


def expected_calibration_error(sums: np.ndarray) -> float:
    """Returns sum_m n_m / n |accuracy_m - confidence_m| over bins m (Guo et al. 2017, eq. 3).

    Args:
      sums: (3, bins), the sum of confidence, the sum of correctness and the count of each bin.
    """
    confidence, correct, count = np.asarray(sums, np.float64)
    return float(divide(np.abs(correct - confidence).sum(), count.sum()))


def _mean_of_occurring(values: np.ndarray) -> float:
    occurring = values[~np.isnan(values)]
    return float(occurring.mean()) if len(occurring) else float("nan")


def _from_regression(sums: np.ndarray, count: float) -> Summary:
    squared_error, absolute_error, target, target_squared = np.asarray(sums, np.float64)
    mse = float(divide(squared_error, count).mean())
    # r2 is a mean over outputs; each output's total sum of squares is about its own mean.
    variation = target_squared - divide(np.square(target), count)
    r2 = float((1 - divide(squared_error, variation)).mean())
    mae = float(divide(absolute_error, count).mean())
    return {"mse": mse, "rmse": float(np.sqrt(mse)), "mae": mae, "r2": r2}


def divide(total: Any, count: Any) -> np.ndarray:
    """Divides sums by counts; nan where the count is 0."""
    total, count = np.asarray(total, np.float64), np.asarray(count, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(count == 0, np.nan, total / count))
