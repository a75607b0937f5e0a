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


def test_every_pair_of_a_relation_makes_an_analogy_with_every_other():
    relations = dict(
        royal=("man king", "woman queen"), more=("man woman", "king queen", "man king")
    )
    names = list(VECTORS)
    vectors = unit(np.array(list(VECTORS.values()), float))

    def share(fours):
        places = np.array([[names.index(word) for word in four.split()] for four in fours])
        return holding(vectors, places)

    given = ("man king woman queen",)
    royal = share(["man king woman queen", "woman queen man king"])
    pairs = relations["more"]
    more = share([f"{one} {other}" for one in pairs for other in pairs if one != other])
    assert len(more) == 6
    found = word_neighbours(context(), analogies=given, relations=relations)(STATE)
    assert found["analogies_royal"] == royal.mean()
    assert found["analogies_more"] == more.mean()
    assert found["analogies"] == np.concatenate([share(given), royal, more]).mean()
    assert set(found) == {"neighbours", "analogies", "analogies_royal", "analogies_more"}


def test_what_does_not_fit_is_refused():
    for options, message in (
        (
            dict(relations=dict(royal=("man king",))),
            r"relation 'royal': \['man king'\]: valid are two",
        ),
        (dict(relations=dict(royal=("man king", "queen"))), "relation 'royal': 'queen': valid are"),
        (dict(words=("kign",)), "'kign' is not among the 6 known words"),
        (dict(analogies=("man king woman",)), "'man king woman': valid are four words"),
        (dict(count=0), "count=0"),
        (dict(output="vectors"), "unknown output of the task 'vectors'"),
    ):
        with pytest.raises(ConfigError, match=message):
            word_neighbours(context(), **options)
