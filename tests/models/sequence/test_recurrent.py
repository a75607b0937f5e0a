"""Recurrent language models against their equations in numpy, and what a carry must hold."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import rng
from library.config import ConfigError, build
from library.models.sequence import recurrent
from tests import often, recurrences

VOCAB, WIDTH, BATCH, LENGTH = 5, 8, 3, 7
FACTORIES = {"lstm": recurrent.lstm, "gru": recurrent.gru}
GATES = {"lstm": 4, "gru": 3}
CELLS = pytest.mark.parametrize("cell", FACTORIES)
# The LSTM has all that a GRU has.
ONE = pytest.mark.parametrize("cell", often.only(["lstm"], FACTORIES))


def make(cell, **options):
    """Builds a model of 8 units, and draws params that leave no term out."""
    model = FACTORIES[cell](VOCAB, **{"width": WIDTH, "depth": 2, **options})
    shapes = jax.eval_shape(model.init, rng.root(0), tokens(0))["params"]
    draw = np.random.default_rng(1)
    return model, jax.tree.map(lambda x: jnp.asarray(draw.normal(size=x.shape), x.dtype), shapes)


def tokens(seed, length=LENGTH):
    draw = np.random.default_rng(seed)
    return jnp.asarray(draw.integers(0, VOCAB, (BATCH, length)), jnp.int32)


def hidden(model, params, ids, **options):
    return model.apply({"params": params}, ids, **options, method="hidden")


def by_hand(cell, params, ids, depth, embedded):
    """Runs a model in float64, a token at a time; returns logits and the last states."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    step = recurrences.STEPS[cell]
    zeros, names = np.zeros((len(ids), WIDTH)), ("c", "h") if cell == "lstm" else ("h",)
    states = {f"layer{i + 1}": dict.fromkeys(names, zeros) for i in range(depth)}
    table = params["tokens"]["embedding"] if embedded else np.eye(VOCAB)
    logits = []
    for t in range(ids.shape[1]):
        x = table[np.asarray(ids[:, t])]
        for name in states:
            states[name] = step(params[name], x, states[name])
            x = states[name]["h"]
        logits.append(x @ params["head"]["kernel"] + params["head"]["bias"])
    return np.stack(logits, 1), states


@CELLS
@pytest.mark.parametrize(("depth", "embedding"), [(1, None), (2, 6), (3, None)])
def test_models_follow_their_equations(cell, depth, embedding):
    model, params = make(cell, depth=depth, embedding=embedding)
    ids = tokens(2)
    logits = model.apply({"params": params}, ids)
    expected, states = by_hand(cell, params, ids, depth, embedding)
    np.testing.assert_allclose(logits, expected, rtol=2e-5, atol=2e-5)
    _, carry = hidden(model, params, ids)
    assert jax.tree.structure(carry) == jax.tree.structure(states)
    for name, state in states.items():
        for key in state:
            np.testing.assert_allclose(carry[name][key], state[key], rtol=1e-5, atol=1e-5)


@CELLS
def test_two_windows_with_a_carry_are_one_long_window(cell):
    model, params = make(cell)
    ids = tokens(3, 2 * LENGTH)
    whole, last = hidden(model, params, ids)
    first, carry = hidden(model, params, ids[:, :LENGTH])
    second, end = hidden(model, params, ids[:, LENGTH:], carry=carry)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), end, last)


@CELLS
def test_reset_rows_begin_from_zero_and_only_these(cell):
    model, params = make(cell)
    _, carry = hidden(model, params, tokens(4))
    reset = jnp.array([False, True, False])
    found, _ = hidden(model, params, tokens(5), carry=carry, reset=reset)
    kept, _ = hidden(model, params, tokens(5), carry=carry)
    fresh, _ = hidden(model, params, tokens(5))
    expected = np.where(reset[:, None, None], fresh, kept)
    np.testing.assert_array_equal(found, expected)
    assert np.abs(np.asarray(kept - fresh)[1, 0]).max() > 1e-3


