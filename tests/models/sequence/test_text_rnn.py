"""The recurrent classifier of texts against its equations in numpy, a text at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence import text_rnn
from tests import often, recurrences

VOCAB, WIDTH, COUNTS = 7, 3, np.array([5, 2, 1])
TEXT = np.random.default_rng(0).integers(0, VOCAB, (3, 5)).astype(np.int32)
MASK = np.float32(np.arange(5) < COUNTS[:, None])


def given(**options):
    model = text_rnn.text_rnn(2, VOCAB, embedding=4, width=WIDTH, **options)
    shapes = jax.eval_shape(model.init, jax.random.key(0), TEXT, MASK)["params"]
    draw = np.random.default_rng(1)
    return model, jax.tree.map(lambda p: np.float32(draw.normal(size=p.shape)), shapes)


def read(cell, p, steps):
    state, found = {"c": np.zeros(WIDTH), "h": np.zeros(WIDTH)}, []
    for x in steps:
        state = recurrences.STEPS[cell](p, x, state)
        found.append(state["h"])
    return np.array(found)


def by_hand(p, tokens, cell, pooling, bidirectional, depth):
    x = p["tokens"]["embedding"][tokens]
    for layer in range(1, depth + 1):
        outputs, ends = [read(cell, p[f"layer{layer}"], x)], []
        ends.append(outputs[0][-1])
        if bidirectional:
            backward = read(cell, p[f"layer{layer}_reversed"], x[::-1])
            outputs.append(backward[::-1])
            ends.append(backward[-1])
        x = np.concatenate(outputs, axis=-1)
    pooled = np.concatenate(ends) if pooling == "last" else x.mean(0)
    return pooled @ p["head"]["kernel"] + p["head"]["bias"]


CASES = [
    ["lstm", "last", True, 1],
    ["gru", "mean", True, 2],
    ["elman", "last", False, 2],
]


@pytest.mark.parametrize("case", often.first(1, CASES))
def test_a_network_follows_its_equations_on_texts_of_any_length(case):
    cell, pooling, bidirectional, depth = case
    options = dict(cell=cell, pooling=pooling, bidirectional=bidirectional, depth=depth)
    model, params = given(**options)
    found = jax.jit(model.apply)({"params": params}, TEXT, MASK)
    wide = jax.tree.map(np.float64, params)
    for row, count in enumerate(COUNTS):
        expected = by_hand(wide, TEXT[row, :count], *case)
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_what_is_in_the_padding_changes_no_bit():
    model, params = given()
    apply = jax.jit(model.apply)
    other = jnp.where(MASK > 0, TEXT, VOCAB - 1 - TEXT)
    np.testing.assert_array_equal(
        apply({"params": params}, TEXT, MASK), apply({"params": params}, other, MASK)
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="unknown cell 'rnn'"):
        text_rnn.text_rnn(2, 10, cell="rnn")
    with pytest.raises(ConfigError, match="width=0"):
        text_rnn.bilstm(2, 10, width=0)
