import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import config
from library.config import ConfigError
from library.evaluation.anomaly import anomaly
from library.evaluation.context import Context
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)


def make_context(error, label, mask, size=4, names=("a", "b", "c")):
    def batches(split, batch_size):
        step = batch_size or size
        for start in range(0, len(error), step):
            rows = slice(start, start + step)
            yield {
                "image": jnp.float32(error[rows]),
                "label": jnp.asarray(label[rows]),
                "mask": jnp.float32(mask[rows]),
            }

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    outputs = {"error": lambda state, batch, key: batch["image"]}
    return Context(Task(None, None, None, outputs), batches, collect, collect, label_names=names)


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 37).astype(np.int32)
    error = random.integers(0, 8, 37) + 2 * (label == 1)
    mask = np.arange(37) < 33
    kept, anomalous = error[:33], label[:33] == 1
    higher = kept[anomalous][:, None] - kept[~anomalous]
    expected = np.mean((higher > 0) + 0.5 * (higher == 0))
    found = anomaly(make_context(error, label, mask), held_out=1, batch_size=5)(STATE)
    assert found["auroc"] == pytest.approx(expected, rel=1e-9)
    assert found["error_anomalous"] == pytest.approx(kept[anomalous].mean())
    assert found["error_normal"] == pytest.approx(kept[~anomalous].mean())


@pytest.mark.parametrize("label", [np.zeros(4, np.int32), np.ones(4, np.int32)])
def test_one_kind_alone_has_no_ranking(label):
    found = anomaly(make_context(np.arange(4.0), label, np.ones(4)), held_out=1)(STATE)
    assert np.isnan(found["auroc"])


def test_mixed_labels_and_an_empty_split_are_errors():
    several = make_context(np.arange(4.0), np.zeros((4, 3), np.float32), np.ones(4))
    with pytest.raises(ValueError, match="one class per example"):
        anomaly(several, held_out=1)(STATE)
    empty = make_context(np.zeros(0), np.zeros(0, np.int32), np.zeros(0))
    with pytest.raises(ValueError, match="no examples"):
        anomaly(empty, held_out=1)(STATE)


@pytest.mark.parametrize(
    ("held_out", "message"), [(3, "held_out=3: classes are 0 to 2"), (-1, "held_out=-1")]
)
def test_classes_that_there_are_not(held_out, message):
    spec = dict(name="anomaly", held_out=held_out)
    context = make_context(np.zeros(4), np.zeros(4, np.int32), np.ones(4))
    with pytest.raises(ConfigError, match=message):
        config.build(spec, "library.evaluation", "evaluator", context=context)


def test_a_task_without_errors():
    context = make_context(np.zeros(4), np.zeros(4, np.int32), np.ones(4))
    context = context._replace(task=Task(None, None, None, {"logits": None}))
    with pytest.raises(ConfigError, match="the task has no output 'error'"):
        anomaly(context, held_out=1)
