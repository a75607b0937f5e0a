"""How well tracks follow objects: MOTA, identity switches and IDF1.

Bernardin & Stiefelhagen 2008, "Evaluating multiple object tracking performance: the CLEAR MOT
metrics", section 3.2. Ristani et al. 2016, "Performance measures and a data set for multi-target,
multi-camera tracking" (arXiv 1609.01775), section 3.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from library.object_detection.boxes import overlaps


def measured(
    truth: Sequence[Float[np.ndarray, "n 5"]],
    tracks: Sequence[Float[np.ndarray, "m 7"]],
    overlap: float = 0.5,
) -> dict[str, float]:
    """Returns the measures of the tracks of a video.

    In each frame an object keeps the track it was last paired with, if they overlap by `overlap` or
    more. The others are paired so that as many as possible are, with the greatest
    overlap. A switch is an object whose track is another than the last it was paired with.

    Args:
      truth: the objects of each frame: ymin, xmin, ymax, xmax, and the number of the object.
      tracks: the tracks of each frame: a detection, (6,), and the number of the track.
      overlap: least intersection over union of a pair.

    Returns:
      "mota" = 1 - (misses + false_positives + switches) / objects; "idf1", the F1 of the best
      one-to-one assignment of tracks to objects over the whole video; and the counts "misses",
      "false_positives", "switches" and "objects". Shares are nan if there is no object.
    """
    last: dict[int, int] = {}
    misses = false = switches = objects = 0
    together: Counter = Counter()
    for wanted, found in zip(truth, tracks, strict=True):
        ours, theirs = wanted[:, 4].astype(int), found[:, 6].astype(int)
        fits = overlaps(np.asarray(wanted[:, :4], np.float64), np.asarray(found[:, :4], np.float64))
        together.update((ours[i], theirs[j]) for i, j in np.argwhere(fits >= overlap))
        pairs = _paired(ours, theirs, fits, last, overlap)
        switches += sum(last.get(i, j) != j for i, j in pairs.items())
        last |= pairs
        objects += len(ours)
        misses += len(ours) - len(pairs)
        false += len(theirs) - len(pairs)
    count = float(objects) if objects else float("nan")
    return {
        "mota": 1 - (misses + false + switches) / count,
        "idf1": _idf1(together, truth, tracks) if objects else float("nan"),
        "misses": misses,
        "false_positives": false,
        "switches": switches,
        "objects": objects,
    }


def _paired(
    ours: np.ndarray, theirs: np.ndarray, fits: np.ndarray, last: dict[int, int], overlap: float
) -> dict[int, int]:
    """Returns the number of the track of each object that has one in a frame."""
    pairs, free = {}, fits >= overlap
    for i, number in enumerate(ours):
        for j in np.flatnonzero(theirs == last.get(number, -1)):
            if free[i, j]:
                pairs[int(number)] = int(theirs[j])
                free[i], free[:, j] = False, False
    # A pair that overlaps too little costs more than all others together.
    cost = np.where(free, 1 - fits, 1e6)
    for i, j in zip(*linear_sum_assignment(cost)):
        if free[i, j]:
            pairs[int(ours[i])] = int(theirs[j])
    return pairs


def _idf1(together: Counter, truth: Sequence[np.ndarray], tracks: Sequence[np.ndarray]) -> float:
    """Returns twice the frames that the best assignment shares, over all frames of both."""
    ours = sorted({i for i, _ in together})
    theirs = sorted({j for _, j in together})
    shared = np.array([[together[i, j] for j in theirs] for i in ours]).reshape(len(ours), -1)
    right = shared[linear_sum_assignment(-shared)].sum() if shared.size else 0
    return float(2 * right / (sum(map(len, truth)) + sum(map(len, tracks))))
