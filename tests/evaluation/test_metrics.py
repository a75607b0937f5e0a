import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import config
from library.evaluation.context import Context
from library.evaluation.metrics import metrics
from library.task import minimize
from library.tasks.classification import classification

NUM_EXAMPLES, NUM_CLASSES = 21, 3
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(NUM_EXAMPLES, 2, 2, 1)).astype(np.float32)
LABELS = RANDOM.integers(0, NUM_CLASSES, NUM_EXAMPLES).astype(np.int32)


class Linear(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        return nn.Dense(self.num_classes, name="head")(image.reshape(image.shape[0], -1))


def batches(split, batch_size):
    assert split in ("test", "empty")
    if split == "empty":
        return
    size = batch_size or 8
    for start in range(0, NUM_EXAMPLES, size):
        rows = np.arange(start, start + size)
        real = rows < NUM_EXAMPLES
        rows = np.where(real, rows, 0)
        yield {
            "image": jnp.asarray(IMAGES[rows]),
            "label": jnp.asarray(LABELS[rows]),
            "index": jnp.asarray(rows, jnp.uint32),
            "mask": jnp.asarray(real, jnp.float32),
        }


def make_context():
    task = classification(
        Linear(NUM_CLASSES),
        functools.partial(minimize, optimizer=optax.sgd(0.1)),
        num_classes=NUM_CLASSES,
    )
    key = jax.random.key(0)

    def measure(function):
        compiled = jax.jit(function)
        return lambda state, batch: compiled(state, batch, key)

    state = task.init(key, next(iter(batches("test", None))))
    return Context(task, batches, measure, measure), state


def expected(state):
    kernel, bias = (np.asarray(state.params["head"][k], np.float64) for k in ("kernel", "bias"))
    logits = IMAGES.reshape(NUM_EXAMPLES, -1) @ kernel + bias
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -logs[np.arange(NUM_EXAMPLES), LABELS].mean()
    return loss, np.mean(logits.argmax(-1) == LABELS)


@pytest.mark.parametrize("batch_size", [None, 21, 5])
def test_every_example_counts_once_whatever_the_batch(batch_size):
    context, state = make_context()
    got = metrics(context, batch_size=batch_size)(state)
    loss, accuracy = expected(state)
    assert got["loss"] == pytest.approx(loss, rel=1e-5)
    assert got["accuracy"] == pytest.approx(accuracy, rel=1e-6)
    assert got["confusion"].sum() == NUM_EXAMPLES
    assert got["calibration"][2].sum() == NUM_EXAMPLES
    counts = np.bincount(LABELS, minlength=NUM_CLASSES)
    np.testing.assert_array_equal(got["confusion"].sum(1), counts)


def test_one_fetch_after_the_last_batch(monkeypatch):
    context, state = make_context()
    evaluate = metrics(context)
    evaluate(state)
    fetches = []
    fetch = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda x: fetches.append(x) or fetch(x))
    device_batches = list(batches("test", None))
    evaluate = metrics(context._replace(batches=lambda split, size: device_batches))
    with jax.transfer_guard_host_to_device("disallow"):
        evaluate(state)
    assert len(fetches) == 1


def test_an_empty_split_is_an_error():
    context, state = make_context()
    with pytest.raises(ValueError, match="split 'empty' has no examples"):
        metrics(context, split="empty")(state)


def test_built_by_name():
    context, state = make_context()
    spec = dict(name="metrics", split="test", batch_size=7)
    evaluate = config.build(spec, "library.evaluation", "evaluator", context=context)
    assert evaluate(state)["loss"] == pytest.approx(expected(state)[0], rel=1e-5)
