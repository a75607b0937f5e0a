"""Mean average precision of a detector, as COCO and PASCAL VOC measure it."""

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.object_detection import average_precision
from library.object_detection.average_precision import Truth
from library.object_detection.objects import of_batch
from library.summaries import Summary
from library.task import Batch, TrainState


def detection_precision(
    context: Context,
    *,
    split: str = "test",
    target: str = "boxes",
    num_classes: int | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures how well the output "detections" finds the objects of a split.

    A detection is right if it overlaps an object of its class enough, see
    library/object_detection/average_precision.py. The average over recalls of the precision is the
    average precision of a class, and its mean over the classes that occur is stated. Objects that
    the feature TARGET_difficult marks count neither way.

    Args:
      context: the task, the data and functions to run over it.
      split: the split to evaluate.
      target: the name of the feature with the boxes.
      num_classes: number of classes; by default that of the dataset.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"map", "map50", "map75", "voc07", "voc10", "class_map50" (c,)}`: COCO's mean over
      overlaps of 0.50 to 0.95, COCO's at 0.5 and at 0.75, and VOC's at 0.5 as before 2010 and since
      then; nan where no object occurs.

    Raises:
      ConfigError: the task has no output "detections", or the number of classes is not known.
    """
    make = context.task.outputs.get("detections")
    if make is None:
        valid = nearest("detections", context.task.outputs)
        raise ConfigError(f"detection_precision: the task has no output 'detections', {valid}")
    count = num_classes or context.num_classes
    if count is None:
        raise ConfigError("detection_precision needs num_classes: the dataset names no classes")
    difficult = f"{target}_difficult"

    def found(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        objects = of_batch(batch, target)
        marks = {"difficult": batch[difficult]} if difficult in batch else {}
        rows = {"rows": make(state, batch, key), "mask": batch["mask"]}
        return {**objects._asdict(), **marks, **rows}

    compiled = context.collect(found)

    def evaluate(state: TrainState) -> Summary:
        arrays = collected(compiled, state, context.batches(split, batch_size), split)
        return _measured(arrays, count)

    return evaluate


def _measured(arrays: dict[str, np.ndarray], num_classes: int) -> Summary:
    """Returns the measures of the detections and objects of all images."""
    there = arrays["there"] > 0
    marks = arrays.get("difficult", np.zeros(there.shape)) > 0
    truths = [
        Truth(boxes[real], classes[real], mark[real])
        for boxes, classes, mark, real in zip(arrays["boxes"], arrays["classes"], marks, there)
    ]
    coco = average_precision.coco(arrays["rows"], truths, num_classes)
    voc07, voc10 = average_precision.voc(arrays["rows"], truths, num_classes)
    at = {name: _mean(coco[i]) for name, i in (("map50", 0), ("map75", 5))}
    voc = {"voc07": _mean(voc07), "voc10": _mean(voc10)}
    return {"map": _mean(coco), **at, **voc, "class_map50": coco[0]}


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
