"""Recurrent layers: Elman's, long short-term memory and gated recurrent units.

The first is from Elman 1990, "Finding structure in time". The LSTM is from Hochreiter & Schmidhuber
1997, "Long short-term memory", with the forget gate of Gers, Schmidhuber & Cummins 2000, whose bias
starts at 1, and, if asked for, the peepholes of Gers & Schmidhuber 2000. The GRU is from Cho et al.
2014, "Learning phrase representations using RNN encoder-decoder", section 2.3.

A layer takes time first, (t, b, d). It computes the products with the inputs for all steps at once,
before the loop over time. A step is skipped where the mask is 0: the state stays, and the output is
0. So a reversed layer begins at the last step that exists, and the last state of each row is that
of its own last step.

A decoder that attends feeds what it attends to into its next step. No step can run before the one
before it has ended, so `RecurrentUnit` gives the weights once, and a step is a function of them.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import check_choice

State = dict[str, Float[Array, "b w"]]

_ACTIVATIONS = {
    "tanh": jnp.tanh,
    "sigmoid": nn.sigmoid,
    "relu": nn.relu,
    "identity": lambda x: x,
}


class Weights(nn.Module):
    """The weights of a dense layer, a kernel and maybe a bias, without the product."""

    shape: tuple[int, int]
    num_bias: int
    kernel_init: Callable
    param_dtype: Any
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "i o"], Float[Array, " n"] | None]:
        """Returns the kernel and the bias, which is None if `num_bias` is 0."""
        kernel = self.param("kernel", self.kernel_init, self.shape, self.param_dtype)
        if not self.num_bias:
            return kernel, None
        return kernel, self.param("bias", self.bias_init, (self.num_bias,), self.param_dtype)


class ElmanLayer(nn.Module):
    """A layer whose state is its output.

        a = W x + b + U h,  h' = tanh(a)

    With `transition_depth` L > 1, as in the deep transition of Pascanu et al. 2014 ("How to
    construct deep recurrent neural networks", section 3.3.2), L - 1 dense layers follow:
    h' = tanh(V_L + ... tanh(V_2 tanh(a) + b_2) ...). With `shortcut`, the last of them also adds
    S h before its tanh, so that a gradient passes fewer layers from step to step.

    Submodules are "input" with W (d, w) and b, "recurrent" with U (w, w), "transition2", ... with
    V (w, w) and its bias, and "shortcut" with S (w, w). U starts orthogonal. The state has "h",
    (b, w), float32.

    Attributes:
      width: w, the number of units.
      dtype: type of the products; the state is float32.
      param_dtype: type of the params.
      activation: "tanh", "sigmoid", "relu" or "identity".
      transition_depth: the number of layers from a state to the next.
      shortcut: whether the state also enters the last of these layers.

    Raises:
      ConfigError: the activation is unknown.
    """

    width: int
    dtype: Any
    param_dtype: Any
    activation: str = "tanh"
    transition_depth: int = 1
    shortcut: bool = False
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "t b d"],
        state: State,
        keep: Float[Array, "t b 1"] | None = None,
        mask: Float[Array, "t b 1"] | None = None,
        reverse: bool = False,
    ) -> tuple[State, Float[Array, "t b w"]]:
        """Returns the last state and all outputs; arguments are those of `scanned`."""
        check_choice("activation", self.activation, _ACTIVATIONS)
        activation = _ACTIVATIONS[self.activation]
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        inputs = nn.Dense(self.width, name="input", **types)(x)
        kernel = self._square("recurrent", 0)[0]
        deeper = [
            self._square(f"transition{i + 2}", self.width) for i in range(self.transition_depth - 1)
        ]
        shortcut = self._square("shortcut", 0)[0] if self.shortcut and deeper else None

        def step(state: State, inputs: Float[Array, "b w"]) -> State:
            before = state["h"].astype(self.dtype)
            h = activation(inputs + before @ kernel)
            for place, (weights, bias) in enumerate(deeper):
                h = h @ weights + bias
                if shortcut is not None and place == len(deeper) - 1:
                    h = h + before @ shortcut
                h = activation(h)
            return {"h": h.astype(jnp.float32)}

        return scanned(step, state, inputs, keep, mask, reverse)

    def _square(self, name: str, num_bias: int):
        shape = (self.width, self.width)
        kernel, bias = Weights(shape, num_bias, _orthogonal_gates, self.param_dtype, name=name)()
        return kernel.astype(self.dtype), None if bias is None else bias.astype(self.dtype)


class LSTMLayer(nn.Module):
    """A layer of long short-term memory.

        i, f, o = sigmoid(W x + b + U h),  g = tanh(W x + b + U h)
        c' = f c + i g,  h' = o tanh(c')

    With peepholes, i and f also see p_i c and p_f c, and o sees p_o c' (elementwise).

    Submodules are "input" with W (d, 4 w) and b, and "recurrent" with U (w, 4 w). The order of the
    gates is i, f, g, o. "peepholes", (3, w), are those of i, f and o. Without a `kernel_init` the U
    of each gate starts orthogonal, and peepholes normal with a deviation of 0.1, as in Greff et al.
    2017. The state has "c" and "h", each (b, w), float32.

    Attributes:
      width: w, the number of units.
      dtype: type of the products; gates and states are float32.
      param_dtype: type of the params.
      forget_bias: the bias of f at the start.
      peepholes: whether the gates see the memory.
      kernel_init: initializer of W, U and peepholes; None takes those above.
    """

    width: int
    dtype: Any
    param_dtype: Any
    forget_bias: float = 1.0
    peepholes: bool = False
    kernel_init: Callable | None = None
    state_names: ClassVar[tuple[str, ...]] = ("c", "h")

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "t b d"],
        state: State,
        keep: Float[Array, "t b 1"] | None = None,
        mask: Float[Array, "t b 1"] | None = None,
        reverse: bool = False,
    ) -> tuple[State, Float[Array, "t b w"]]:
        """Returns the last state and all outputs; arguments are those of `scanned`."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = self.kernel_init or nn.initializers.lecun_normal()
        bias = _forget_bias(self.forget_bias)
        dense = nn.Dense(4 * self.width, kernel_init=init, bias_init=bias, name="input", **types)
        init, shape = self.kernel_init or _orthogonal_gates, (self.width, 4 * self.width)
        kernel, _ = Weights(shape, 0, init, self.param_dtype, name="recurrent")()
        kernel, seen = kernel.astype(self.dtype), None
        if self.peepholes:
            init = self.kernel_init or nn.initializers.normal(0.1)
            seen = self.param("peepholes", init, (3, self.width), self.param_dtype)
            seen = seen.astype(jnp.float32)

        def step(state: State, gates: Float[Array, "b g"]) -> State:
            return _lstm_step(kernel, seen, state, gates)

        return scanned(step, state, dense(x), keep, mask, reverse)


class GRULayer(nn.Module):
    """A layer of gated recurrent units.

        r, z = sigmoid(W x + b + U h),  n = tanh(W x + b + r (U h + u))
        h' = (1 - z) n + z h

    The reset gate r is applied after the product with U, as in cuDNN, so that one product serves
    all gates. The paper applies it before the product, U (r h). Submodules are "input" with W
    (d, 3 w) and b, and "recurrent" with U (w, 3 w) and u (w,). The order of the gates is r, z, n.
    The U of each gate starts orthogonal. The state has "h", (b, w), float32.
    """

    width: int
    dtype: Any
    param_dtype: Any
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "t b d"],
        state: State,
        keep: Float[Array, "t b 1"] | None = None,
        mask: Float[Array, "t b 1"] | None = None,
        reverse: bool = False,
    ) -> tuple[State, Float[Array, "t b w"]]:
        """Returns the last state and all outputs; arguments are those of `scanned`."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        gates = nn.Dense(3 * self.width, name="input", **types)(x)
        init, shape = _orthogonal_gates, (self.width, 3 * self.width)
        kernel, bias = Weights(shape, self.width, init, self.param_dtype, name="recurrent")()
        kernel, bias = kernel.astype(self.dtype), bias.astype(self.dtype)

        def step(state: State, gates: Float[Array, "b g"]) -> State:
            return _gru_step(kernel, bias, state, gates)

        return scanned(step, state, gates, keep, mask, reverse)


LAYERS = {"elman": ElmanLayer, "lstm": LSTMLayer, "gru": GRULayer}


class BidirectionalLSTM(nn.Module):
    """Two LSTM layers with peepholes, one from each end, whose outputs are concatenated.

    Reading from both ends is from Schuster & Paliwal 1997, "Bidirectional recurrent neural
    networks". Submodules are "forward" and "backward". Takes and returns batches first.

    Attributes:
      width: w, the units of each direction.
      forget_bias: the bias of the forget gates at the start.
      kernel_init: initializer of all weights; None takes those of `LSTMLayer`.
      dtype: type of the products.
      param_dtype: type of the params.
    """

    width: int
    forget_bias: float = 1.0
    kernel_init: Callable | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], mask: Float[Array, "b t"]
    ) -> Float[Array, "b t e"]:
        """Returns e = 2 w numbers for each frame; 0 in the padding."""
        outputs = []
        for name in ("forward", "backward"):
            layer = LSTMLayer(
                self.width,
                self.dtype,
                self.param_dtype,
                self.forget_bias,
                peepholes=True,
                kernel_init=self.kernel_init,
                name=name,
            )
            zero = zero_state("lstm", len(x), self.width)
            steps, there = x.swapaxes(0, 1), mask.T[..., None]
            outputs.append(layer(steps, zero, mask=there, reverse=name == "backward")[1])
        return jnp.concatenate(outputs, axis=-1).swapaxes(0, 1)


class UnitWeights(NamedTuple):
    """The weights of a layer of w LSTM or GRU units with g gates each.

    Attributes:
      input: W, (d, g w).
      bias: b, (g w,).
      recurrent: U, (w, g w).
      recurrent_bias: u of a GRU, (w,); None for an LSTM.
    """

    input: Float[Array, "d g"]
    bias: Float[Array, " g"]
    recurrent: Float[Array, "w g"]
    recurrent_bias: Float[Array, " w"] | None

    def projected(self, x: Float[Array, "*n d"]) -> Float[Array, "*n g"]:
        """Returns the contribution of inputs to the gates."""
        return x.astype(self.input.dtype) @ self.input + self.bias

    def advanced(self, state: State, gates: Float[Array, "b g"]) -> State:
        """Returns the state after a step; `gates` is the contribution of its input."""
        if self.recurrent_bias is None:
            return _lstm_step(self.recurrent, None, state, gates)
        return _gru_step(self.recurrent, self.recurrent_bias, state, gates)


class RecurrentUnit(nn.Module):
    """The weights of an `LSTMLayer` without peepholes or of a `GRULayer`, without a loop over time.

    The params and their start are those of the layer.

    Attributes:
      cell: a key of UNITS.
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
    def __call__(self) -> UnitWeights:
        """Returns the weights, in the type of the computation."""
        size, kind = UNITS[self.cell] * self.width, self.param_dtype
        dense, start = nn.initializers.lecun_normal(), _forget_bias(1.0)
        start, own = (start, 0) if self.cell == "lstm" else (nn.initializers.zeros, self.width)
        given = Weights((self.features, size), size, dense, kind, start, name="input")()
        kept = Weights((self.width, size), own, _orthogonal_gates, kind, name="recurrent")()
        return jax.tree.map(lambda x: x.astype(self.dtype), UnitWeights(*given, *kept))


