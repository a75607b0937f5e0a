"""Gradient norms by distance, on losses whose gradient is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.gradient_norms import gradient_norms
from library.task import Task, TrainState

STATE = TrainState(None, None, None, None, None)
LENGTH = 4


def measured(batch, **options):
    # Step t of example n has the gradient (n + 1) 2^t (3, 4), of norm 5 (n + 1) 2^t.
    slopes = 2.0 ** jnp.arange(LENGTH)[:, None] * jnp.array([3.0, 4.0])

    def evaluate(state, batch, key):
        scale = (jnp.arange(len(batch["series"])) + 1.0)[:, None, None]
        losses = jnp.sum(batch["series"] * slopes * scale, axis=(1, 2))
        return {"loss": (jnp.sum(losses), jnp.sum(batch["mask"]))}

    def measure(function):
        return jax.jit(lambda state, batch: function(state, batch, jax.random.key(0)))

    context = Context(
        Task(None, None, evaluate, {}),
        lambda split, size: [batch],
        measure,
        None,
        features=("series", "mask"),
    )
    return gradient_norms(context, **options)(STATE)


def batch(**more):
    return {"series": jnp.ones((3, LENGTH, 2)), "mask": jnp.array([1.0, 1.0, 0.0]), **more}


def test_norms_are_means_over_examples_by_distance_from_the_end():
    found = measured(batch())
    np.testing.assert_allclose(found["gradient_norm"], 7.5 * 2.0 ** np.array([3, 2, 1, 0]), 1e-6)
    assert found["nearest"] == 60
    assert found["farthest"] == 7.5


def test_distances_begin_at_the_last_step_that_exists():
    there = jnp.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]], jnp.float32)
    found = measured(batch(series_mask=there))["gradient_norm"]
    # Norms 20, 10, 5 of one series and 20, 10 of the other.
    np.testing.assert_allclose(found, [20, 10, 5, np.nan], 1e-6)


def test_an_unknown_feature_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'series'"):
        measured(batch(), feature="serie")
