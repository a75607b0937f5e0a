"""Verification: whether two examples have the same label, by the angle between their features."""

import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.ranking import area_under_curve
from library.summaries import Summary
from library.task import Batch, TrainState

MEASURES = ("equal_error_rate", "auroc", "validation_rate")


def verification(
    context: Context,
    *,
    output: str = "features",
    label: str = "label",
    far: float = 0.01,
    split: str = "test",
    num: int = 2000,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures all pairs of examples of a split, scored by the cosine of their features.

    Faces are verified so (Schroff et al. 2015, "FaceNet", arXiv 1503.03832, section 4), and
    speakers (Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition", with a
    better score than the cosine).

    Args:
      context: a context whose task has the output.
      output: the output of the task, (b, d).
      label: the feature that pairs share or not, int (b,).
      far: the greatest false accept rate at which the validation rate is measured.
      split: the split to evaluate.
      num: the most examples, the first of the split; n of them have n (n - 1) / 2 pairs.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"equal_error_rate", "auroc", "validation_rate"}`. "auroc" is the probability that a
      pair of one label scores above a pair of two. "validation_rate" is the share of the pairs of
      one label that a threshold accepts which accepts at most `far` of the pairs of two. All are
      nan if all pairs have one label, or none has.

    Raises:
      ConfigError: the task has no such output, examples have no such feature, `far` is outside
        [0, 1), or `num` is below 2.
    """
    check_choice("output of the task", output, context.task.outputs)
    if not 0 <= far < 1:
        raise ConfigError(f"far={far}: valid are rates from 0 to below 1, such as 0.01")
    if num < 2:
        raise ConfigError(f"num={num}: a pair needs 2 examples or more")

    def found(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        check_choice("feature of verification", label, batch)
        features = context.task.outputs[output](state, batch, key)
        return {"features": features, "label": batch[label], "mask": batch["mask"]}

    compiled = context.collect(found)

    def evaluate(state: TrainState) -> Summary:
        held = collected(compiled, state, context.batches(split, batch_size), split)
        x, labels = np.asarray(held["features"][:num], np.float64), held["label"][:num]
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        first, second = np.triu_indices(len(x), 1)
        return measures((x @ x.T)[first, second], labels[first] == labels[second], far)

    return evaluate


def measures(scores: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], far: float) -> Summary:
    """Returns the measures of pairs by their scores, see `verification`."""
    if same.all() or not same.any():
        return dict.fromkeys(MEASURES, float("nan"))
    return {
        "equal_error_rate": equal_error_rate(scores, same),
        "auroc": area_under_curve(same, scores),
        "validation_rate": validation_rate(scores, same, far),
    }


def validation_rate(
    scores: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], far: float
) -> float:
    """Returns the share of the same pairs above the threshold that lets in at most `far`."""
    strangers = np.sort(scores[~same])[::-1]
    # The nearest strangers whose share is at most `far` may be accepted, and no further one.
    threshold = strangers[int(far * len(strangers))]
    return float(np.mean(scores[same] > threshold))


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
