"""The task of reading labels from frames, against all paths, and its learning from a tiny set."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import ctc as reading
from library.config import ConfigError
from library.summaries import summarize
from library.task import minimize
from library.tasks.ctc import ctc
from tests import tiny
from tests.test_ctc import by_brute_force

KEY = jax.random.key(0)
COUNTS = np.array([5, 3, 4])
LABELS = [(0, 1), (1,), (0,)]


class Echo(nn.Module):
    """Takes its input, plus a bias a label, for the logits."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, audio, audio_mask, train=False):
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes + 1,))
        return audio + bias, audio_mask


@functools.cache
def build():
    """Returns the compiled task."""
    return tiny.compiled(ctc(Echo(), lambda loss: minimize(loss, optax.sgd(1.0)), num_classes=2))


def batch_of(fill=0.0, mask=(1, 1, 1)):
    logits = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32)
    frames = np.float32(np.arange(5) < COUNTS[:, None])
    tokens = np.array([[*each, *[0] * (2 - len(each))] for each in LABELS], np.int32)
    there = np.array([[1.0] * len(each) + [0.0] * (2 - len(each)) for each in LABELS])
    place = jnp.arange(3, dtype=jnp.uint32)
    return dict(
        audio=jnp.asarray(np.where(frames[..., None] > 0, logits, fill)),
        audio_mask=jnp.asarray(frames),
        tokens=jnp.asarray(tokens),
        tokens_mask=jnp.float32(there),
        mask=jnp.float32(mask),
        index=place,
        row=place,
    )


def measured(batch):
    task = build()
    found = jax.device_get(task.evaluate(task.init(KEY, batch), batch, KEY))
    return summarize(found, task.summaries)


@pytest.mark.parametrize("mask", [(1, 1, 1), (1, 0, 1)])
def test_loss_and_errors_are_those_of_all_paths(mask):
    batch = batch_of(mask=mask)
    found = measured(batch)
    losses, edits, lengths = [], [], []
    for row in np.flatnonzero(mask):
        logits = np.asarray(batch["audio"], np.float64)[row, : COUNTS[row]]
        scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses.append(-np.log(by_brute_force(scores)[LABELS[row]]))
        read = reading.collapse(logits.argmax(-1).tolist(), 2)
        edits.append(reading.edit_distance(read, LABELS[row]))
        lengths.append(len(LABELS[row]))
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found["label_error_rate"] == pytest.approx(sum(edits) / sum(lengths), rel=1e-6)
    assert found["sequence_accuracy"] == pytest.approx(np.mean(np.array(edits) == 0), rel=1e-6)


def test_what_is_in_the_padding_changes_no_bit():
    task = build()
    ours, theirs = batch_of(), batch_of(fill=7.0)
    state = task.init(KEY, ours)
    for name in ("logits", "transcript"):
        found = [task.outputs[name](state, batch, KEY) for batch in (ours, theirs)]
        np.testing.assert_array_equal(*found)
    found = [task.update(state, batch, KEY)[0].params["bias"] for batch in (ours, theirs)]
    np.testing.assert_array_equal(*found)


def test_a_step_moves_by_the_mean_slope_of_the_loss():
    task, batch = build(), batch_of()
    state, _ = task.update(task.init(KEY, batch), batch, KEY)

    def loss(bias):
        losses = []
        for row, count in enumerate(COUNTS):
            logits = np.asarray(batch["audio"], np.float64)[row, :count] + bias
            scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            losses.append(-np.log(by_brute_force(scores)[LABELS[row]]))
        return np.mean(losses)

    slopes = [(loss(1e-5 * one) - loss(-1e-5 * one)) / 2e-5 for one in np.eye(3)]
    np.testing.assert_allclose(state.params["bias"], -np.array(slopes), rtol=1e-4, atol=1e-6)


def test_a_label_that_there_is_not_shows_as_nan():
    batch = batch_of()
    batch["tokens"] = batch["tokens"].at[1, 0].set(5)
    assert np.isnan(measured(batch)["loss"])


def test_labels_need_a_mask():
    batch = batch_of()
    del batch["tokens_mask"]
    task = build()
    with pytest.raises(ConfigError, match="tokens has no mask tokens_mask"):
        task.evaluate(task.init(KEY, batch), batch, KEY)