# The cells of a `RecurrentUnit`, with the number of their gates.
UNITS = {"lstm": 4, "gru": 3}


def zero_state(cell: str, batch_size: int, width: int) -> State:
    """Returns the state of a layer of LAYERS before the first step: zero."""
    # Separate arrays: JAX cannot donate one array under several names.
    return {name: jnp.zeros((batch_size, width)) for name in LAYERS[cell].state_names}


def scanned(
    step: Callable[[State, Array], State],
    state: State,
    gates: Float[Array, "t b g"],
    keep: Float[Array, "t b 1"] | None,
    mask: Float[Array, "t b 1"] | None = None,
    reverse: bool = False,
) -> tuple[State, Float[Array, "t b w"]]:
    """Runs a layer's step over time.

    Args:
      step: (state, contribution of the inputs (b, g)) -> state.
      state: the state before the first step.
      gates: the contribution of the inputs.
      keep: the factors of the state before each step: 0 sets it to zero.
      mask: 1 where a step exists and 0 where it is skipped; all exist by default.
      reverse: whether to begin at the end.

    Returns:
      The last state, and the state "h" after each step, 0 where the step is skipped.
    """

    def body(state, inputs):
        gates, keep, mask = inputs
        if keep is not None:
            state = jax.tree.map(lambda x: x * keep, state)
        moved = step(state, gates)
        if mask is None:
            return moved, moved["h"]
        moved = jax.tree.map(lambda new, old: jnp.where(mask > 0, new, old), moved, state)
        return moved, jnp.where(mask > 0, moved["h"], 0)

    return jax.lax.scan(body, state, (gates, keep, mask), reverse=reverse)


