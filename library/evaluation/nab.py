"""The score of the Numenta anomaly benchmark (NAB), for the errors of a model of series.

Lavin & Ahmad 2015, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly
benchmark" (arXiv 1510.03336), and the authors' program, numenta/NAB. A series has windows about its
anomalies. The first detection in a window counts, more so if it is early. A detection outside costs
less if it is shortly after a window. A missed window costs most. The profiles weigh these:

| profile | detected window | detection outside | missed window |
| --- | --- | --- | --- |
| standard | 1 | 0.11 | 1 |
| low_fp | 1 | 0.22 | 1 |
| low_fn | 1 | 0.11 | 2 |
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


class Profile(NamedTuple):
    """The weights of detected windows, of detections outside, and of missed windows."""

    detected: float
    outside: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low_fp": Profile(1.0, 0.22, 1.0),
    "low_fn": Profile(1.0, 0.11, 2.0),
}


_MARKS = ("anomaly", "scored", "place")
# NAB's sigmoid at the first step of a window.
_FIRST = 2 / (1 + math.exp(-5)) - 1


def nab(
    context: Context,
    *,
    output: str = "error",
    short: int = 10,
    long: int = 8000,
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures how well errors show anomalies, by NAB's normalized score.

    The errors become scores by `likelihood`. As in NAB, one threshold serves all series, the best
    for the profile, found on the same data.

    Args:
      context: a context of windows of many series, see library/data/corpus_windows.py.
      output: the task's output with the error of a step, (b,).
      short: steps whose mean error is compared.
      long: steps before it that it is compared with.
      split: the split with all steps.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"standard", "low_fp", "low_fn"}`: 100 is the first step of each window and nothing
      else, and 0 is to detect nothing; worse is negative.

    Raises:
      ConfigError: the task has no such output, a feature is missing, or a number is below 1.
    """
    check_choice("output of the task", output, context.task.outputs)
    for name in _MARKS:
        check_choice("feature of nab", name, context.features)
    for name, value in dict(short=short, long=long).items():
        if value < 1:
            raise ConfigError(f"nab, {name}={value}: valid are 1 or more")

    def read(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        error = context.task.outputs[output](state, batch, key)
        return {"error": error, **{k: batch[k] for k in (*_MARKS, "mask")}}

    compiled = context.collect(read)

    def evaluate(state: TrainState) -> Summary:
        found = collected(compiled, state, context.batches(split, batch_size), split)
        if not len(found["error"]):
            # The rehearsal of a run has no examples.
            return dict.fromkeys(PROFILES, float("nan"))
        order = np.lexsort(found["place"].T[::-1])
        ends = np.flatnonzero(np.diff(found["place"][order, 0])) + 1
        errors = np.split(found["error"][order].astype(np.float64), ends)
        anomalies, scored = (np.split(found[k][order] > 0, ends) for k in ("anomaly", "scored"))
        scores = [likelihood(error, short, long) for error in errors]
        return {name: score(scores, anomalies, scored, p) for name, p in PROFILES.items()}

    return evaluate


def likelihood(error: Float[np.ndarray, " t"], short: int, long: int) -> Float[np.ndarray, " t"]:
    """Returns how far the mean of the last errors is above that of many, in deviations.

    Ahmad, Lavin, Purdy & Agha 2017, "Unsupervised real-time anomaly detection for streaming data",
    section 3.2, takes the probability of a Gaussian for it, which has the same order.

    Args:
      error: the errors of a series.
      short: steps of the first mean, up to the present.
      long: steps of the mean and the deviation that it is compared with, up to the present.
    """
    centred = error - error.mean()

    def mean(x: np.ndarray, steps: int) -> np.ndarray:
        sums = np.concatenate([[0.0], np.cumsum(x)])
        now = np.arange(1, len(x) + 1)
        before = np.maximum(now - steps, 0)
        return (sums[now] - sums[before]) / (now - before)

    usual = mean(centred, long)
    variance = np.maximum(mean(np.square(centred), long) - np.square(usual), 0)
    return (mean(centred, short) - usual) / np.maximum(np.sqrt(variance), 1e-6)


def score(
    scores: Sequence[Float[np.ndarray, " _"]],
    anomalies: Sequence[Bool[np.ndarray, " _"]],
    scored: Sequence[Bool[np.ndarray, " _"]],
    profile: Profile,
) -> float:
    """Returns the normalized score of a profile at its best threshold, nan without windows.

    Args:
      scores: a score for each step of each series; a step at or above the threshold is detected.
      anomalies: whether each step is in a window.
      scored: whether a detection at each step counts.
      profile: the weights.
    """
    held, worth, window, count = [], [], [], 0
    for values, marks, counts in zip(scores, anomalies, scored, strict=True):
        own, number = worths(marks)
        held.append(values[counts])
        worth.append(own[counts])
        window.append(np.where(number < 0, -1, number + count)[counts])
        count += number.max(initial=-1) + 1
    held, worth, window = map(np.concatenate, (held, worth, window))
    windows = len(np.unique(window[window >= 0]))
    if not windows:
        return float("nan")
    least = -profile.missed * windows
    best = max(0.0, _best_gain(held, worth, window, profile))
    return float(100 * best / (profile.detected * windows - least))


def worths(
    anomaly: Bool[np.ndarray, " t"],
) -> tuple[Float[np.ndarray, " t"], Int[np.ndarray, " t"]]:
    """Returns what a detection at each step is worth, and the number of its window, or -1.

    Within a window of w steps the worth falls from 1 at its first step to nearly 0 at its last.
    After it, it falls from 0 to -1, which it has reached three windows later; before any, it is -1.
    """
    edges = np.diff(np.concatenate([[0], anomaly.astype(np.int8), [0]]))
    firsts, lasts = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    step = np.arange(len(anomaly))
    number = np.searchsorted(firsts, step, side="right") - 1
    if not len(firsts):
        return np.full(len(anomaly), -1.0), number
    first, last = firsts[number], lasts[number]
    width = (last - first + 1).astype(np.float64)
    inside = anomaly & (number >= 0)
    within = _falling(-(last - step + 1) / width) / _FIRST
    past = np.where(width > 1, (step - last) / np.maximum(width - 1, 1), np.inf)
    after = np.where(number < 0, -1.0, _falling(past))
    return np.where(inside, within, after), np.where(inside, number, -1)


def _falling(position: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Returns NAB's scaled sigmoid: 0.987 at -1, 0 at 0, and -1 from 3 on."""
    close = np.minimum(position, 3.0)
    return np.where(position >= 3.0, -1.0, 2 / (1 + np.exp(5 * close)) - 1)


def _best_gain(
    scores: Float[np.ndarray, " n"],
    worth: Float[np.ndarray, " n"],
    window: Int[np.ndarray, " n"],
    profile: Profile,
) -> float:
    """Returns the most that any threshold gains over detecting nothing."""
    order = np.argsort(-scores, kind="stable")
    scores, worth, window = scores[order], worth[order], window[order]
    gain = np.where(window < 0, profile.outside * worth, 0.0)
    reached: dict[int, float] = {}
    for at in np.flatnonzero(window >= 0).tolist():
        number, value = int(window[at]), profile.detected * float(worth[at])
        before = reached.get(number, -profile.missed)
        reached[number] = max(before, value)
        gain[at] = reached[number] - before
    # Steps with one score are detected together.
    last = np.append(scores[1:] != scores[:-1], True)
    return float(np.cumsum(gain)[last].max())
