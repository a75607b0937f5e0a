"""The features of a split under a frozen state, from which evaluators of representations start."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, collected
from library.task import Batch, TrainState


class Labelled(NamedTuple):
    """The features and the classes of examples, in the order of the split."""

    features: Float[np.ndarray, "n d"]
    label: Int[np.ndarray, " n"]


def labelled_features(
    context: Context, *, batch_size: int | None = None
) -> Callable[[TrainState, str, int | None], Labelled]:
    """Returns the function `(state, split, limit) -> Labelled`.

    Images are not augmented. With a limit only the first `limit` examples of the split are read.

    Args:
      context: a context whose task has the output "features" (b, ...), which is flattened.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Raises:
      ConfigError: the task has no such output; when called, examples do not have one label each.
    """
    check_choice("output of the task", "features", context.task.outputs)

    def labelled(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        if "label" not in batch or batch["label"].ndim != 1:
            found = batch["label"].shape if "label" in batch else None
            raise ConfigError(
                f"labels have shape {found}: evaluators of features need one class each, (b,)"
            )
        features = context.task.outputs["features"](state, batch, key)
        flat = features.reshape(len(features), -1).astype(np.float32)
        return {"features": flat, "label": batch["label"], "mask": batch["mask"]}

    compiled = context.collect(labelled)

    def read(state: TrainState, split: str, limit: int | None = None) -> Labelled:
        found = collected(compiled, state, _until(context, split, batch_size, limit))
        return Labelled(found["features"][:limit], found["label"][:limit].astype(np.int32))

    return read


def count_classes(context: Context, label: Int[np.ndarray, " n"]) -> int:
    """Returns the dataset's number of classes; if unknown, one more than the highest label."""
    return context.num_classes or int(label.max(initial=0)) + 1


def _until(context: Context, split: str, batch_size: int | None, limit: int | None):
    count = 0
    for batch in context.batches(split, batch_size):
        yield batch
        count += len(batch["mask"])
        if limit is not None and count >= limit:
            return
