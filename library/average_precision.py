"""Average precision of scored finds, for any similarity of find and truth.

COCO (Lin et al. 2014, arXiv 1405.0312): a find, the surest first, takes the free object that it is
most similar to; of two alike the later. The precision is read at 101 recalls.

VOC (Everingham et al. 2010, section 4.2): a find is compared with the object that it is most
similar to, and is wrong if that is taken. Before 2010 the precision is read at 11 recalls; since
then average precision is the whole area. Difficult objects count neither way.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# A find counts if its similarity to the truth reaches a threshold; COCO's mean is over all of them.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
VOC_THRESHOLD = 0.5
# COCO reads this many finds of a class in an image.
MOST = 100
_RECALLS = np.linspace(0, 1, 101)


class Found(NamedTuple):
    """What was found in one image.

    Attributes:
      similarity: of each find (row) to each true object, 0 to 1.
      score: how sure each find is.
      difficult: whether an object counts neither as found nor as missed; None if all count.
    """

    similarity: Float[np.ndarray, "f t"]
    score: Float[np.ndarray, " f"]
    difficult: Bool[np.ndarray, " t"] | None = None


class _Curve(NamedTuple):
    """Precision and recall after each find that counts, the surest first."""

    precision: Float[np.ndarray, " n"]
    recall: Float[np.ndarray, " n"]


def coco_average_precision(
    images: Sequence[Found], thresholds: Float[np.ndarray, " n"] = THRESHOLDS
) -> Float[np.ndarray, " n"]:
    """Returns COCO's average precision at each threshold; nan if no object counts.

    The precision at each of 101 recalls is the highest one at this recall or above.
    """
    ranked = [_ranked(each, MOST) for each in images]
    curves = [_curve(ranked, threshold, _coco_verdicts) for threshold in thresholds]
    return np.array([np.nan if curve is None else _at_recalls(*curve) for curve in curves])


def voc_average_precision(images: Sequence[Found]) -> tuple[float, float]:
    """Returns VOC's average precision as before 2010, and as since then.

    Both are nan if no object counts.
    """
    curve = _curve([_ranked(each) for each in images], VOC_THRESHOLD, _voc_verdicts)
    return (np.nan, np.nan) if curve is None else (_at_eleven(*curve), _area(*curve))


def _ranked(found: Found, most: int | None = None) -> Found:
    """Returns the surest finds of an image, in the order of falling scores."""
    order = np.argsort(-found.score, kind="stable")[:most]
    difficult = found.difficult
    if difficult is None:
        difficult = np.zeros(found.similarity.shape[1], bool)
    return Found(found.similarity[order], found.score[order], difficult)


def _curve(
    ranked: Sequence[Found],
    threshold: float,
    verdicts: Callable[[Found, float], Int[np.ndarray, " f"]],
) -> _Curve | None:
    """Returns the curve of all images, or None if no object counts."""
    wanted = sum(int(np.sum(~each.difficult)) for each in ranked)
    if not wanted:
        return None
    order = np.argsort(-np.concatenate([each.score for each in ranked]), kind="stable")
    each = np.concatenate([verdicts(found, threshold) for found in ranked])[order]
    right = each[each >= 0]
    hits = np.cumsum(right)
    return _Curve(hits / np.arange(1, len(hits) + 1), hits / wanted)


def _coco_verdicts(found: Found, threshold: float) -> Int[np.ndarray, " f"]:
    """Returns 1 for each right find, 0 for a wrong one, and -1 for one that does not count."""
    verdicts = np.zeros(len(found.score), np.int64)
    free = np.ones(len(found.difficult), bool)
    for row, values in enumerate(found.similarity):
        fitting = free & (values >= min(threshold, 1 - 1e-10))
        # An object that counts is preferred to a difficult one.
        if (counting := fitting & ~found.difficult).any():
            fitting = counting
        if fitting.any():
            # Of equal ones the last.
            chosen = len(values) - 1 - int(np.argmax(np.where(fitting, values, -1)[::-1]))
            free[chosen] = False
            verdicts[row] = -1 if found.difficult[chosen] else 1
    return verdicts


def _voc_verdicts(found: Found, threshold: float) -> Int[np.ndarray, " f"]:
    """Returns verdicts as `_coco_verdicts` does."""
    verdicts = np.zeros(len(found.score), np.int64)
    free = np.ones(len(found.difficult), bool)
    for row, values in enumerate(found.similarity):
        if not len(values) or values.max() < threshold:
            continue
        chosen = int(np.argmax(values))
        verdicts[row] = -1 if found.difficult[chosen] else int(free[chosen])
        free[chosen] = False
    return verdicts


def _falling(precision: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns the greatest precision at the same or a greater recall."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def _at_recalls(precision: np.ndarray, recall: np.ndarray) -> float:
    place = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.mean(np.append(_falling(precision), 0)[np.minimum(place, len(recall))]))


def _at_eleven(precision: np.ndarray, recall: np.ndarray) -> float:
    best = [np.max(precision[recall >= t], initial=0) for t in np.linspace(0, 1, 11)]
    return float(np.mean(best))


def _area(precision: np.ndarray, recall: np.ndarray) -> float:
    steps = np.diff(recall, prepend=0)
    return float(np.sum(steps * _falling(precision)))
