"""Equal error rates of scores whose rates are known, and the area against all pairs of pairs."""

import numpy as np
import pytest

from library.evaluation.verification import area, equal_error_rate


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
    assert area(scores, same) == pytest.approx(expected, rel=1e-12)
