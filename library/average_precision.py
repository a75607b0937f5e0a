"""Average precision of scored finds, as MS-COCO measures it, for any similarity of find and truth.

Lin et al. 2014, "Microsoft COCO: Common objects in context"; the numbers are those of its program,
pycocotools.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# A find counts if its similarity to the truth reaches a threshold; the mean is over all of them.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)


class Found(NamedTuple):
    """What was found in one image.

    Attributes:
      similarity: of each find (row) to each true object, 0 to 1.
      score: how sure each find is.
    """

    similarity: Float[np.ndarray, "f t"]
    score: Float[np.ndarray, " f"]


def coco_average_precision(
    images: Sequence[Found], thresholds: Float[np.ndarray, " n"] = THRESHOLDS
) -> Float[np.ndarray, " n"]:
    """Returns the average precision at each threshold; nan if no image has a true object.

    In an image the finds choose in the order of their scores, each the most similar object that is
    left. A find without such an object at the threshold is wrong. The precision at each of 101
    recalls is the highest one at this recall or above.
    """
    wanted = sum(each.similarity.shape[1] for each in images)
    if not wanted:
        return np.full(len(thresholds), np.nan)
    score = np.concatenate([np.sort(-each.score, kind="stable") for each in images])
    order = np.argsort(score, kind="stable")
    found = []
    for threshold in thresholds:
        right = np.concatenate([matched(each, threshold) for each in images])[order]
        found.append(_average(right, wanted))
    return np.array(found)


def matched(found: Found, threshold: float) -> Bool[np.ndarray, " f"]:
    """Returns whether each find of an image is right, in the order of falling scores."""
    similarity = found.similarity[np.argsort(-found.score, kind="stable")]
    left = np.ones(similarity.shape[1], bool)
    right = np.zeros(len(similarity), bool)
    for row, values in enumerate(similarity):
        free = np.where(left, values, -1)
        # Of equal ones the program takes the last.
        best = len(free) - 1 - int(np.argmax(free[::-1])) if len(free) else -1
        if best >= 0 and free[best] >= min(threshold, 1 - 1e-10):
            right[row], left[best] = True, False
    return right


def _average(right: Bool[np.ndarray, " f"], wanted: int) -> float:
    true, wrong = np.cumsum(right), np.cumsum(~right)
    recall, precision = true / wanted, true / (true + wrong + np.spacing(1))
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(highest, 0)[np.minimum(place, len(highest))].mean())
