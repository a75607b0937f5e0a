"""Average precision by MS-COCO's own program, pycocotools, to compare with."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest


def average_precision(
    kind: str,
    objects: Sequence[Mapping[str, Any]],
    found: Sequence[Mapping[str, Any]],
    *,
    images: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
    sigmas: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the average precision at each threshold of each category, nan without objects.

    A test that calls it is skipped where pycocotools is not installed.

    Args:
      kind: "bbox", "segm" or "keypoints".
      objects: annotations of COCO, without ids.
      found: results of COCO.
      images: images of COCO.
      categories: categories of COCO.
      sigmas: the spread of each keypoint.
    """
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        marks = [dict(each, id=i, iscrowd=0) for i, each in enumerate(objects, 1)]
        truth.dataset = dict(images=images, categories=categories, annotations=marks)
        truth.createIndex()
        judge = cocoeval.COCOeval(truth, truth.loadRes(list(found)), kind)
        if sigmas is not None:
            judge.params.kpt_oks_sigmas = sigmas
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][..., 0, -1]
    return np.where((precision == -1).all(axis=1), np.nan, precision.mean(axis=1))
