"""Tagging: loss and counts by hand, with padding in steps and in examples."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.task import TrainState
from library.tasks.tagging import tagging

CLASSES = 3


class Given(nn.Module):
    """Answers with its input."""

    num_classes: int = CLASSES

    @nn.compact
    def __call__(self, series, train=False):
        return series


def measured(batch, **options):
    task = tagging(Given(), lambda loss: _Learner(), num_classes=CLASSES, **options)
    state = TrainState(None, {}, {}, None, None)
    return jax.device_get(jax.jit(task.evaluate)(state, batch, jax.random.key(0)))


class _Learner:
    init = update = None


def batch(**changes):
    draw = np.random.default_rng(0)
    found = {
        "series": draw.normal(size=(3, 4, CLASSES)).astype(np.float32),
        "tags": draw.integers(0, CLASSES, (3, 4)).astype(np.int32),
        "mask": np.array([1, 1, 0], np.float32),
    }
    return jax.tree.map(jnp.asarray, {**found, **changes})


def test_loss_and_accuracy_are_means_over_the_steps_that_exist():
    there = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]], np.float32)
    given = batch(tags_mask=there)
    # The values of padding are those of a model that fails on it.
    given["series"] = given["series"].at[1, 2:].set(jnp.nan).at[2].set(jnp.nan)
    given["tags"] = given["tags"].at[1, 2:].set(99)
    found = measured(given)
    logits, tags = np.asarray(given["series"], np.float64), np.asarray(given["tags"])
    loss, right, exact = 0.0, 0, 0
    for row, count in ((0, 4), (1, 2)):
        hits = 0
        for t in range(count):
            z = logits[row, t]
            loss += np.log(np.exp(z).sum()) - z[tags[row, t]]
            hits += z.argmax() == tags[row, t]
        right, exact = right + hits, exact + (hits == count)
    np.testing.assert_allclose(found["loss"], (loss, 6), rtol=1e-6)
    assert found["accuracy"] == (right, 6)
    assert found["exact_match"] == (exact, 2)


def test_a_class_can_be_ignored():
    given = batch()
    given["tags"] = jnp.array([[0, 1, 0, 2]] * 3)
    assert measured(given, ignore=0)["loss"][1] == 4
    assert measured(given)["loss"][1] == 8


def test_a_number_outside_the_classes_shows():
    assert np.isnan(measured(batch(tags=np.full((3, 4), CLASSES, np.int32)))["loss"][0])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="num_classes=3, but the task has num_classes=4"):
        tagging(Given(), lambda loss: _Learner(), num_classes=4)
    with pytest.raises(ConfigError, match="no 'labels'; they have mask, series, tags"):
        measured(batch(), tags="labels")
    with pytest.raises(ConfigError, match=r"shape \(3, 5\), but the logits have \(3, 4, 3\)"):
        measured(batch(tags=np.zeros((3, 5), np.int32)))
