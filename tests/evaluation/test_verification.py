"""Pairs of one label and of two: their ranking and their rates, in loops and by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.verification import equal_error_rate, measures, verification
from library.ranking import area_under_curve
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)


def context(features, label, mask):
    def batches(split, batch_size):
        for start in range(0, len(label), 4):
            rows = slice(start, start + 4)
            given = {"image": features[rows], "label": label[rows], "mask": mask[rows]}
            yield {name: jnp.asarray(values) for name, values in given.items()}

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    outputs = {"features": lambda state, batch, key: batch["image"]}
    return Context(Task(None, None, None, outputs), batches, collect, collect)


def test_pairs_are_ranked_and_accepted_by_their_angle():
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 13)
    features = np.float32(random.normal(size=(13, 2)) + 2 * np.eye(3)[label][:, :2])
    mask = np.float32(np.arange(13) < 11)
    found = verification(context(features, label, mask), far=0.2)(STATE)
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    apart = {True: [], False: []}
    for i, j in itertools.combinations(range(11), 2):
        apart[bool(label[i] == label[j])].append(1 - z[i] @ z[j])
    nearer = [s < d for s, d in itertools.product(apart[True], apart[False])]
    assert found["auroc"] == pytest.approx(np.mean(nearer))
    # The widest threshold that accepts at most a fifth of the strangers.
    widest = max(t for t in apart[False] if np.mean(np.array(apart[False]) < t) <= 0.2)
    assert found["validation_rate"] == pytest.approx(np.mean(np.array(apart[True]) < widest))
    assert 0.2 < found["validation_rate"] < 1


def test_rates_of_few_pairs_by_hand():
    same = np.array([1, 1, 0, 1, 0, 0]) > 0
    distance = np.arange(6.0)
    assert measures(-distance, same, 0.0)["validation_rate"] == pytest.approx(2 / 3)
    assert measures(-distance, same, 0.34)["validation_rate"] == 1
    assert measures(-distance, same, 0.0)["auroc"] == pytest.approx(8 / 9)
    assert np.isnan(list(measures(-distance, same | True, 0.0).values())).all()


def test_what_is_refused():
    given = context(np.ones((2, 2)), np.zeros(2, int), np.ones(2))
    with pytest.raises(ConfigError, match=r"far=1\.0: valid are rates from 0 to below 1"):
        verification(given, far=1.0)
    with pytest.raises(ConfigError, match="num=1: a pair needs 2"):
        verification(given, num=1)


@pytest.mark.parametrize(
    ("ours", "theirs", "rate"),
    [
        ([2, 3], [0, 1], 0.0),
        ([0, 1], [2, 3], 1.0),
        # At the threshold 2 one of four is missed, and one of four is let in.
        ([1, 3, 4, 5], [0, 0.5, 0.7, 2], 0.25),
        # At 1 none is missed and half are let in; at 2 half are missed and half let in.
        ([1, 2], [0, 2], 0.5),
    ],
)
def test_rates_of_a_few_scores(ours, theirs, rate):
    scores = np.float64([*ours, *theirs])
    same = np.arange(len(scores)) < len(ours)
    assert equal_error_rate(scores, same) == pytest.approx(rate)


def test_the_rate_of_two_uniform_distributions_is_where_they_cross():
    """Scores of 1 to 3 and of 0 to 2: at 1.5 a quarter is missed, and a quarter let in."""
    grid = (np.arange(2000) + 0.5) / 1000
    scores, same = np.concatenate([grid + 1, grid]), np.arange(4000) < 2000
    assert equal_error_rate(scores, same) == pytest.approx(0.25, abs=1e-3)


def test_the_area_counts_all_pairs():
    random = np.random.default_rng(0)
    scores, same = random.integers(0, 6, 40).astype(float), random.random(40) < 0.4
    ours, theirs = scores[same][:, None], scores[~same]
    expected = np.mean((ours > theirs) + 0.5 * (ours == theirs))
    assert area_under_curve(same, scores) == pytest.approx(expected, rel=1e-12)
