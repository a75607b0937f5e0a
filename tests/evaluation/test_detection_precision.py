"""The evaluator hands a split's detections and objects to the measures of average precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.detection_precision import detection_precision
from library.object_detection.average_precision import Truth, coco, voc
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)
OUTPUTS = {"detections": lambda state, batch, key: batch["rows"]}


def arrays(num=9, seed=0):
    random = np.random.default_rng(seed)
    low = random.uniform(0, 0.6, (num, 5, 2))
    boxes = np.float32(np.concatenate([low, low + 0.3], axis=-1))
    kinds = random.integers(0, 2, (num, 5)).astype(np.int32)
    near = boxes + np.float32(random.normal(0, 0.03, boxes.shape))
    sure = np.float32(random.random((num, 5, 1)))
    return {
        "boxes": boxes,
        "boxes_label": kinds,
        "boxes_mask": np.float32(random.random((num, 5)) < 0.7),
        "boxes_difficult": (random.random((num, 5)) < 0.2).astype(np.int32),
        "rows": np.concatenate([near, sure, kinds[..., None]], axis=-1).astype(np.float32),
        "mask": np.float32(np.arange(num) < num - 2),
    }


def make_context(values, names=("a", "b"), outputs=OUTPUTS):
    def batches(split, batch_size):
        for start in range(0, len(values["mask"]), 4):
            yield {name: jnp.asarray(x[start : start + 4]) for name, x in values.items()}

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    task = Task(None, None, None, outputs)
    return Context(task, batches, None, collect, label_names=names)


def test_each_image_is_measured_once_without_padding():
    values = arrays()
    got = detection_precision(make_context(values))(STATE)
    real = values["mask"] > 0
    truths = [
        Truth(values["boxes"][i][there], values["boxes_label"][i][there], marks[there])
        for i, there in enumerate(values["boxes_mask"] > 0)
        for marks in [values["boxes_difficult"][i] > 0]
        if real[i]
    ]
    rows = values["rows"][real]
    table, (voc07, voc10) = coco(rows, truths, 2), voc(rows, truths, 2)
    assert got["map"] == pytest.approx(table.mean())
    assert got["map50"] == pytest.approx(table[0].mean())
    assert got["map75"] == pytest.approx(table[5].mean())
    assert (got["voc07"], got["voc10"]) == pytest.approx((voc07.mean(), voc10.mean()))
    np.testing.assert_array_equal(got["class_map50"], table[0])
    assert 0 < got["map"] < got["map50"] < 1


def test_classes_that_do_not_occur_do_not_count():
    values = arrays()
    got = detection_precision(make_context(values, names=("a", "b", "c")))(STATE)
    assert np.isnan(got["class_map50"][2])
    assert got["map"] == detection_precision(make_context(values))(STATE)["map"]
    values["boxes_mask"][:] = 0
    assert np.isnan(detection_precision(make_context(values))(STATE)["map"])


def test_another_task_is_refused():
    with pytest.raises(ConfigError, match="no output 'detections', did you mean 'detection'"):
        detection_precision(make_context(arrays(), outputs={"detection": None}))
    with pytest.raises(ConfigError, match="needs num_classes"):
        detection_precision(make_context(arrays(), names=None))
