"""Vectors of a data set are in the table after one epoch, in any order and on any devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence.word_table import word_table
from library.tasks.given_vectors import given_vectors

VOCAB, WIDTH = 6, 3
TOKENS = np.int32([[4, 2], [1, 2], [3, 2], [0, 2]])
VECTORS = np.random.default_rng(0).normal(size=(4, WIDTH)).astype(np.float32)
KEY = jax.random.key(0)


def batch(rows, mask=None):
    held = np.ones(len(rows)) if mask is None else mask
    given = {"text": TOKENS[rows], "vector": VECTORS[rows], "mask": np.float32(held)}
    return jax.tree.map(jnp.asarray, given)


def task(**options):
    return given_vectors(word_table(VOCAB, WIDTH), vocab_size=VOCAB, **options)


def table(state):
    return np.asarray(state.params["tokens"]["embedding"])


def test_an_epoch_writes_every_vector_and_nothing_else():
    made = task()
    update = jax.jit(made.update)
    expected = np.zeros((VOCAB, WIDTH), np.float32)
    expected[TOKENS[:, 0]] = VECTORS
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        state = made.init(KEY, batch([0, 1]))
        assert not table(state).any()
        for rows in (order[:2], order[2:]):
            state, metrics = update(state, batch(rows), KEY)
            # The vectors of the table are zeros before the step.
            np.testing.assert_allclose(metrics["loss"][0], (VECTORS[rows] ** 2).sum(), rtol=1e-5)
        np.testing.assert_array_equal(table(state), expected)
        assert int(state.step) == 2
        assert np.array(made.evaluate(state, batch([2, 0]), KEY)["loss"]).tolist() == [0, 2]
        text = {"text": jnp.int32([[4, 5]])}
        features = made.outputs["features"](state, text, KEY)
        np.testing.assert_array_equal(features, expected[[[4, 5]]])


def test_padding_writes_nothing_and_a_word_twice_its_mean():
    made = task()
    state = made.init(KEY, batch([0]))
    given = batch([0, 1], mask=[1, 0])
    given["vector"] = jnp.where(jnp.array([[True], [False]]), given["vector"], jnp.nan)
    state, metrics = made.update(state, given, KEY)
    assert np.isfinite(table(state)).all()
    assert not table(state)[1].any()
    assert float(metrics["loss"][1]) == 1
    twice = {**batch([0, 1]), "text": jnp.asarray(TOKENS[[0, 0]])}
    state, _ = made.update(state, twice, KEY)
    np.testing.assert_allclose(table(state)[4], VECTORS[:2].mean(0), rtol=1e-6)


def test_devices_share_what_they_write():
    made = task(axis_name="data")
    state = task().init(KEY, batch([0]))
    parts = jax.tree.map(lambda *x: jnp.stack(x), batch([0, 1]), batch([2, 3]))
    both = jax.vmap(lambda part: made.update(state, part, KEY), axis_name="data")
    found, metrics = both(parts)
    whole, _ = task().update(state, batch([0, 1, 2, 3]), KEY)
    for device in (0, 1):
        each = jax.tree.map(lambda x, device=device: x[device], found)
        np.testing.assert_array_equal(table(each), table(whole))
    np.testing.assert_array_equal(metrics["loss"][1], [4, 4])


def test_what_does_not_fit_is_refused():
    made = given_vectors(word_table(VOCAB, WIDTH + 1), vocab_size=VOCAB)
    with pytest.raises(ConfigError, match=r"shapes \[\(6, 4\)\]; valid is one table \(6, 3\)"):
        made.init(KEY, batch([0]))
    given = {**batch([0]), "text": jnp.int32([[VOCAB, 2]])}
    _, metrics = task().update(task().init(KEY, batch([0])), given, KEY)
    assert jnp.isnan(metrics["loss"][0])
