"""Whether rows of one class lie together in a space: k-means there, compared with the labels."""

import numpy as np
from jaxtyping import Array, Float, Int

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState

STARTS = 10


def clusters(
    context: Context,
    *,
    output: str = "features",
    num: int | None = None,
    split: str = "train",
    batch_size: int | None = None,
) -> Evaluator:
    """Groups the examples of a split by k-means of an output, and compares the groups with labels.

    The groups see no label. The best of ten starts of Lloyd 1982 counts, as scikit-learn makes them
    from k-means++.

    Args:
      context: the task, the data and functions to run over it.
      output: the task's output, (b, d).
      num: number of groups, by default that of the classes.
      split: the part of the dataset.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"purity", "adjusted_rand"}`: the share of examples whose label is the most frequent
      of their group, and the adjusted Rand index (Hubert & Arabie 1985), 0 on average for groups at
      random and 1 for those of the labels. Without a real example they are nan.

    Raises:
      ConfigError: the task has no such output, the examples have no labels, or `num` is below 1.
    """
    check_choice("output of clusters", output, context.task.outputs)
    count = context.num_classes if num is None else num
    if count is None or "label" not in (context.features or ("label",)):
        raise ConfigError("clusters compares with labels, and these examples have none")
    if count < 1:
        raise ConfigError(f"clusters, num={count}: valid are 1 or more")

    def run(state: TrainState, batch: Batch, key: Array) -> dict[str, Array]:
        made = context.task.outputs[output](state, batch, key)
        return {"x": made, "label": batch["label"], "mask": batch["mask"]}

    function = context.collect(run)

    def evaluate(state: TrainState) -> dict[str, float]:
        found = collected(function, state, context.batches(split, batch_size), split)
        if not len(found["x"]):
            return {"purity": float("nan"), "adjusted_rand": float("nan")}
        return compared(grouped(found["x"], count), found["label"])

    return evaluate


def grouped(x: Float[np.ndarray, "n d"], count: int) -> Int[np.ndarray, " n"]:
    """Returns the number of each row's group; at most as many groups as there are rows."""
    from sklearn.cluster import KMeans

    means = KMeans(min(count, len(x)), n_init=STARTS, random_state=0)
    return means.fit_predict(np.asarray(x, np.float64)).astype(np.int64)


def compared(group: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Returns the purity and the adjusted Rand index of groups."""
    from sklearn.metrics import adjusted_rand_score
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(label, group)
    purity = float(table.max(axis=0).sum() / table.sum())
    return {"purity": purity, "adjusted_rand": float(adjusted_rand_score(label, group))}
