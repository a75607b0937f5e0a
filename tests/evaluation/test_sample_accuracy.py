import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.sample_accuracy import sample_accuracy
from library.task import Task, TrainState

KEY = jax.random.key(0)
NAMES = ("a", "b", "c")
STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)


def sample(state, batch, key):
    """Images of one pixel that holds the class, but that of "c" is "b" from the 6th sample on."""
    shown = jnp.where((batch["label"] == 2) & (batch["index"] >= 6), 1, batch["label"])
    return shown.astype(jnp.float32)[:, None, None, None] / 2


def judge(workdir, output):
    if workdir != "runs/judge":
        raise ConfigError(f"{workdir} holds no run")
    assert output == "probabilities"

    def probabilities(image):
        label = jnp.round(image[:, 0, 0, 0] * 2).astype(jnp.int32)
        return 0.7 * jax.nn.one_hot(label, 3) + 0.1

    return probabilities


def draws(num, batch_size=None, features=None):
    size = batch_size or 4
    for start in range(0, num, size):
        place = np.arange(start, start + size)
        yield {
            "index": jnp.asarray(place, jnp.uint32),
            "label": jnp.asarray(np.where(place < num, place % 3, 0)),
            "mask": jnp.asarray(place < num, jnp.float32),
        }


def make_context(**changes):
    def measure(function):
        return lambda state, batch: jax.jit(function)(state, batch, KEY)

    values = dict(draws=draws, judge=judge, label_names=NAMES) | changes
    return Context(Task(None, None, None, {"sample": sample}), None, measure, None, **values)


@pytest.mark.parametrize("batch_size", [None, 3, 30])
def test_samples_are_counted_by_hand(batch_size):
    context = make_context()
    found = sample_accuracy(context, classifier="runs/judge", num=10, batch_size=batch_size)(STATE)
    # Classes 0 1 2 0 1 2 0 1 2 0: of the three 2s the last is taken for 1.
    assert found["accuracy"] == pytest.approx(0.9)
    assert found["confidence"] == pytest.approx((9 * 0.8 + 0.1) / 10)
    np.testing.assert_array_equal(found["confusion"], [[4, 0, 0], [0, 3, 0], [0, 1, 2]])
    np.testing.assert_allclose(found["per_class_accuracy"], [1, 1, 2 / 3])


def test_the_judge_sees_samples_as_they_were_before_the_config_normalized():
    def normalized(state, batch, key):
        return (sample(state, batch, key) - 0.4) / 0.25

    task = Task(None, None, None, {"sample": normalized})
    context = make_context(unnormalize=lambda image: image * 0.25 + 0.4)._replace(task=task)
    assert sample_accuracy(context, classifier="runs/judge", num=10)(STATE)["accuracy"] == (
        pytest.approx(0.9)
    )


def test_bad_requests_name_what_is_valid():
    with pytest.raises(ConfigError, match="runs/other holds no run"):
        sample_accuracy(make_context(), classifier="runs/other")
    with pytest.raises(ConfigError, match="num=0: valid are 1 or more"):
        sample_accuracy(make_context(), classifier="runs/judge", num=0)
    with pytest.raises(ConfigError, match="dataset with classes"):
        sample_accuracy(make_context(label_names=None), classifier="runs/judge")
    task = Task(None, None, None, {"logits": sample})
    with pytest.raises(ConfigError, match="the output 'sample' of a task; here are logits"):
        sample_accuracy(make_context()._replace(task=task), classifier="runs/judge")
    with pytest.raises(ConfigError, match="has 3 classes, but the dataset has 2"):
        sample_accuracy(make_context(label_names=NAMES[:2]), classifier="runs/judge", num=2)(STATE)
