"""Recurrent nets against their equations in numpy; padding, directions and configurations."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence import rnn
from tests import often, recurrences

BATCH, LENGTH, INPUTS, WIDTH = 3, 5, 2, 4
CELLS = pytest.mark.parametrize("cell", often.only(["lstm"], ["elman", "lstm", "gru"]))
COUNTS = np.array([5, 2, 3])


def make(**options):
    """Builds a net, and draws params that leave no term out."""
    model = rnn.RecurrentNet(3, **{"width": WIDTH, **options})
    vector = options.get("output") == "unrolled"
    x = series()[:, 0] if vector else series()
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    draw = np.random.default_rng(1)
    return model, jax.tree.map(lambda p: jnp.asarray(draw.normal(size=p.shape), p.dtype), shapes)


def answers(model, params, *given):
    return jax.jit(model.apply)({"params": params}, *given)


def series(length=LENGTH):
    return jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, length, INPUTS)), jnp.float32)


def mask(length=LENGTH):
    return jnp.asarray(np.arange(length) < COUNTS[:, None], jnp.float32)


def read(cell, p, steps):
    """Returns the state h after each of the steps (t, d), in float64."""
    state, found = {"c": np.zeros(WIDTH), "h": np.zeros(WIDTH)}, []
    for x in steps:
        state = recurrences.STEPS[cell](p, x, state)
        found.append(state["h"])
    return np.array(found)


def by_hand(cell, params, rows, depth, output):
    """Reads each row (t, d) by itself, without padding, in both directions."""
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    answers = []
    for x in rows:
        for layer in range(1, depth + 1):
            forward = read(cell, params[f"layer{layer}"], x)
            backward = read(cell, params[f"layer{layer}_reversed"], x[::-1])
            x = np.concatenate([forward, backward[::-1]], axis=-1)
            last = np.concatenate([forward[-1], backward[-1]])
        x = {"last": last, "mean": x.mean(axis=0), "each": x}[output]
        answers.append(x @ params["head"]["kernel"] + params["head"]["bias"])
    return answers


@pytest.mark.parametrize(
    ("cell", "output", "options"),
    often.first(
        3,
        [
            ("elman", "mean", dict(transition_depth=2, shortcut=True)),
            ("lstm", "last", dict(peepholes=True)),
            ("gru", "each", {}),
            ("elman", "last", {}),
            ("elman", "each", dict(transition_depth=2)),
            ("lstm", "each", {}),
            ("gru", "mean", {}),
        ],
    ),
)
def test_nets_follow_their_equations_on_series_of_different_lengths(cell, output, options):
    model, params = make(cell=cell, output=output, depth=2, bidirectional=True, **options)
    x = series()
    found = answers(model, params, x, mask())
    rows = [np.asarray(row[:count], np.float64) for row, count in zip(x, COUNTS)]
    for each, expected, count in zip(found, by_hand(cell, params, rows, 2, output), COUNTS):
        each = each[:count] if output == "each" else each
        np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "output"),
    often.only(
        [("lstm", "last"), ("gru", "each")],
        itertools.product(("elman", "lstm", "gru"), ("last", "mean", "each")),
    ),
)
def test_padding_changes_no_bit_of_an_answer_or_a_gradient(cell, output):
    model, params = make(cell=cell, output=output, bidirectional=True)
    there = mask()

    @jax.jit
    def measured(params, x):
        def loss(params):
            found = model.apply({"params": params}, x, there)
            weight = there[..., None] if output == "each" else 1.0
            return jnp.sum(jnp.square(found) * weight), found

        return jax.value_and_grad(loss, has_aux=True)(params)

    zeros = jnp.where(there[..., None] > 0, series(), 0.0)
    strange = jnp.where(there[..., None] > 0, series(), jnp.nan)
    for one, other in zip(*(jax.tree.leaves(measured(params, x)) for x in (zeros, strange))):
        np.testing.assert_array_equal(one, other)
        assert np.isfinite(one).all()


@CELLS
def test_more_padding_changes_no_answer_but_by_rounding(cell):
    """Series of another length are another program, so bits may differ; a leak is 0.1 and more."""
    model, params = make(cell=cell, bidirectional=True)
    longer = jnp.pad(series(), ((0, 0), (0, 4), (0, 0)), constant_values=7.0)
    found = answers(model, params, longer, mask(LENGTH + 4))
    expected = answers(model, params, series(), mask())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@CELLS
def test_a_vector_becomes_a_series_of_so_many_steps(cell):
    model, params = make(cell=cell, output="unrolled", steps=6)
    found = answers(model, params, series()[:, 0])
    assert found.shape == (BATCH, 6, 3)
    values = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    context = read(cell, values["layer1"], np.asarray(series()[0, :1], np.float64))[-1]
    states = read(cell, values["decoder"], [context] * 6)
    expected = states @ values["head"]["kernel"] + values["head"]["bias"]
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_dropout_falls_on_each_step_of_an_unrolled_output():
    model, params = make(cell="gru", output="unrolled", steps=6, dropout=0.5)
    given, options = {"params": params}, dict(train=True, rngs={"dropout": jax.random.key(1)})
    options["mutable"] = ["intermediates"]
    run = jax.jit(lambda x: model.apply(given, x, **options)[1]["intermediates"]["features"])
    features = run(series()[:, 0])
    dropped = np.asarray(features if hasattr(features, "shape") else features[0]) == 0
    assert 0 < dropped.mean() < 1
    assert dropped.any(axis=(0, 2)).all()


def test_deep_output_adds_dense_layers_before_the_head():
    model, params = make(cell="elman", output_depth=1)
    found = answers(model, params, series())
    values = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    state = read("elman", values["layer1"], np.asarray(series()[0], np.float64))[-1]
    hidden = np.tanh(state @ values["output1"]["kernel"] + values["output1"]["bias"])
    expected = hidden @ values["head"]["kernel"] + values["head"]["bias"]
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_integers_are_one_hot():
    model, params = make(vocab_size=None)
    ids = jnp.array([[0, 1, 1, 0, 1]] * BATCH)
    asked = rnn.RecurrentNet(3, width=WIDTH, vocab_size=INPUTS)
    found = answers(asked, params, ids)
    expected = answers(model, params, jnp.eye(INPUTS)[ids])
    np.testing.assert_array_equal(found, expected)
    unknown = answers(asked, params, ids.at[1, 2].set(INPUTS))
    np.testing.assert_array_equal(np.isnan(unknown).all(axis=1), [False, True, False])
    with pytest.raises(ConfigError, match="vocab_size=None, and the input is int32"):
        answers(model, params, ids)


def test_the_forget_gate_starts_open():
    model = rnn.lstm(3, width=2, forget_bias=3.0)
    params = jax.jit(model.init)(jax.random.key(0), series())["params"]
    np.testing.assert_array_equal(params["layer1"]["input"]["bias"], [0, 0, 3, 3, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(cell="lstn"), "did you mean 'lstm'"),
        (dict(output="all"), "unknown output 'all'"),
        (dict(output="unrolled"), "output='unrolled' with steps=None"),
        (dict(steps=4), "output='last' with steps=4"),
        (dict(cell="gru", peepholes=True), "peepholes=True is an option of cell='lstm'"),
        (
            dict(transition_depth=2),
            "transition_depth=2 is an option of cell='elman', not of 'lstm'",
        ),
        (dict(cell="elman", shortcut=True), "needs a transition_depth of 2 or more"),
        (dict(width=0), "width=0"),
        (dict(output_depth=-1), "output_depth=-1"),
    ],
)
def test_what_does_not_fit_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        rnn.RecurrentNet(3, **options)
