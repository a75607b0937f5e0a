"""Accuracy where an image may be called several things, counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.real_labels import real_labels
from library.task import Task, TrainState

STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)
# The predicted class of each image, and what it may be called.
BEST = np.array([0, 1, 2, 0, 1, 2, 0])
REAL = [[0], [0, 1], [0, 1], [], [1, 2], [], [1]]
LABEL = np.float32([[k in classes for k in range(3)] for classes in REAL])


def logits(state, batch, key):
    return batch["image"][:, 0, 0]


def batches(split, batch_size):
    size = batch_size or 4
    for start in range(0, 7 if split == "test" else 0, size):
        rows = np.arange(start, start + size)
        real = rows < 7
        rows = np.where(real, rows, 0)
        yield {
            "image": jnp.asarray(np.eye(3, dtype=np.float32)[BEST[rows], None, None]),
            "label": jnp.asarray(LABEL[rows]),
            "mask": jnp.asarray(real, jnp.float32),
        }


def context(output="logits", data=batches):
    def measure(function):
        return lambda state, batch: jax.jit(function)(state, batch, jax.random.key(0))

    return Context(Task(None, None, None, {output: logits}), data, measure, None)


@pytest.mark.parametrize("batch_size", [None, 7, 3])
def test_one_of_several_is_right_and_images_without_any_do_not_count(batch_size):
    found = real_labels(context(), batch_size=batch_size)(STATE)
    # Right are the first, the second and the fifth, of five with labels.
    assert found == {"accuracy": pytest.approx(3 / 5), "labelled": 5}


def test_refused():
    with pytest.raises(ConfigError, match="unknown output of the task 'logits'"):
        real_labels(context(output="sample"))
    with pytest.raises(ValueError, match="split 'empty' has no examples"):
        real_labels(context(), split="empty")(STATE)
    single = [{**batch, "label": jnp.zeros(4, jnp.int32)} for batch in batches("test", None)]
    with pytest.raises(
        ConfigError, match=r"labels have shape \(\) per example, but the logits have \(3,\); "
    ):
        real_labels(context(data=lambda split, size: single))(STATE)
