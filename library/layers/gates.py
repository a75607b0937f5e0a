"""Gated recurrent layers whose steps are pure functions, for sequences of different lengths.

A decoder with attention feeds what it attends to back into the next step, so that no step can run
before the one before it has ended. Its weights are therefore read once, outside the loop over time,
and a step is a function of them. The formulas are those of `library.models.sequence.recurrent`.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

State = dict[str, Float[Array, "b w"]]
# The number of gates of each cell, and the parts of its state.
GATES = {"lstm": 4, "gru": 3}
PARTS = {"lstm": ("c", "h"), "gru": ("h",)}


class Weights(NamedTuple):
    """The weights of a recurrent layer of w units and g gates.

    Attributes:
      input: (d, g w), for the inputs.
      bias: (g w,).
      recurrent: (w, g w), for the state.
      recurrent_bias: (w,), for the candidate of a GRU; None for an LSTM.
    """

    input: Float[Array, "d g"]
    bias: Float[Array, " g"]
    recurrent: Float[Array, "w g"]
    recurrent_bias: Float[Array, " w"] | None


class Gates(nn.Module):
    """The weights of a layer of LSTM or GRU units, whose gates are in the order i f g o or r z n.

    The recurrent weights of each gate start orthogonal, and the bias of an LSTM's forget gate
    starts at 1.

    Attributes:
      cell: "lstm" or "gru".
      features: d, the size of an input.
      width: w, the number of units.
      dtype: type of the weights in the computation.
      param_dtype: type of the params.
    """

    cell: str
    features: int
    width: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self) -> Weights:
        """Returns the weights, in the type of the computation."""
        count, kind = GATES[self.cell], self.param_dtype
        init = nn.initializers.lecun_normal()
        kernel = self.param("kernel", init, (self.features, count * self.width), kind)
        bias = self.param("bias", _forget_bias(self.cell), (count * self.width,), kind)
        shape = (self.width, count * self.width)
        recurrent = self.param("recurrent", _orthogonal, shape, kind)
        rest = None
        if self.cell == "gru":
            rest = self.param("recurrent_bias", nn.initializers.zeros, (self.width,), kind)
        found = Weights(kernel, bias, recurrent, rest)
        return jax.tree.map(lambda x: x.astype(self.dtype), found)


def zeros(cell: str, batch_size: int, width: int) -> State:
    """Returns the state before the first step, float32."""
    # Separate arrays: JAX cannot donate one array under several names.
    return {part: jnp.zeros((batch_size, width)) for part in PARTS[cell]}


def projected(weights: Weights, x: Float[Array, "*n d"]) -> Float[Array, "*n g"]:
    """Returns the contribution of inputs to the gates."""
    return x.astype(weights.input.dtype) @ weights.input + weights.bias


def advanced(weights: Weights, gates: Float[Array, "b g"], state: State) -> State:
    """Returns the state after a step; `gates` is the contribution of the input, see `projected`."""
    product = state["h"].astype(gates.dtype) @ weights.recurrent
    if weights.recurrent_bias is None:
        i, f, g, o = jnp.split((gates + product).astype(jnp.float32), 4, axis=-1)
        c = nn.sigmoid(f) * state["c"] + nn.sigmoid(i) * jnp.tanh(g)
        return {"c": c, "h": nn.sigmoid(o) * jnp.tanh(c)}
    width = weights.recurrent.shape[0]
    last = slice(2 * width, None)
    both = (gates + product)[:, : 2 * width].astype(jnp.float32)
    r, z = jnp.split(nn.sigmoid(both), 2, axis=-1)
    n = jnp.tanh(gates[:, last] + r * (product[:, last] + weights.recurrent_bias))
    return {"h": (1 - z) * n + z * state["h"]}


def scanned(
    weights: Weights,
    x: Float[Array, "t b d"],
    there: Float[Array, "t b 1"],
    state: State,
    *,
    reverse: bool = False,
) -> tuple[State, Float[Array, "t b w"]]:
    """Runs a layer over time, and keeps the state where `there` is 0, so that padding is nothing.

    Args:
      weights: the weights of the layer.
      x: inputs; time comes first.
      there: 1 for an input and 0 for padding.
      state: the state before the first step.
      reverse: whether the layer reads from the last input to the first.

    Returns:
      The state after the last step, and the outputs, which are 0 at padding.
    """

    def step(state: State, inputs: Any) -> tuple[State, Array]:
        gates, there = inputs
        moved = advanced(weights, gates, state)
        kept = {part: jnp.where(there > 0, moved[part], state[part]) for part in moved}
        return kept, jnp.where(there > 0, kept["h"], 0)

    return jax.lax.scan(step, state, (projected(weights, x), there), reverse=reverse)


def _orthogonal(key: Array, shape: tuple[int, int], dtype: Any) -> Array:
    width, total = shape
    init = nn.initializers.orthogonal()
    keys = jax.random.split(key, total // width)
    return jnp.concatenate([init(each, (width, width), dtype) for each in keys], axis=-1)


def _forget_bias(cell: str):
    def init(key: Array, shape: tuple[int], dtype: Any) -> Array:
        bias = jnp.zeros(GATES[cell], dtype)
        bias = bias.at[1].set(1) if cell == "lstm" else bias
        return bias.repeat(shape[0] // GATES[cell])

    return init