def _lstm_step(
    kernel: Float[Array, "w g"],
    peepholes: Float[Array, "3 w"] | None,
    state: State,
    gates: Float[Array, "b g"],
) -> State:
    gates = (gates + state["h"].astype(kernel.dtype) @ kernel).astype(jnp.float32)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    if peepholes is not None:
        i, f = i + peepholes[0] * state["c"], f + peepholes[1] * state["c"]
    c = nn.sigmoid(f) * state["c"] + nn.sigmoid(i) * jnp.tanh(g)
    o = o if peepholes is None else o + peepholes[2] * c
    return {"c": c, "h": nn.sigmoid(o) * jnp.tanh(c)}


def _gru_step(
    kernel: Float[Array, "w g"],
    bias: Float[Array, " w"],
    state: State,
    gates: Float[Array, "b g"],
) -> State:
    product = state["h"].astype(kernel.dtype) @ kernel
    both = (gates + product).astype(jnp.float32)
    r, z, _ = (nn.sigmoid(part) for part in jnp.split(both, 3, axis=-1))
    last = slice(2 * len(bias), None)
    n = jnp.tanh(gates[:, last] + r * (product[:, last] + bias))
    return {"h": (1 - z) * n + z * state["h"]}


def _forget_bias(value: float) -> Callable:
    def init(key: PRNGKeyArray, shape: tuple[int], dtype: Any) -> Array:
        return jnp.zeros(4, dtype).at[1].set(value).repeat(shape[0] // 4)

    return init


def _orthogonal_gates(key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Array:
    width, total = shape
    keys = jax.random.split(key, total // width)
    init = nn.initializers.orthogonal()
    return jnp.concatenate([init(k, (width, width), dtype) for k in keys], axis=-1)
