"""Average precision of detections, as the COCO and the PASCAL VOC challenges define it.

COCO (Lin et al. 2014, arXiv 1405.0312): a detection, the surest first, takes the free object that
it overlaps most; of two alike the later. The precision is read at 101 recalls.

VOC (Everingham et al. 2010, section 4.2): a detection is compared with the object that it overlaps
most, and is wrong if that is taken. Before 2010 the precision is read at 11 recalls; since then
average precision is the whole area. Difficult objects count neither way. The challenge's program
adds a pixel to each side of a box; here boxes end where they end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from library.object_detection.boxes import overlaps

COCO_OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).tolist())
VOC_OVERLAP = 0.5
# COCO reads this many detections of a class in an image.
MOST = 100
_RECALLS = np.linspace(0, 1, 101)


class Truth(NamedTuple):
    """The objects of an image.

    Attributes:
      boxes: (n, 4).
      classes: (n,).
      difficult: (n,), whether an object counts neither as found nor as missed.
    """

    boxes: Float[np.ndarray, "n 4"]
    classes: Int[np.ndarray, " n"]
    difficult: Bool[np.ndarray, " n"]


def coco(
    found: Sequence[np.ndarray], truths: Sequence[Truth], num_classes: int
) -> Float[np.ndarray, "10 {num_classes}"]:
    """Returns the average precision of each class at each overlap of `COCO_OVERLAPS`.

    It is nan for a class without objects.

    Args:
      found: the detections of each image, (m, 6) as `suppressed` returns them.
      truths: the objects of each image.
      num_classes: number of classes.
    """
    found = [np.asarray(rows, np.float64) for rows in found]
    table = [
        _judged(found, truths, number, COCO_OVERLAPS, _coco_match, MOST)
        for number in range(num_classes)
    ]
    each = [[_at_recalls(*curve) for curve in curves] for curves in table]
    return np.array(each).reshape(num_classes, -1).T


def voc(
    found: Sequence[np.ndarray], truths: Sequence[Truth], num_classes: int
) -> tuple[Float[np.ndarray, " {num_classes}"], Float[np.ndarray, " {num_classes}"]]:
    """Returns the average precision of each class as before 2010, and as since then.

    It is nan for a class without objects; `found` and `truths` are those of `coco`.
    """
    found = [np.asarray(rows, np.float64) for rows in found]
    curves = [
        _judged(found, truths, number, (VOC_OVERLAP,), _voc_match, None)[0]
        for number in range(num_classes)
    ]
    eleven = np.array([_at_eleven(*curve) for curve in curves])
    return eleven, np.array([_area(*curve) for curve in curves])


class _Curve(NamedTuple):
    """Precision and recall after each detection of a class, the surest first."""

    precision: Float[np.ndarray, " n"]
    recall: Float[np.ndarray, " n"]


# (overlaps (m, n), difficult (n,), thresholds) -> for each threshold and detection 1 right, 0
# wrong, -1 neither.
_Match = Callable[[np.ndarray, np.ndarray, Sequence[float]], np.ndarray]


def _judged(
    found: Sequence[np.ndarray],
    truths: Sequence[Truth],
    number: int,
    thresholds: Sequence[float],
    match: _Match,
    most: int | None,
) -> list[_Curve]:
    """Returns the curve of a class at each threshold."""
    scores, verdicts, wanted = [], [], 0
    for rows, truth in zip(found, truths):
        own = truth.classes == number
        boxes, difficult = np.asarray(truth.boxes[own], np.float64), truth.difficult[own]
        wanted += int(np.sum(~difficult))
        rows = rows[(rows[:, 5] == number) & (rows[:, 4] > 0)]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")][:most]
        scores.append(rows[:, 4])
        verdicts.append(match(overlaps(rows[:, :4], boxes), difficult, thresholds))
    if not wanted:
        return [_Curve(np.zeros(0), np.zeros(0))] * len(thresholds)
    joined = np.concatenate(verdicts, axis=1)[:, np.argsort(-np.concatenate(scores), kind="stable")]
    return [_curve(row[row >= 0], wanted) for row in joined]


def _curve(right: Int[np.ndarray, " n"], wanted: int) -> _Curve:
    hits = np.cumsum(right)
    # A class without detections has a curve of one point, with precision 0.
    if not len(hits):
        return _Curve(np.zeros(1), np.zeros(1))
    return _Curve(hits / np.arange(1, len(hits) + 1), hits / wanted)


def _coco_match(
    shared: np.ndarray, difficult: np.ndarray, thresholds: Sequence[float]
) -> Int[np.ndarray, "t m"]:
    verdicts = np.zeros((len(thresholds), len(shared)), np.int64)
    order = np.argsort(difficult, kind="stable")
    for row, threshold in enumerate(thresholds):
        free = np.ones(len(difficult), bool)
        for i, row_of in enumerate(shared):
            chosen, least = None, min(threshold, 1 - 1e-10)
            for j in order:
                # An object that counts is preferred to a difficult one.
                if chosen is not None and difficult[j] and not difficult[chosen]:
                    break
                if free[j] and row_of[j] >= least:
                    chosen, least = j, row_of[j]
            if chosen is not None:
                free[chosen] = False
                verdicts[row, i] = -1 if difficult[chosen] else 1
    return verdicts


def _voc_match(
    shared: np.ndarray, difficult: np.ndarray, thresholds: Sequence[float]
) -> Int[np.ndarray, "t m"]:
    verdicts = np.zeros((len(thresholds), len(shared)), np.int64)
    for row, threshold in enumerate(thresholds):
        free = np.ones(len(difficult), bool)
        for i, row_of in enumerate(shared):
            if not len(row_of) or row_of.max() < threshold:
                continue
            chosen = int(np.argmax(row_of))
            verdicts[row, i] = -1 if difficult[chosen] else int(free[chosen])
            free[chosen] = False
    return verdicts


def _falling(precision: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns the greatest precision at the same or a greater recall."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def _at_recalls(precision: np.ndarray, recall: np.ndarray) -> float:
    if not len(recall):
        return float("nan")
    place = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.mean(np.append(_falling(precision), 0)[np.minimum(place, len(recall))]))


def _at_eleven(precision: np.ndarray, recall: np.ndarray) -> float:
    if not len(recall):
        return float("nan")
    best = [np.max(precision[recall >= t], initial=0) for t in np.linspace(0, 1, 11)]
    return float(np.mean(best))


def _area(precision: np.ndarray, recall: np.ndarray) -> float:
    if not len(recall):
        return float("nan")
    steps = np.diff(recall, prepend=0)
    return float(np.sum(steps * _falling(precision)))
