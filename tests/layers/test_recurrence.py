"""What recurrent layers share: their units without a loop, and reading from both ends."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.recurrence import (
    LAYERS,
    BidirectionalLSTM,
    LSTMLayer,
    RecurrentUnit,
    zero_state,
)
from tests import often

LENGTH, BATCH, INPUTS, WIDTH = 4, 3, 2, 5
SERIES = jnp.float32(np.random.default_rng(0).normal(size=(LENGTH, BATCH, INPUTS)))
MASK = jnp.float32(np.arange(LENGTH)[:, None] < np.array([4, 1, 3]))[..., None]
TYPES = (jnp.float32, jnp.float32)


@pytest.mark.parametrize("cell", often.first(1, ["lstm", "gru"]))
def test_a_unit_starts_as_its_layer_and_steps_as_it(cell):
    layer, start = LAYERS[cell](WIDTH, *TYPES), zero_state(cell, BATCH, WIDTH)
    unit = RecurrentUnit(cell, INPUTS, WIDTH, *TYPES)
    variables = jax.jit(layer.init)(jax.random.key(1), SERIES, start)
    own = jax.jit(unit.init)(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, own, variables)
    last, outputs = jax.jit(layer.apply)(variables, SERIES, start)

    @jax.jit
    def step(state, x):
        weights = unit.apply(variables)
        return weights.advanced(state, weights.projected(x))

    state = start
    for x, expected in zip(SERIES, outputs):
        state = step(state, x)
        np.testing.assert_allclose(state["h"], expected, rtol=1e-5, atol=1e-6)
    assert state.keys() == last.keys()


def test_both_directions_are_layers_of_their_own():
    model = BidirectionalLSTM(WIDTH, forget_bias=2.0, kernel_init=jax.nn.initializers.normal(0.5))
    x, mask = SERIES.swapaxes(0, 1), MASK[..., 0].T
    variables = jax.jit(model.init)(jax.random.key(2), x, mask)
    layer, start = LSTMLayer(WIDTH, *TYPES, peepholes=True), zero_state("lstm", BATCH, WIDTH)
    found = jax.jit(model.apply)(variables, x, mask)
    for number, name in enumerate(("forward", "backward")):
        params = variables["params"][name]
        np.testing.assert_array_equal(params["input"]["bias"][WIDTH : 2 * WIDTH], 2.0)
        one = {"params": params}
        read = jax.jit(functools.partial(layer.apply, reverse=bool(number)))
        _, expected = read(one, SERIES, start, mask=MASK)
        part = found[..., number * WIDTH : (number + 1) * WIDTH]
        np.testing.assert_allclose(part, expected.swapaxes(0, 1), rtol=1e-6, atol=1e-6)
