"""NAB's score: by hand, and against its rules step by step at every threshold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.data import corpus_windows, series_windows
from library.evaluation import nab
from library.evaluation.context import Context
from library.task import Task, TrainState

STANDARD = nab.PROFILES["standard"]


def sigmoid(position):
    return 2 / (1 + math.exp(5 * position)) - 1


def published(scores, anomalies, scored, profile, threshold):
    """Follows the rules of numenta/NAB, nab/sweeper.py, from step to step; not normalized."""
    total = 0.0
    for values, marks, counts in zip(scores, anomalies, scored):
        right = width = None
        best, inside = None, False
        for i, value in enumerate(values):
            detected = value >= threshold and counts[i]
            if marks[i]:
                if not inside:
                    inside, end = True, i
                    while end + 1 < len(marks) and marks[end + 1]:
                        end += 1
                    right, width, best = end, end - i + 1, -profile.missed
                if detected:
                    worth = sigmoid(-(right - i + 1) / width) / sigmoid(-1) * profile.detected
                    best = max(best, worth)
                if i == right:
                    total, inside = total + best, False
            elif detected:
                far = 3.0 if right is None else (i - right) / (width - 1)
                total += (-1 if far >= 3 else sigmoid(far)) * profile.outside
    return total


def test_a_window_by_hand():
    marks = np.zeros(100, bool)
    marks[40:50] = True
    counts = np.arange(100) >= 15

    def found(*at, profile=STANDARD):
        scores = np.zeros(100)
        scores[list(at)] = 1
        return nab.score([scores], [marks], [counts], profile)

    # The first step of the window is worth 1, the most.
    assert found(40) == pytest.approx(100)
    # Its sixth step is half-way: -(49 - 45 + 1) / 10.
    half = sigmoid(-0.5) / sigmoid(-1)
    assert found(45) == pytest.approx(100 * (half + 1) / 2)
    # A later detection in the window adds nothing, and one outside costs 0.11 times its distance.
    assert found(40, 45) == pytest.approx(100)
    assert found(40, 52) == pytest.approx(100 * (1 + 0.11 * sigmoid(3 / 9) + 1) / 2)
    assert found(40, 20, 99) == pytest.approx(100 * (1 - 0.22 + 1) / 2)
    low_fp = nab.PROFILES["low_fp"]
    assert found(40, 20, profile=low_fp) == pytest.approx(100 * (1 - 0.22 + 1) / 2)
    low_fn = nab.PROFILES["low_fn"]
    assert found(45, profile=low_fn) == pytest.approx(100 * (half + 2) / 3)
    # To detect nothing is 0, which is better than false alarms alone, and steps before 15 are free.
    assert found(20) == 0
    assert found(40, 3) == pytest.approx(100)


@pytest.mark.parametrize("profile", nab.PROFILES)
def test_the_best_threshold_is_the_published_one(profile):
    random, weights = np.random.default_rng(0), nab.PROFILES[profile]
    scores, anomalies, scored = [], [], []
    for length, windows in ((90, [(30, 41), (60, 66)]), (70, []), (60, [(50, 60)])):
        marks = np.zeros(length, bool)
        for first, last in windows:
            marks[first:last] = True
        # Few levels, so that steps share a threshold.
        scores.append(np.round(random.normal(size=length) + 1.5 * marks, 1))
        anomalies.append(marks)
        scored.append(np.arange(length) >= 12)
    levels = [*np.unique(np.concatenate(scores)), np.inf]
    best = max(published(scores, anomalies, scored, weights, level) for level in levels)
    least = published(scores, anomalies, scored, weights, np.inf)
    assert least == -3 * weights.missed
    expected = 100 * (best - least) / (3 * weights.detected - least)
    assert nab.score(scores, anomalies, scored, weights) == pytest.approx(expected, rel=1e-12)
    assert 0 < expected < 100


def test_no_windows_have_no_score():
    nothing = [np.zeros(9, bool)]
    assert math.isnan(nab.score([np.zeros(9)], nothing, [np.ones(9, bool)], STANDARD))


def test_the_likelihood_compares_two_means():
    error = np.random.default_rng(0).normal(size=50) ** 2 + 3
    found = nab.likelihood(error, 4, 20)
    for t in (0, 2, 10, 49):
        long, short = error[max(0, t - 19) : t + 1], error[max(0, t - 3) : t + 1]
        expected = (short.mean() - long.mean()) / max(long.std(), 1e-6)
        assert found[t] == pytest.approx(expected, rel=1e-6, abs=1e-7)
    # Later errors change nothing before them, but for rounding.
    later = np.concatenate([error, np.full(5, 100.0)])
    np.testing.assert_allclose(nab.likelihood(later, 4, 20)[:50], found, rtol=1e-6, atol=1e-7)


def test_the_evaluator_orders_steps_by_series():
    random, rows = np.random.default_rng(1), []
    for number, length in enumerate((40, 30)):
        for step in range(length):
            marked = number == 0 and 20 <= step < 26
            rows.append((number, step, marked, step >= 5, np.float32(random.normal() + 4 * marked)))
    shuffled = [rows[i] for i in random.permutation(len(rows))]
    number, step, marked, scored, error = map(np.array, zip(*shuffled))

    def batches(split, batch_size):
        for at in (slice(0, 40), slice(40, 70)):
            place = np.stack([number, step], axis=1)[at]
            known = dict(error=error[at], anomaly=marked[at].astype(int), scored=scored[at])
            given = {**known, "place": place, "mask": np.ones(len(place))}
            yield jax.tree.map(jnp.asarray, given)

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    task = Task(None, None, None, {"error": lambda state, batch, key: batch["error"]})
    names = ("series", "anomaly", "scored", "place")
    context = Context(task, batches, collect, collect, features=names)
    found = nab.nab(context, short=2, long=20)(TrainState(jnp.int32(0), {}, {}, (), None))
    each = [[row for row in rows if row[0] == n] for n in (0, 1)]
    scores = [nab.likelihood(np.array([row[4] for row in part]), 2, 20) for part in each]
    marks, counts = ([np.array([row[k] for row in part]) for part in each] for k in (2, 3))
    for name, profile in nab.PROFILES.items():
        assert found[name] == nab.score(scores, marks, counts, profile)
    with pytest.raises(ConfigError, match="long=0: valid are 1 or more"):
        nab.nab(context, long=0)
    with pytest.raises(ConfigError, match="feature of nab"):
        nab.nab(context._replace(features=("series",)))


def test_windows_of_a_corpus_are_of_each_series_by_itself():
    asked = series_windows.Asked(2, 1, "nab")
    series = [np.arange(40.0)[:, None], np.full((20, 1), 7.0)]
    anomalies = [(np.arange(40) == 30).astype(int), np.zeros(20, int)]
    train, test = (corpus_windows.cut(asked, series, anomalies, s) for s in ("train", "test"))
    # 15 % are 6 and 3 steps; the first two of each are known only.
    assert [train[i]["place"].tolist() for i in range(5)] == [
        *([0, t] for t in (2, 3, 4, 5)),
        [1, 2],
    ]
    assert len(train) == 5
    assert len(test) == 60
    standard = (np.arange(40) - 2.5) / np.arange(6).std()
    last, first = test[39], test[0]
    np.testing.assert_allclose(last["series"][:, 0], standard[37:39], rtol=1e-6)
    np.testing.assert_allclose(last["target"], standard[39:], rtol=1e-6)
    np.testing.assert_allclose(first["series"][:, 0], standard[[0, 0]], rtol=1e-6)
    assert [test[i]["anomaly"] for i in (29, 30, 31)] == [0, 1, 0]
    assert [test[i]["scored"] for i in (5, 6, 42, 43)] == [0, 1, 0, 1]
    # A constant series has no deviation.
    assert (test[59]["target"], test[59]["series"].tolist()) == (0, [[0], [0]])
    assert corpus_windows.probation(100_000) == 750
    with pytest.raises(ConfigError, match="nearest: 'windows/2x1/nab'"):
        corpus_windows.cut(asked._replace(ahead=3), series, anomalies, "test")
    with pytest.raises(ConfigError, match="no series of nab has more"):
        corpus_windows.cut(asked._replace(known=6), series, anomalies, "train")
