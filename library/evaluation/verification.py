"""Verification: whether two examples have the same label, by the angle between their features."""

import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def verification(
    context: Context,
    *,
    output: str = "features",
    label: str = "label",
    split: str = "test",
    most: int = 2000,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the equal error rate of pairs of a split, scored by the cosine of their features.

    Speakers are verified so (Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker
    recognition", with a better score than the cosine).

    Args:
      context: a context whose task has the output.
      output: the output of the task, (b, d).
      label: the feature that pairs share or not, int (b,).
      split: the split to evaluate.
      most: the most examples, the first of the split; there are most (most - 1) / 2 pairs.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"equal_error_rate", "area"}`; `area` is the probability that a pair of one label
      scores above a pair of two.

    Raises:
      ConfigError: the task has no such output, or `most` is below 2.
      ValueError: (when called) all pairs have one label, or none has.
    """
    check_choice("output of the task", output, context.task.outputs)
    check_choice("feature of verification", label, context.features)
    if most < 2:
        raise ConfigError(f"verification, most={most}: valid are 2 or more")

    def found(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        features = context.task.outputs[output](state, batch, key)
        return {"features": features, "label": batch[label], "mask": batch["mask"]}

    compiled = context.collect(found)

    def evaluate(state: TrainState) -> Summary:
        held = collected(compiled, state, context.batches(split, batch_size), split)
        x, labels = np.asarray(held["features"][:most], np.float64), held["label"][:most]
        if not len(x):
            # The rehearsal of a run has no examples.
            return {"equal_error_rate": np.nan, "area": np.nan}
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        first, second = np.triu_indices(len(x), 1)
        scores, same = (x @ x.T)[first, second], labels[first] == labels[second]
        if same.all() or not same.any():
            raise ValueError(
                f"verification: the split {split!r} needs pairs of one label and of two"
            )
        return {"equal_error_rate": equal_error_rate(scores, same), "area": area(scores, same)}

    return evaluate


def equal_error_rate(scores: Float[np.ndarray, " n"], same: Bool[np.ndarray, " n"]) -> float:
    """Returns the error rate at the threshold where as many are missed as are let in.

    Args:
      scores: a score of each pair; those at or above the threshold count as the same.
      same: whether a pair is the same.

    Returns:
      The rate where the two lines cross that join the rates of neighbouring thresholds.
    """
    thresholds = np.unique(scores)
    ours, theirs = np.sort(scores[same]), np.sort(scores[~same])
    missed = np.append(np.searchsorted(ours, thresholds) / len(ours), 1.0)
    let_in = np.append(1 - np.searchsorted(theirs, thresholds) / len(theirs), 0.0)
    gap = missed - let_in
    after = int(np.argmax(gap >= 0))
    before = max(after - 1, 0)
    span = gap[after] - gap[before]
    part = 0.0 if span == 0 else -gap[before] / span
    return float(missed[before] + part * (missed[after] - missed[before]))


def area(scores: Float[np.ndarray, " n"], same: Bool[np.ndarray, " n"]) -> float:
    """Returns the area under the ROC curve; equal scores count one half."""
    ours, theirs = scores[same], np.sort(scores[~same])
    below = np.searchsorted(theirs, ours, side="left") + np.searchsorted(theirs, ours, side="right")
    return float(np.mean(below) / (2 * len(theirs)))
