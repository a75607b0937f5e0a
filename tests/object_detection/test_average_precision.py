"""Average precision beside COCO's own program, and by hand."""

import numpy as np
import pytest

from library.object_detection import average_precision
from library.object_detection.average_precision import Truth
from tests import coco

KINDS = 3


def drawn(seed, images=8):
    """Returns detections near and beside objects, with equal confidences among them."""
    random = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(images):
        num, made = random.integers(0, 7), random.integers(0, 15)
        low = random.integers(0, 60, (max(num, 1), 2))
        boxes = np.concatenate([low, low + random.integers(5, 40, low.shape)], axis=1).astype(float)
        near = boxes[random.integers(0, len(boxes), made)] + random.integers(-6, 7, (made, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        sure = np.round(random.random((made, 1)) + 0.01, 2)
        found.append(np.concatenate([near, sure, random.integers(0, KINDS, (made, 1))], axis=1))
        kinds = random.integers(0, KINDS, num)
        truths.append(Truth(boxes[:num], kinds, np.zeros(num, bool)))
    return found, truths


def of_pycocotools(found, truths):
    def described(image, box, kind):
        size = (box[3] - box[1], box[2] - box[0])
        own = dict(image_id=image, category_id=int(kind), bbox=[box[1], box[0], *size])
        return dict(own, area=size[0] * size[1])

    objects = [
        described(i, box, kind)
        for i, truth in enumerate(truths)
        for box, kind in zip(truth.boxes, truth.classes)
    ]
    detections = [
        dict(described(i, row[:4], row[5]), score=row[4])
        for i, rows in enumerate(found)
        for row in rows
    ]
    images = [dict(id=i) for i in range(len(found))]
    kinds = [dict(id=kind) for kind in range(KINDS)]
    return coco.average_precision("bbox", objects, detections, images=images, categories=kinds)


@pytest.mark.parametrize("seed", range(3))
def test_coco_is_pycocotools(seed):
    found, truths = drawn(seed)
    expected = of_pycocotools(found, truths)
    assert 0.01 < np.nanmean(expected) < 0.5
    ours = average_precision.coco(found, truths, KINDS)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def truth(*boxes, difficult=()):
    marks = np.isin(np.arange(len(boxes)), difficult)
    return Truth(np.float64(boxes).reshape(-1, 4), np.zeros(len(boxes), int), marks)


def rows(*each):
    return np.float64([[*box, sure, 0] for box, sure in each]).reshape(-1, 6)


A, B, C = [0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]


def test_voc_by_hand():
    # Right, wrong (twice), right; the third object is missed.
    found = [rows((A, 0.9), (A, 0.8), (B, 0.7))]
    eleven, area = average_precision.voc(found, [truth(A, B, C)], 1)
    # Precision 1 up to a recall of 1/3, then 2/3 up to 2/3.
    assert area[0] == pytest.approx(1 / 3 + 2 / 3 / 3)
    # Recalls 0 to 0.3 are four of eleven, 0.4 to 0.6 three.
    assert eleven[0] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_difficult_objects_count_neither_way():
    found = [rows((A, 0.9), (B, 0.8))]
    both = [truth(A, B, difficult=[1])]
    assert average_precision.voc(found, both, 1)[1][0] == 1
    assert average_precision.coco(found, both, 1)[0, 0] == 1
    missed = average_precision.voc([rows((B, 0.8))], both, 1)[1]
    assert missed[0] == 0


def test_a_detection_of_a_taken_object_is_wrong_for_voc_and_may_find_another_for_coco():
    # Between two objects, nearer to the first, which a surer detection has taken.
    one, two, between = [0, 0, 10, 10], [0, 4, 10, 14], [0, 1, 10, 12]
    found, both = [rows((one, 0.9), (between, 0.8))], [truth(one, two)]
    assert average_precision.voc(found, both, 1)[1][0] == 0.5
    assert average_precision.coco(found, both, 1)[0, 0] == 1


def test_nothing_found_is_0_and_nothing_to_find_is_nan():
    none = [rows()]
    assert average_precision.coco(none, [truth(A)], 1)[0, 0] == 0
    assert [x[0] for x in average_precision.voc(none, [truth(A)], 1)] == [0, 0]
    assert np.isnan(average_precision.coco([rows((A, 0.5))], [truth()], 1)).all()
    assert np.isnan(average_precision.voc([rows((A, 0.5))], [truth()], 1)).all()
