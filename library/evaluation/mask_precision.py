"""Average precision of instance masks, the metric of MS-COCO."""

import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from library.average_precision import THRESHOLDS, Found, coco_average_precision
from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState

_OUTPUTS = ("masks", "mask_classes", "mask_scores")


def mask_precision(
    context: Context,
    *,
    num_classes: int | None = None,
    split: str = "test",
    target: str = "map",
    classes: str = "digits",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the average precision of the masks that the task finds, by their overlap (IoU).

    Args:
      context: the task, the data and functions to run over it.
      num_classes: number of classes of objects; by default those of the dataset.
      split: the split to evaluate.
      target: the feature whose bit i is the mask of object i, (b, h, w).
      classes: the feature with the class of each object, or -1, (b, n).
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"ap", "ap50", "ap75", "class_ap" (c,)}`: means over the classes that occur, over
      the thresholds 0.50 to 0.95 and at 0.5 and 0.75, and the first of these by class.

    Raises:
      ConfigError: the task does not have the outputs of `instances`, or the number of classes is
        not known.
    """
    for name in _OUTPUTS:
        if name not in context.task.outputs:
            found = nearest(name, context.task.outputs)
            raise ConfigError(f"mask_precision: the task has no output {name!r}: {found}")
    count = num_classes or context.num_classes
    if count is None:
        raise ConfigError("mask_precision needs num_classes: the dataset names no classes")

    def located(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        made = {name: context.task.outputs[name](state, batch, key) for name in _OUTPUTS}
        return {**made, "bits": batch[target], "true": batch[classes], "mask": batch["mask"]}

    function = context.collect(located)

    def evaluate(state: TrainState) -> Summary:
        got = collected(function, state, context.batches(split, batch_size), split)
        rows = [{name: x[i] for name, x in got.items()} for i in range(len(got["bits"]))]
        each = np.array(
            [coco_average_precision([_of_class(row, c) for row in rows]) for c in range(count)]
        )
        occurring = each[~np.isnan(each).any(1)]
        means = occurring.mean(0) if len(occurring) else np.full(len(THRESHOLDS), np.nan)
        at = dict(zip(np.round(THRESHOLDS, 2), map(float, means)))
        numbers = {"ap": float(means.mean()), "ap50": at[0.5], "ap75": at[0.75]}
        return {**numbers, "class_ap": each.mean(1)}

    return evaluate


def _of_class(row: dict[str, np.ndarray], number: int) -> Found:
    """Returns the similarities of an image's masks of one class with the true ones."""
    wanted = [(row["bits"] >> i) & 1 for i in np.flatnonzero(row["true"] == number)]
    chosen = (row["mask_classes"] == number) & (row["mask_scores"] > 0)
    true = np.array([mask for mask in wanted if mask.any()], bool)
    true = true.reshape(-1, *row["bits"].shape)
    return Found(overlaps(row["masks"][chosen], true), row["mask_scores"][chosen])


def overlaps(
    a: Bool[np.ndarray, "n h w"], b: Bool[np.ndarray, "m h w"]
) -> Float[np.ndarray, "n m"]:
    """Returns the intersection over union of each mask of `a` with each of `b`."""
    pixels = int(np.prod(a.shape[1:]))
    flat_a, flat_b = a.reshape(len(a), pixels), b.reshape(len(b), pixels)
    both = flat_a.astype(np.float64) @ flat_b.astype(np.float64).T
    union = flat_a.sum(1)[:, None] + flat_b.sum(1)[None] - both
    return both / np.maximum(union, 1)
