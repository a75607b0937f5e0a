"""Average precision of detections, as the COCO and the PASCAL VOC challenges define it.

`library.average_precision` describes both. VOC's program adds a pixel to each side of a box; here
boxes end where they end.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from library.average_precision import Found, coco_average_precision, voc_average_precision
from library.object_detection.boxes import overlaps


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
    """Returns the average precision of each class at each of COCO's overlaps, 0.50 to 0.95.

    It is nan for a class without objects.

    Args:
      found: the detections of each image, (m, 6) as `suppressed` returns them.
      truths: the objects of each image.
      num_classes: number of classes.
    """
    table = [coco_average_precision(_of_class(found, truths, k)) for k in range(num_classes)]
    return np.array(table).reshape(num_classes, -1).T


def voc(
    found: Sequence[np.ndarray], truths: Sequence[Truth], num_classes: int
) -> tuple[Float[np.ndarray, " {num_classes}"], Float[np.ndarray, " {num_classes}"]]:
    """Returns the average precision of each class as before 2010, and as since then.

    It is nan for a class without objects; `found` and `truths` are those of `coco`.
    """
    table = [voc_average_precision(_of_class(found, truths, k)) for k in range(num_classes)]
    eleven, area = np.array(table).reshape(num_classes, 2).T
    return eleven, area


def _of_class(found: Sequence[np.ndarray], truths: Sequence[Truth], number: int) -> list[Found]:
    """Returns the overlaps of a class's detections with its objects in each image."""
    images = []
    for rows, truth in zip(found, truths):
        own = truth.classes == number
        rows = np.asarray(rows, np.float64)
        rows = rows[(rows[:, 5] == number) & (rows[:, 4] > 0)]
        boxes = np.asarray(truth.boxes[own], np.float64)
        images.append(Found(overlaps(rows[:, :4], boxes), rows[:, 4], truth.difficult[own]))
    return images
