"""The evaluator of keypoints measures each image that has a true point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.keypoint_precision import keypoint_precision
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)
POINTS = np.float32([[0.25, 0.5], [0.75, 0.25]])


def make_context(outputs):
    def batches(split, batch_size):
        yield {
            "image": jnp.zeros((4, 10, 20, 1)),
            "points": jnp.tile(POINTS, (4, 1, 1)),
            "points_mask": jnp.float32([[1, 1], [0, 0], [1, 1], [1, 1]]),
            "mask": jnp.float32([1, 1, 1, 0]),
        }

    def collect(function):
        compiled = jax.jit(function)
        return lambda state, batch: jax.device_get(compiled(state, batch, jax.random.key(0)))

    return Context(Task(None, None, None, outputs), batches, None, collect)


def found(state, batch, key):
    """Returns the true points with falling heights, in the third image far from them."""
    places = batch["points"].at[2].set(1 - POINTS)
    height = jnp.broadcast_to(jnp.float32([4, 3, 2, 1])[:, None, None], (4, 2, 1))
    return jnp.concatenate([places, height], axis=-1)


def test_one_of_two_images_with_points_is_right():
    got = keypoint_precision(make_context({"keypoints": found}))(STATE)
    # A recall of a half is reached: 51 of the 101 recalls.
    for name in ("ap", "ap50", "ap75"):
        assert got[name] == pytest.approx(51 / 101)
    assert got["oks"] == pytest.approx(0.5, abs=1e-3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="no output 'keypoints': did you mean 'keypoint'"):
        keypoint_precision(make_context({"keypoint": found}))
    with pytest.raises(ConfigError, match="valid are numbers above 0"):
        keypoint_precision(make_context({"keypoints": found}), spread=(0.0,))
    with pytest.raises(ConfigError, match="spread has 3 values for 2 points"):
        keypoint_precision(make_context({"keypoints": found}), spread=(0.1, 0.1, 0.1))(STATE)
