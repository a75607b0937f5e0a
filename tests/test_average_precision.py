"""Average precision by hand, and beside the program of MS-COCO on random finds."""

import numpy as np
import pytest

from library.average_precision import THRESHOLDS, Found, coco_average_precision
from library.evaluation.keypoint_precision import similarity
from tests import coco


def test_one_right_and_one_wrong_find_by_hand():
    found = Found(np.array([[0.9], [0.8]]), np.array([0.3, 0.7]))
    # The second find is surer, and takes the object. The first is then wrong, after full recall.
    assert coco_average_precision([found], np.array([0.5]))[0] == pytest.approx(1)
    # At 0.85 the surer find is wrong, so the precision is a half at every recall.
    assert coco_average_precision([found], np.array([0.85]))[0] == pytest.approx(0.5)
    assert coco_average_precision([found], np.array([0.95]))[0] == 0


def test_images_without_finds_or_objects():
    missed = Found(np.zeros((0, 2)), np.zeros(0))
    right = Found(np.ones((1, 1)), np.ones(1))
    # One of three objects is found: 34 of the 101 recalls are reached.
    found = coco_average_precision([missed, right], np.array([0.5]))
    assert found[0] == pytest.approx(34 / 101)
    empty = Found(np.zeros((1, 0)), np.array([0.5]))
    assert np.isnan(coco_average_precision([empty])).all()
    assert coco_average_precision([empty, right], np.array([0.5]))[0] == pytest.approx(1)


def test_keypoints_are_measured_as_by_pycocotools():
    random, images, joints = np.random.default_rng(0), 40, 5
    true = random.uniform(10, 90, (images, joints, 2))
    there = (random.uniform(size=(images, joints)) > 0.2).astype(float)
    there[:, 0] = 1
    found = true + random.normal(size=true.shape) * random.uniform(0, 12, (images, 1, 1))
    score, spread = random.uniform(size=images), np.array([0.03, 0.08, 0.05, 0.1, 0.06])
    low = np.where(there[..., None] > 0, true, np.inf).min(1)
    high = np.where(there[..., None] > 0, true, -np.inf).max(1)
    marks, results = [], []
    for i in range(images):
        points = np.stack([true[i, :, 1], true[i, :, 0], 2 * there[i]], -1)
        box = [low[i, 1], low[i, 0], high[i, 1] - low[i, 1], high[i, 0] - low[i, 0]]
        common = dict(image_id=i + 1, category_id=1)
        details = dict(num_keypoints=int(there[i].sum()), bbox=box, keypoints=points.ravel())
        marks.append({**common, **details, "area": float(np.prod(high[i] - low[i]))})
        points = np.stack([found[i, :, 1], found[i, :, 0], np.ones(joints)], -1)
        results.append({**common, "keypoints": [*points.ravel()], "score": float(score[i])})
    names = [dict(id=1, name="figure", keypoints=[*map(str, range(joints))])]
    sizes = [dict(id=i + 1, height=100, width=100) for i in range(images)]
    described = dict(images=sizes, categories=names, sigmas=spread)
    theirs = coco.average_precision("keypoints", marks, results, **described)[:, 0]
    similar = similarity(found, true, there, spread)
    ours = coco_average_precision(
        [Found(np.array([[s]]), np.array([c])) for s, c in zip(similar, score)], THRESHOLDS
    )
    assert 0.05 < ours.mean() < 0.95
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_several_masks_an_image_are_measured_as_by_pycocotools():
    encode = pytest.importorskip("pycocotools.mask").encode
    random, marks, results, images = np.random.default_rng(1), [], [], []
    for image in range(1, 16):
        y, x = np.mgrid[:24, :24]

        def disc(cy, cx, radius, y=y, x=x):
            return (y - cy) ** 2 + (x - cx) ** 2 <= radius**2

        places = random.uniform(5, 19, (random.integers(1, 4), 2))
        true = [disc(*place, 4) for place in places]
        moved = np.repeat(places, 2, axis=0) + random.normal(size=(2 * len(places), 2)) * 2
        found, score = [disc(*place, 4) for place in moved], random.uniform(size=len(moved))
        for mask in true:
            mark = dict(image_id=image, category_id=1)
            area = int(mask.sum())
            marks.append(
                {**mark, "area": area, "segmentation": encode(np.asfortranarray(mask, np.uint8))}
            )
        for mask, sure in zip(found, score):
            result = dict(image_id=image, category_id=1, score=float(sure))
            results.append({**result, "segmentation": encode(np.asfortranarray(mask, np.uint8))})
        union = np.array([[(a | b).sum() for b in true] for a in found])
        both = np.array([[(a & b).sum() for b in true] for a in found])
        images.append(Found(both / union, score))
    sizes = [dict(id=image, height=24, width=24) for image in range(1, 16)]
    described = dict(images=sizes, categories=[dict(id=1, name="disc")])
    theirs = coco.average_precision("segm", marks, results, **described)[:, 0]
    ours = coco_average_precision(images)
    assert 0.05 < ours.mean() < 0.95
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
