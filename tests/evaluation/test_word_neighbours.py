"""Neighbours and analogies of words whose vectors are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.data import tokenizers
from library.evaluation.context import Context
from library.evaluation.word_neighbours import holding, unit, word_neighbours
from library.task import Task, TrainState

VECTORS = {
    "<unknown>": [9, 9, 9],
    "man": [1, 0, 0],
    "king": [1, 1, 0],
    "woman": [1, 0, 2],
    "queen": [1, 1, 2],
    "apple": [-2, -1, -3],
}

STATE = TrainState(jnp.int32(0), {}, {}, (), None)


def context(**changes):
    # The order of the words is that of the vectors: the first occurs most often.
    counted = zip(list(VECTORS)[1:], range(9, 0, -1))
    texts = [" ".join(" ".join([name] * times) for name, times in counted)]
    tokenizer = tokenizers.word(texts)
    table = jnp.array(list(VECTORS.values()), jnp.float32)
    task = Task(None, None, None, {"features": lambda state, batch, key: table[batch["tokens"]]})
    return Context(
        task=task,
        batches=lambda *_: (),
        measure=lambda f: f,
        collect=lambda f: lambda state, batch: f(state, batch, jax.random.key(0)),
        draws=lambda num, size, features: [
            {"tokens": jnp.asarray(features["tokens"]), "mask": jnp.ones(num)}
        ],
        tokenizer=tokenizer,
        **changes,
    )


def test_neighbours_are_the_words_of_the_smallest_angle():
    found = word_neighbours(context(), words=("queen", "man"), count=2)(STATE)
    assert list(found) == ["neighbours"]
    assert found["neighbours"].tolist() == ["queen: <unknown>, woman", "man: king, <unknown>"]


def test_an_analogy_holds_if_its_fourth_word_is_the_nearest():
    vectors = unit(np.array(list(VECTORS.values()), float)[1:])
    places = np.array([[0, 1, 2, 3], [0, 1, 2, 4]])
    assert holding(vectors, places).tolist() == [True, False]
    given = ("man king woman queen", "man woman king apple")
    measured = word_neighbours(context(), analogies=given)(STATE)
    assert 0 <= measured["analogies"] <= 0.5


def test_what_does_not_fit_is_refused():
    for options, message in (
        (dict(words=("kign",)), "'kign' is not among the 6 known words"),
        (dict(analogies=("man king woman",)), "'man king woman': valid are four words"),
        (dict(count=0), "count=0"),
        (dict(output="vectors"), "unknown output of the task 'vectors'"),
    ):
        with pytest.raises(ConfigError, match=message):
            word_neighbours(context(), **options)
