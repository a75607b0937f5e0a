"""The random walk of prices: independent steps of one size, the same each time."""

import numpy as np
import pytest

from library.data.builders import prices


def test_steps_are_independent_and_of_one_size():
    walk = prices.walk()
    assert walk.shape == (7_000, 1)
    assert walk.dtype == np.float32
    assert walk[0, 0] == pytest.approx(np.log(100), abs=0.05)
    np.testing.assert_array_equal(walk, prices.walk())
    steps = np.diff(walk[:, 0].astype(np.float64))
    # Of 7,000 numbers the deviation is known to 1 %, and a correlation to 0.012.
    assert steps.std() == pytest.approx(prices.VOLATILITY, rel=0.04)
    assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 0.05