@ONE
def test_each_segment_is_read_as_if_it_were_alone(cell):
    model, params = make(cell)
    ids, (_, carry) = tokens(6), hidden(model, params, tokens(4))
    segments = jnp.array([[1, 1, 1, 2, 2, 2, 2], [1, 2, 2, 2, 3, 3, 0], [1] * 7])
    found, _ = hidden(model, params, ids, carry=carry, segments=segments)
    parts = [(0, 0, 3), (0, 3, 7), (1, 0, 1), (1, 1, 4), (1, 4, 6), (2, 0, 7)]
    for row, start, stop in parts:
        own = jax.tree.map(operator.itemgetter(slice(row, row + 1)), carry) if start == 0 else None
        alone, _ = hidden(model, params, ids[row : row + 1, start:stop], carry=own)
        np.testing.assert_allclose(found[row, start:stop], alone[0], atol=1e-6)


@ONE
def test_steps_give_the_logits_of_the_window(cell):
    model, params = make(cell, embedding=4)
    ids, cache = tokens(7), model.initial_cache(BATCH, LENGTH, jnp.bfloat16)
    whole = model.apply({"params": params}, ids)
    for t in range(LENGTH):
        logits, cache = model.apply(
            {"params": params}, ids[:, t : t + 1], cache, jnp.int32(t), method="step"
        )
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-5, atol=1e-5)


@CELLS
@pytest.mark.parametrize("embedding", [None, 6])
def test_number_of_params(cell, embedding):
    _, params = make(cell, embedding=embedding)
    gates, size = GATES[cell], embedding or VOCAB
    layers = sum(gates * WIDTH * (d + WIDTH + 1) for d in (size, WIDTH))
    candidate = 2 * WIDTH if cell == "gru" else 0
    expected = layers + candidate + (WIDTH + 1) * VOCAB + VOCAB * (embedding or 0)
    assert sum(x.size for x in jax.tree.leaves(params)) == expected


def test_char_rnn_has_the_params_its_docstring_states():
    model = recurrent.lstm(65)
    params = jax.eval_shape(model.init, rng.root(0), jnp.zeros((1, 1), jnp.int32))["params"]
    assert sum(x.size for x in jax.tree.leaves(params)) == 239_297


def test_initial_params():
    params = recurrent.lstm(VOCAB, WIDTH).init(rng.root(0), tokens(0))["params"]
    bias = np.zeros(4 * WIDTH)
    bias[WIDTH : 2 * WIDTH] = 1
    for layer in ("layer1", "layer2"):
        np.testing.assert_array_equal(params[layer]["input"]["bias"], bias)
        for kernel in np.split(params[layer]["recurrent"]["kernel"], 4, axis=1):
            np.testing.assert_allclose(kernel.T @ kernel, np.eye(WIDTH), atol=1e-5)
    np.testing.assert_array_equal(params["head"]["bias"], 0)


@CELLS
def test_dropout_falls_between_layers_but_not_between_tokens(cell):
    model, params = make(cell, depth=1, dropout=0.5)
    plain, carry = hidden(model, params, tokens(8))
    found, dropped = hidden(model, params, tokens(8), train=True, rngs={"dropout": rng.root(3)})
    kept = np.asarray(found) != 0
    assert 0.3 < kept.mean() < 0.7
    np.testing.assert_allclose(found, np.where(kept, 2 * np.asarray(plain), 0), rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, dropped, carry)


def test_half_precision_keeps_states_and_logits_in_float32():
    model, params = make("lstm", dtype="bfloat16")
    found, carry = hidden(model, params, tokens(9))
    assert {x.dtype for x in jax.tree.leaves(carry)} == {jnp.dtype("float32")}
    assert jax.tree.map(jnp.shape, carry) == jax.tree.map(jnp.shape, model.initial_carry(BATCH))
    logits = model.apply({"params": params}, found, method="attend")
    assert logits.dtype == jnp.float32
    exact, _ = hidden(recurrent.lstm(VOCAB, WIDTH), params, tokens(9))
    np.testing.assert_allclose(found, exact, atol=0.15)


def test_gradients_flow_to_all_params():
    model, params = make("gru", embedding=4)

    def loss(params):
        return jnp.sum(jax.nn.log_softmax(model.apply({"params": params}, tokens(1)))[..., 0])

    for gradient in jax.tree.leaves(jax.grad(loss)(params)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width=0"),
        ({"depth": 0}, "depth=0"),
        ({"embedding": 0}, "embedding=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dtype": "int8"}, "int8"),
        ({"widht": 3}, "did you mean 'width'"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build({"name": "recurrent.lstm", "vocab_size": 5, **options}, "library.models", "model")
