"""Naive Bayes against the formula, in any order of the examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence.bag_of_words import bag_of_words
from library.summaries import summarize
from library.tasks.naive_bayes import naive_bayes
from tests import tiny

VOCAB, IGNORED, KEY = 7, 0, jax.random.key(0)
MODEL = bag_of_words(VOCAB, ignore=(IGNORED,))


def batch_of(num, mask=None):
    random = np.random.default_rng(0)
    # No text of training has the last word.
    text = random.integers(0, VOCAB - 1, (num, 5))
    return dict(
        text=jnp.asarray(text, jnp.int32),
        text_mask=jnp.asarray(np.arange(5) < random.integers(1, 6, num)[:, None], jnp.float32),
        label=jnp.asarray(random.integers(0, 2, num), jnp.int32),
        mask=jnp.ones(num) if mask is None else jnp.float32(mask),
        index=jnp.arange(num, dtype=jnp.uint32),
    )


def words_of(batch, row):
    there = np.asarray(batch["text_mask"][row]) > 0
    return [w for w in np.asarray(batch["text"][row])[there].tolist() if w != IGNORED]


def by_hand(batch, count, smoothing):
    """Returns log p(c) and log p(w | c) of the first examples."""
    words, classes = np.zeros((VOCAB, 2)), np.zeros(2)
    for row in range(count):
        label = int(batch["label"][row])
        classes[label] += 1
        for word in words_of(batch, row):
            words[word, label] += 1
    seen = words.any(axis=1)
    share = (words + smoothing) / (words[seen] + smoothing).sum(0)
    return np.log((classes + 1) / (classes.sum() + 2)), np.where(seen[:, None], np.log(share), 0)


def test_the_classifier_is_that_of_the_whole_set_in_any_order():
    task = tiny.compiled(naive_bayes(MODEL, num_classes=2, smoothing=0.5))
    whole = batch_of(12, mask=[1] * 10 + [0] * 2)
    state = task.init(KEY, {name: x[:4] for name, x in whole.items()})
    for rows in (slice(8, 12), slice(0, 4), slice(4, 8)):
        state, _ = task.update(state, {name: x[rows] for name, x in whole.items()}, KEY)
    prior, kernel = by_hand(whole, 10, 0.5)
    np.testing.assert_allclose(state.params["bias"], prior, rtol=1e-5)
    np.testing.assert_allclose(state.params["kernel"], kernel, rtol=1e-5)
    new = {**whole, "text": whole["text"].at[0, 0].set(VOCAB - 1)}
    found = task.outputs["logits"](state, new, KEY)
    scores = np.array([prior + kernel[words_of(new, row)].sum(0) for row in range(12)])
    np.testing.assert_allclose(found, scores, rtol=1e-5)
    measured = summarize(jax.device_get(task.evaluate(state, new, KEY)))
    labels = np.asarray(whole["label"])[:10]
    assert measured["accuracy"] == pytest.approx(np.mean(scores[:10].argmax(1) == labels))
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(12), np.asarray(whole["label"])]
    assert measured["loss"] == pytest.approx(losses[:10].mean(), rel=1e-5)
    assert int(state.step) == 3


def test_a_word_counts_as_often_as_it_occurs_or_once():
    text, mask = jnp.array([[2, 2, 0, 3, 3]]), jnp.array([[1, 1, 1, 1, 0]])
    for binary, expected in ((False, [0, 0, 2, 1, 0, 0, 0]), (True, [0, 0, 1, 1, 0, 0, 0])):
        model = bag_of_words(VOCAB, binary=binary, ignore=(IGNORED,))
        found = jax.jit(model.apply)({}, text, mask.astype(jnp.float32))[0]
        np.testing.assert_array_equal(found, expected)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"smoothing=0\.0: valid are"):
        naive_bayes(MODEL, num_classes=2, smoothing=0.0)
    with pytest.raises(ConfigError, match="ignore=7: valid are 0 to 6"):
        bag_of_words(VOCAB, ignore=(7,))
