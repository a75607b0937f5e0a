"""The mean of the last checkpoints of a run."""

import jax.numpy as jnp
import numpy as np
import pytest

from library import averages
from library.averages import Average
from library.config import ConfigError


@pytest.mark.parametrize("since", [8, 11])
def test_since_a_step_the_average_is_the_mean_of_each_update(since):
    draw = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    average = Average(since=since, every=4)
    ema = averages.started({"w": jnp.asarray(draw[0])}, {})
    seen = []
    for step in range(20):
        params = {"w": jnp.asarray(draw[step + 1])}
        ema = averages.moved(average, jnp.asarray(step), ema, params, {})
        seen.append(np.asarray(ema["params"]["w"]))
    # After step n of 20, counted from 1, stand the params of step n in row n.
    np.testing.assert_array_equal(seen[2], draw[0])
    np.testing.assert_allclose(seen[7], draw[8], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen[11], draw[12], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen[18], draw[[12, 16]].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen[19], draw[[12, 16, 20]].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("average", "message"),
    [
        (Average(), "decay=None, since=None: valid is one"),
        (Average(0.9, since=5), r"decay=0\.9, since=5: valid is one"),
        (Average(since=-1), "since=-1"),
        (Average(since=5, warmup=True), "without warmup"),
        (Average(since=5, every=0), "every=0"),
    ],
)
def test_values_that_do_not_fit_are_named(average, message):
    with pytest.raises(ConfigError, match=message):
        averages.check(average)
