import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.evaluation.context import Context
from library.evaluation.mean_average_precision import mean_average_precision
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)


def make_context(score, label, mask, size=4):
    score, label, mask = (np.asarray(x, np.float32) for x in (score, label, mask))

    def batches(split, batch_size):
        step = batch_size or size
        for start in range(0, len(score), step):
            rows = slice(start, start + step)
            yield {"image": score[rows], "label": label[rows], "mask": mask[rows]}

    def collect(function):
        return lambda state, batch: function(
            state, {k: jnp.asarray(v) for k, v in batch.items()}, jax.random.key(0)
        )

    def to_host(function):
        collected = collect(function)
        return lambda state, batch: jax.device_get(collected(state, batch))

    outputs = {"logits": lambda state, batch, key: batch["image"]}
    return Context(Task(None, None, None, outputs), batches, collect, to_host)


def by_hand(score, label):
    """Precision at each positive, averaged; without ties this is the sum over recalls."""
    order = np.argsort(-score)
    hits = label[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return (precision * hits).sum() / hits.sum()


def test_average_precision_by_hand():
    random = np.random.default_rng(0)
    score, label = random.normal(size=(11, 3)), random.integers(0, 2, (11, 3))
    mask = np.arange(11) < 9
    got = mean_average_precision(make_context(score, label, mask))(STATE)
    each = [by_hand(score[:9, c], label[:9, c]) for c in range(3)]
    np.testing.assert_allclose(got["average_precision"], each, rtol=1e-6)
    assert got["mean_average_precision"] == pytest.approx(np.mean(each), rel=1e-6)


def test_a_small_ranking():
    # Positives at ranks 1 and 3: (1/1 + 2/3) / 2.
    context = make_context([[4], [3], [2], [1]], [[1], [0], [1], [0]], np.ones(4))
    got = mean_average_precision(context)(STATE)
    assert got["mean_average_precision"] == pytest.approx(5 / 6)


def test_classes_without_positives_are_left_out():
    context = make_context([[2, 1], [1, 2]], [[1, 0], [0, 0]], np.ones(2))
    got = mean_average_precision(context, batch_size=1)(STATE)
    np.testing.assert_array_equal(got["average_precision"], [1, np.nan])
    assert got["mean_average_precision"] == 1.0


def test_no_positives_at_all_is_nan_without_a_warning(recwarn):
    context = make_context([[2, 1], [1, 2]], np.zeros((2, 2)), np.ones(2))
    assert np.isnan(mean_average_precision(context)(STATE)["mean_average_precision"])
    assert not recwarn.list


def test_one_label_an_example_is_an_error():
    context = make_context(np.zeros((4, 3)), np.zeros(4), np.ones(4))
    with pytest.raises(ValueError, match=r"labels have shape \(4,\), scores \(4, 3\)"):
        mean_average_precision(context)(STATE)


def test_an_empty_split_is_an_error():
    context = make_context(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(ValueError, match="split 'test' has no examples"):
        mean_average_precision(context)(STATE)
