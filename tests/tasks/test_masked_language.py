"""Masked language modelling: which tokens are told, what is seen of them, and the loss."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.special_tokens import BERT
from library.task import TrainState
from library.tasks import masked_language

VOCAB, LENGTH, DRAWS = 12, 10, 4000
NAMES = (*BERT, *"abcdefg")
MARKS = {name: number for number, name in enumerate(NAMES)}
PAD, CLS, SEP, MASK = (MARKS[name] for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"))
# 7, 3 and no tokens beside the marks.
TEXT = np.int32(
    [
        [CLS, 5, 6, 7, 8, SEP, 9, 10, 11, SEP],
        [CLS, 5, 5, 6, SEP, PAD, PAD, PAD, PAD, PAD],
        [CLS, SEP, PAD, PAD, PAD, PAD, PAD, PAD, PAD, PAD],
    ]
)
SEEN = np.float32(TEXT != PAD)


@functools.cache
def drawing(shares):
    def one(key, text, mask):
        return masked_language.draw(key, text, mask, MARKS, VOCAB, shares)

    return jax.jit(jax.vmap(one, (0, None, None)))


def drawn(row, shares=(0.3, 0.8, 0.1)):
    """Returns what is drawn of a text with many keys."""
    keys = jax.random.split(jax.random.key(0), DRAWS)
    found = drawing(shares)(keys, jnp.asarray(TEXT[row]), jnp.asarray(SEEN[row]))
    return jax.device_get(found)


@pytest.mark.parametrize(("row", "number"), [(0, 2), (1, 1), (2, 0)])
def test_a_share_of_the_tokens_is_told_and_no_mark(row, number):
    found, free = drawn(row), np.flatnonzero(TEXT[row] > MASK)
    assert (found.counts.sum(1) == number).all()
    told = [tuple(places[counts]) for places, counts in zip(found.places, found.counts)]
    assert {place for places in told for place in places} <= set(free.tolist())
    assert all(len(set(places)) == number for places in told)
    if number:
        # Every token that may be told is told at some time.
        assert {place for places in told for place in places} == set(free.tolist())
    for text, places in zip(found.text, told):
        others = np.setdiff1d(np.arange(LENGTH), places)
        np.testing.assert_array_equal(text[others], TEXT[row, others])


def test_most_are_hidden_some_replaced_and_some_left():
    found = drawn(0)
    rows = np.arange(DRAWS)[:, None]
    seen, true = found.text[rows, found.places], TEXT[0][found.places]
    hidden = (seen == MASK)[found.counts].mean()
    same = (seen == true)[found.counts].mean()
    # A token in 12 that replaces is the mask, and one is the token itself.
    assert abs(hidden - (0.8 + 0.1 / VOCAB)) < 0.02
    assert abs(same - (0.1 + 0.1 / VOCAB)) < 0.02
    all_hidden = drawn(0, (0.3, 1.0, 0.0))
    assert (all_hidden.text[rows, all_hidden.places][all_hidden.counts] == MASK).all()


class Table(nn.Module):
    """Logits that depend on the seen token alone, and of `next` on the first token."""

    vocab_size: int = VOCAB

    def setup(self):
        self.table = nn.Embed(VOCAB, VOCAB, embedding_init=nn.initializers.normal(1.0))

    def __call__(self, text, mask, types, train=False):
        hidden = self.hidden(text, mask, types)
        return self.attend(hidden), self.follows(hidden)

    def hidden(self, text, mask, types, train=False):
        # Nothing of the padding may count.
        return self.table(text) + types[..., None] * jnp.where(mask > 0, 0.5, jnp.nan)[..., None]

    def attend(self, hidden):
        return hidden

    def follows(self, hidden):
        return hidden[:, 0, :2]


class _Learner:
    init = update = None


def task(**options):
    known = dict(vocab_size=VOCAB, token_names=NAMES)
    return masked_language.masked_language(Table(), lambda loss: _Learner(), **{**known, **options})


def batch(mask=(1, 1, 1)):
    types = np.zeros_like(TEXT)
    types[0, 6:] = 1
    return {
        "text": TEXT,
        "text_mask": SEEN,
        "text_types": types,
        "next": np.int32([1, 0, 1]),
        "index": np.arange(3, dtype=np.uint32),
        "mask": np.float32(mask),
    }


TABLE = np.random.default_rng(0).normal(size=(VOCAB, VOCAB)).astype(np.float32)
STATE = TrainState(jnp.int32(0), {"table": {"embedding": TABLE}}, {}, (), None)


def cross_entropy(logits, label):
    return np.log(np.exp(np.float64(logits)).sum()) - logits[label]


def test_loss_and_metrics_by_hand():
    made = task(rate=0.3, hidden=1.0, replaced=0.0)
    measure = jax.jit(made.evaluate)
    whole = measure(STATE, batch(), jax.random.key(1))
    # Every token that is told is hidden: its logits are those of the mask, moved by its type.
    assert {name: float(count) for name, (_, count) in whole.items()} == dict(
        loss=3, masked_loss=3, masked_accuracy=3, next_accuracy=3
    )
    following = [cross_entropy(TABLE[CLS, :2], label) for label in (1, 0, 1)]
    told = float(whole["masked_loss"][0])
    # Two tokens of the first text, one of the second, none of the third.
    expected = told + 2 * following[0] + following[1]
    np.testing.assert_allclose(whole["loss"][0], expected, rtol=1e-5)
    right = sum(np.argmax(TABLE[CLS, :2]) == label for label in (1, 0, 1))
    assert float(whole["next_accuracy"][0]) == right
    second = measure(STATE, batch(mask=(0, 1, 0)), jax.random.key(1))
    possible = [cross_entropy(TABLE[MASK], token) for token in (5, 6)]
    assert np.isclose(float(second["masked_loss"][0]), possible, rtol=1e-5).any()
    first = measure(STATE, batch(mask=(1, 0, 0)), jax.random.key(1))
    for name in whole:
        np.testing.assert_allclose(
            np.add(first[name], second[name])[0]
            + np.asarray(measure(STATE, batch(mask=(0, 0, 1)), jax.random.key(1))[name])[0],
            whole[name][0],
            rtol=1e-5,
        )


def test_without_next_sentences_the_loss_is_that_of_the_tokens():
    made = task(next_sentence=False)
    given = batch()
    del given["next"]
    found = jax.jit(made.evaluate)(STATE, given, jax.random.key(0))
    assert set(found) == {"loss", "masked_loss", "masked_accuracy"}
    assert found["loss"] == found["masked_loss"]
    with pytest.raises(ConfigError, match="the examples have no 'next'"):
        jax.eval_shape(task().evaluate, STATE, given, jax.random.key(0))


def test_hidden_tokens_are_filled_in_and_no_others():
    text = TEXT.copy()
    text[0, 2] = MASK
    made = task()
    filled = jax.jit(made.outputs["filled"])(STATE, {**batch(), "text": text}, jax.random.key(0))
    expected = text.copy()
    expected[0, 2] = np.argmax(TABLE[MASK])
    np.testing.assert_array_equal(filled, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(rate=0.0), r"rate=0\.0: valid are shares between 0 and 1"),
        (dict(hidden=0.8, replaced=0.3), r"hidden=0\.8, replaced=0\.3"),
        (dict(token_names=tuple("abcdefghijkl")), r"the vocabulary has no '\[PAD\]'"),
        (dict(vocab_size=13), "vocab_size=12, but the data have 13 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        task(**options)
