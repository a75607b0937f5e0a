"""Words in the plane: near where their vectors are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import layouts
from library.config import ConfigError
from library.evaluation.word_map import word_map
from library.evaluation.word_neighbours import unit
from library.reporting import word_figure
from library.run import artifacts
from library.task import TrainState
from tests.evaluation.test_word_neighbours import VECTORS, context

STATE = TrainState(jnp.int32(0), {}, {}, (), None)
WORDS = ("queen", "man", "apple", "king")


def test_the_layout_is_that_of_the_vectors_of_the_words():
    made = word_map(context(), words=WORDS, perplexity=2.0, steps=250, seed=3)(STATE)
    assert made["layout_captions"].tolist() == list(WORDS)
    vectors = unit(np.array([VECTORS[word] for word in WORDS], np.float32))
    expected = layouts.t_sne(vectors, perplexity=2.0, steps=250, seed=3)
    np.testing.assert_array_equal(made["layout"], expected)


def test_the_words_reach_the_report_beside_their_places(tmp_path):
    made = word_map(context(), words=WORDS, perplexity=2.0, steps=250)(STATE)
    arrays = {f"map/{name}": values for name, values in made.items()}
    kept = artifacts.keep_samples(arrays, 3, tmp_path, print)
    assert kept.keys() == arrays.keys()
    assert word_figure.is_layout(kept["map/layout"], kept["map/layout_captions"])
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_draws_nothing():
    empty = context()._replace(
        draws=lambda num, size, features: [
            {"tokens": jnp.asarray(features["tokens"]), "mask": jnp.zeros(num)}
        ]
    )
    made = word_map(empty, words=WORDS, perplexity=2.0)(STATE)
    assert made["layout"].shape == (0, 2)
    assert jax.tree.map(len, made) == {"layout": 0, "layout_captions": 0}


def test_what_does_not_fit_is_refused():
    for options, message in (
        (dict(words=("kign", *WORDS)), "unknown word of word_map 'kign': did you mean 'king'"),
        (dict(words=WORDS), r"perplexity=10\.0: valid are above 0 and below 4"),
        (dict(words=WORDS, output="x"), "unknown output of the task 'x'"),
    ):
        with pytest.raises(ConfigError, match=message):
            word_map(context(), **options)
