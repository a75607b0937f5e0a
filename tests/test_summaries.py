import functools

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score, recall_score

from library import summaries
from library.summaries import summarize

OF_TASKS = {
    "confusion": summaries.confusion,
    "calibration": summaries.calibration,
    "regression": summaries.regression,
}


def test_plain_metrics_are_sums_over_counts():
    totals = {
        "loss": (np.float32(3.0), np.float32(4.0)),
        "norm": (np.float32(2.0), 1.0),
        "nonfinite": (np.float32([0, 2]), np.float32(2.0)),
        "each": (np.float32([1, 2, 0]), np.float32([2, 2, 0])),
    }
    got = summarize(totals)
    assert got["loss"] == 0.75
    assert got["norm"] == 2.0
    assert type(got["loss"]) is type(got["norm"]) is float
    np.testing.assert_array_equal(got["nonfinite"], [0, 1])
    np.testing.assert_array_equal(got["each"], [0.5, 1, np.nan])


def test_nothing_counted_is_nan_without_a_warning(recwarn):
    got = summarize({"loss": (np.float32(0), np.float32(0))})
    assert np.isnan(got["loss"])
    empty = summarize(
        {"confusion": (np.zeros((2, 2)), 0), "calibration": (np.zeros((3, 15)), 0)}, OF_TASKS
    )
    assert np.isnan(empty["balanced_accuracy"])
    assert np.isnan(empty["expected_calibration_error"])
    assert np.isnan(summarize({"regression": (np.zeros((4, 2)), 0)}, OF_TASKS)["r2"])
    assert not recwarn.list


def test_confusion_gives_recall_by_class_and_its_mean():
    random = np.random.default_rng(0)
    label, predicted = random.integers(0, 4, 50), random.integers(0, 4, 50)
    matrix = np.zeros((5, 5), np.float32)
    np.add.at(matrix, (label, predicted), 1)
    got = summarize({"confusion": (matrix, np.float32(50))}, OF_TASKS)
    np.testing.assert_array_equal(got["confusion"], matrix)
    recall = recall_score(label, predicted, average=None)
    np.testing.assert_allclose(got["per_class_accuracy"], [*recall, np.nan])
    balanced = balanced_accuracy_score(label, predicted)
    assert got["balanced_accuracy"] == pytest.approx(balanced, rel=1e-12)
    assert type(got["balanced_accuracy"]) is float


def test_expected_calibration_error_by_hand():
    # 3 of confidence 0.9, 2 right; 1 of confidence 0.5, right: 3/4 |2/3 - 0.9| + 1/4 |1 - 0.5|.
    sums = np.zeros((3, 15))
    sums[:, 13], sums[:, 7] = (2.7, 2, 3), (0.5, 1, 1)
    got = summarize({"calibration": (sums, 4.0)}, OF_TASKS)
    np.testing.assert_array_equal(got["calibration"], sums)
    assert got["expected_calibration_error"] == pytest.approx(0.175 + 0.125, rel=1e-12)


def test_regression_sums_give_the_scores_of_scikit_learn():
    random = np.random.default_rng(0)
    target, prediction = random.normal(size=(30, 3)) + 2, random.normal(size=(30, 3)) + 2
    error = prediction - target
    sums = np.stack([error**2, np.abs(error), target - 2, (target - 2) ** 2]).sum(1)
    got = summarize({"regression": (sums, np.float32(30))}, OF_TASKS)
    assert set(got) == {"mse", "rmse", "mae", "r2"}
    assert got["mse"] == pytest.approx(np.mean(error**2), rel=1e-12)
    assert got["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
    assert got["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-12)
    assert got["r2"] == pytest.approx(r2_score(target, prediction), rel=1e-10)


def test_r2_of_a_constant_target_is_nan():
    got = summarize({"regression": (np.array([[1.0], [1.0], [4.0], [8.0]]), 2.0)}, OF_TASKS)
    assert np.isnan(got["r2"])
    assert got["mse"] == 0.5


def test_intersection_over_union_by_hand():
    # Of three classes the last neither occurs nor is predicted.
    matrix = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    named = functools.partial(
        summaries.intersection_over_union, names=("sky", "traffic sign", "sea")
    )
    got = summarize({"pixels": (matrix, 12)}, {"pixels": named})
    assert got["pixel_accuracy"] == 9 / 12
    np.testing.assert_array_equal(got["per_class_accuracy"], [6 / 8, 3 / 4, np.nan])
    assert got["class_accuracy"] == (6 / 8 + 3 / 4) / 2
    assert (got["iou_sky"], got["iou_traffic_sign"]) == (6 / 9, 3 / 6)
    assert np.isnan(got["iou_sea"])
    np.testing.assert_array_equal(got["per_class_iou"], [6 / 9, 3 / 6, np.nan])
    assert got["mean_iou"] == (6 / 9 + 3 / 6) / 2
    # A class that is predicted alone has an IoU of 0. Names stay apart.
    alone = np.array([[6, 1, 1], [1, 3, 0], [0, 0, 0]])
    got = summaries.intersection_over_union(alone, 12, ("red car", "red-car", "sea"))
    assert (got["iou_red_car_0"], got["iou_red_car_1"], got["iou_sea"]) == (6 / 9, 3 / 5, 0)
    assert got["mean_iou"] == pytest.approx((6 / 9 + 3 / 5) / 3)
    assert got["class_accuracy"] == (6 / 8 + 3 / 4) / 2


def test_precision_and_recall_by_hand():
    got = summarize({"found": ([3, 4, 6], 2)}, {"found": summaries.precision_and_recall})
    assert got == {"precision": 3 / 4, "recall": 3 / 6, "f1": 6 / 10}
