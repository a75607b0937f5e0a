"""How often a classifier recognizes what a system makes, counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.judged_accuracy import judged_accuracy
from library.task import Task, TrainState

STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)
LABELS = np.array([0, 1, 2, 0, 1])


def restored(state, batch, key):
    """The image, but that of the last example is black."""
    return jnp.where(batch["index"][:, None, None, None] == 4, 0.0, batch["image"])


def grey(state, batch, key):
    return jnp.full_like(batch["image"], 0.5)


def judge(workdir, output):
    assert (workdir, output) == ("runs/judge", "probabilities")
    return lambda image: jax.nn.one_hot(jnp.round(2 * image.mean(axis=(1, 2, 3))), 3)


def batches(split, batch_size):
    for start in (0, 3):
        place = np.arange(start, start + 3)
        label = np.where(place < 5, LABELS[np.minimum(place, 4)], 0)
        image = np.broadcast_to(label[:, None, None, None] / 2, (3, 4, 4, 1)).astype(np.float32)
        mask = np.float32(place < 5)
        yield {"image": image, "label": label, "index": np.uint32(place), "mask": mask}


def context(**changes):
    def measure(function):
        return lambda state, batch: jax.jit(function)(state, batch, jax.random.key(0))

    task = Task(None, None, None, {"restored": restored, "grey": grey})
    return Context(
        task, batches, measure, None, judge=judge, **{"features": ("image", "label"), **changes}
    )


@pytest.mark.parametrize("size", [None, 2])
def test_images_are_judged_beside_the_true_ones(size):
    found = judged_accuracy(context(), classifier="runs/judge", beside=("grey",), size=size)(STATE)
    assert found == {
        "accuracy": pytest.approx(4 / 5),
        "true_accuracy": pytest.approx(1),
        "grey_accuracy": pytest.approx(2 / 5),
    }


def test_bad_requests_name_what_is_valid():
    with pytest.raises(ConfigError, match="did you mean 'restored'"):
        judged_accuracy(context(), classifier="runs/judge", output="restore")
    with pytest.raises(ConfigError, match="needs examples with a label"):
        judged_accuracy(context(features=("image",)), classifier="runs/judge")
