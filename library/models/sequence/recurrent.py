"""Recurrent language models: LSTM and GRU, as in char-rnn.

Hochreiter & Schmidhuber 1997, "Long short-term memory", with the forget gate of Gers, Schmidhuber
& Cummins 2000, its bias 1 at first; Cho et al. 2014, "Learning phrase representations using RNN
encoder-decoder", section 2.3, for the GRU. The defaults are char-rnn's two layers of 128 units on
one-hot characters (Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks").
"""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library.layers import vocabulary_loss
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import record
from library.variants import variant

State = dict[str, Float[Array, "b w"]]


class Weights(nn.Module):
    """A kernel and maybe a bias, without the product."""

    shape: tuple[int, int]
    num_bias: int
    kernel_init: Callable
    param_dtype: Any

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "i o"], Float[Array, " n"] | None]:
        """Returns the kernel and the bias, None where `num_bias` is 0."""
        kernel = self.param("kernel", self.kernel_init, self.shape, self.param_dtype)
        if not self.num_bias:
            return kernel, None
        zeros = nn.initializers.zeros
        return kernel, self.param("bias", zeros, (self.num_bias,), self.param_dtype)


class LSTMLayer(nn.Module):
    """A layer of long short-term memory.

        i, f, o = sigmoid(W x + b + U h),  g = tanh(W x + b + U h)
        c' = f c + i g,  h' = o tanh(c')

    Submodules "input" with W (d, 4 w) and b, and "recurrent" with U (w, 4 w), the gates in the
    order i, f, g, o. Each gate's U is orthogonal at first, and the bias of f is 1. The state has
    "c" and "h", (b, w) each, float32.
    """

    width: int
    dtype: Any
    param_dtype: Any
    state_names: ClassVar[tuple[str, ...]] = ("c", "h")

    @nn.compact
    def __call__(
        self, x: Float[Array, "t b d"], state: State, keep: Float[Array, "t b 1"] | None
    ) -> tuple[State, Float[Array, "t b w"]]:
        """Returns the last state and all outputs; the state is multiplied by `keep` before each."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        gates = nn.Dense(4 * self.width, bias_init=_forget_bias, name="input", **types)(x)
        init, shape = _orthogonal_gates, (self.width, 4 * self.width)
        kernel, _ = Weights(shape, 0, init, self.param_dtype, name="recurrent")()
        kernel = kernel.astype(self.dtype)

        def step(state: State, gates: Float[Array, "b g"]) -> State:
            gates = (gates + state["h"].astype(self.dtype) @ kernel).astype(jnp.float32)
            i, f, g, o = jnp.split(gates, 4, axis=-1)
            c = nn.sigmoid(f) * state["c"] + nn.sigmoid(i) * jnp.tanh(g)
            return {"c": c, "h": nn.sigmoid(o) * jnp.tanh(c)}

        return _run(step, state, gates, keep)


class GRULayer(nn.Module):
    """A layer of gated recurrent units.

        r, z = sigmoid(W x + b + U h),  n = tanh(W x + b + r (U h + u))
        h' = (1 - z) n + z h

    Here the reset gate r comes after the product with U, as in cuDNN, which makes all gates one
    product; the paper's is before it, U (r h). Submodules "input" with W (d, 3 w) and b, and
    "recurrent" with U (w, 3 w) and u (w,), in the order r, z, n. Each gate's U is orthogonal at
    first. The state has "h", (b, w), float32.
    """

    width: int
    dtype: Any
    param_dtype: Any
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    @nn.compact
    def __call__(
        self, x: Float[Array, "t b d"], state: State, keep: Float[Array, "t b 1"] | None
    ) -> tuple[State, Float[Array, "t b w"]]:
        """Returns the last state and all outputs; the state is multiplied by `keep` before each."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        gates = nn.Dense(3 * self.width, name="input", **types)(x)
        init, shape = _orthogonal_gates, (self.width, 3 * self.width)
        kernel, bias = Weights(shape, self.width, init, self.param_dtype, name="recurrent")()
        kernel, bias = kernel.astype(self.dtype), bias.astype(self.dtype)

        def step(state: State, gates: Float[Array, "b g"]) -> State:
            product = state["h"].astype(self.dtype) @ kernel
            both = (gates + product).astype(jnp.float32)
            r, z, _ = (nn.sigmoid(part) for part in jnp.split(both, 3, axis=-1))
            last = slice(2 * self.width, None)
            n = jnp.tanh(gates[:, last] + r * (product[:, last] + bias))
            return {"h": (1 - z) * n + z * state["h"]}

        return _run(step, state, gates, keep)


LAYERS = {"lstm": LSTMLayer, "gru": GRULayer}


class RecurrentLM(nn.Module):
    """Recurrent layers over the tokens so far, and the logits of the next.

    Submodules "tokens", embeddings (v, e), where tokens do not enter one-hot; "layer1", "layer2",
    ...; and "head" with kernel (d, v) and bias. Dropout falls on what goes from layer to layer and
    to the head, not on what goes from token to token (Zaremba, Sutskever & Vinyals 2014). Records
    "features" (b, t, d), what the logits are made from.

    A carry, or cache, is the state of every layer, `{"layer1": {"h": (b, d), ...}, ...}`, float32.

    An LSTM has 239,297 params on the 65 characters of Tiny Shakespeare.

    Attributes:
      vocab_size: tokens of the data.
      width: units a layer.
      depth: layers.
      embedding: size of a token's embedding; by default tokens enter one-hot.
      dropout: rate on what goes from layer to layer and to the head.
      dtype: of the products; gates and states are float32, and so are logits.
      param_dtype: of the params.
      cell: "lstm" or "gru".

    Raises:
      ConfigError: an unknown dtype, a rate outside [0, 1), a size below 1.
    """

    vocab_size: int
    width: int = 128
    depth: int = 2
    embedding: int | None = None
    dropout: float = 0.0
    dtype: str = "float32"
    param_dtype: str = "float32"
    cell: str = "lstm"
    recurrent: ClassVar[bool] = True

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size, width=self.width, depth=self.depth)
        check_sizes(**({} if self.embedding is None else {"embedding": self.embedding}))
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if self.embedding:
            init = nn.initializers.normal(1.0)
            self.tokens = nn.Embed(self.vocab_size, self.embedding, embedding_init=init, **types)
        for name in self._names():
            setattr(self, name, LAYERS[self.cell](self.width, **types))
        self.drop = nn.Dropout(self.dropout)
        shape, init = (self.width, self.vocab_size), nn.initializers.lecun_normal()
        self.head = Weights(shape, self.vocab_size, init, self.param_dtype)

    def __call__(self, tokens: Int[Array, "b t"], train: bool = False) -> Float[Array, "b t v"]:
        """Returns the logits of the token after each, float32, from a state of zero."""
        return self.attend(self.hidden(tokens, train=train)[0])

    def hidden(
        self,
        tokens: Int[Array, "b t"],
        *,
        carry: PyTree | None = None,
        reset: Bool[Array, " b"] | None = None,
        segments: Int[Array, "b t"] | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "b t d"], PyTree]:
        """Returns what `attend` makes logits from, and the carry after the last token.

        Args:
          tokens: of each row, going on from the carry.
          carry: the state before the first token, by default zero.
          reset: rows whose carry is taken as zero.
          segments: numbers of documents; where the number changes within a row, the state is zero.
            The first token of a row belongs to the document that the carry comes from.
          train: whether dropout falls, by the stream "dropout".
        """
        carry = self.initial_carry(len(tokens)) if carry is None else carry
        if reset is not None:
            carry = jax.tree.map(lambda x: jnp.where(reset[:, None], 0.0, x), carry)
        keep = None
        if segments is not None:
            same = segments[:, 1:] == segments[:, :-1]
            same = jnp.pad(same, ((0, 0), (1, 0)), constant_values=True)
            keep = same.T[..., None].astype(jnp.float32)
        # Time comes first, so that each step of the loop reads and writes one block of memory.
        x = self._embed(tokens.T)
        moved = {}
        for name in self._names():
            moved[name], x = getattr(self, name)(x, carry[name], keep)
            x = self.drop(x, deterministic=not train)
        x = x.swapaxes(0, 1)
        record(self, "features", x)
        return x, moved

    def attend(self, hidden: Float[Array, "*n d"]) -> Float[Array, "*n v"]:
        """Returns the logits, float32."""
        return vocabulary_loss.logits(hidden.astype(self.dtype), *self.vocabulary())

    def vocabulary(self) -> tuple[Float[Array, "v d"], Float[Array, " v"]]:
        """Returns the weights of the output layer, a row for each token, and its bias."""
        kernel, bias = self.head()
        return kernel.T, bias

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> PyTree:
        """Returns the state that no token has reached: zero."""
        parts, shape = LAYERS[self.cell].state_names, (batch_size, self.width)
        # Not one array under many names: each may be donated.
        return {name: {part: jnp.zeros(shape) for part in parts} for name in self._names()}

    @nn.nowrap
    def initial_cache(self, batch_size: int, length: int, dtype: Any = None) -> PyTree:
        """Returns the initial carry, whose size and type depend on neither length nor `dtype`."""
        return self.initial_carry(batch_size)

    def step(
        self, tokens: Int[Array, "b 1"], cache: PyTree, position: Int[Array, "..."]
    ) -> tuple[Float[Array, "b v"], PyTree]:
        """Returns the logits of the token that follows, and the cache after this one.

        Args:
          tokens: one a row.
          cache: the carry after the token before it.
          position: where it stands; a recurrent model need not know.
        """
        hidden, cache = self.hidden(tokens, carry=cache)
        return self.attend(hidden[:, -1]), cache

    @nn.nowrap
    def _names(self) -> list[str]:
        return [f"layer{i + 1}" for i in range(self.depth)]

    def _embed(self, tokens: Int[Array, "t b"]) -> Float[Array, "t b d"]:
        if self.embedding:
            return self.tokens(tokens)
        return jax.nn.one_hot(tokens, self.vocab_size, dtype=self.dtype)


lstm = variant(RecurrentLM, "lstm", cell="lstm")
gru = variant(RecurrentLM, "gru", cell="gru")


def _run(step, state, gates, keep):
    """Runs a layer's step over time; `gates` (t, b, g) is what the inputs add to them.

    The products with the inputs are made for all steps at once, before the loop.
    """

    def body(state, inputs):
        gates, keep = inputs
        if keep is not None:
            state = jax.tree.map(lambda x: x * keep, state)
        state = step(state, gates)
        return state, state["h"]

    return jax.lax.scan(body, state, (gates, keep))


def _orthogonal_gates(key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Array:
    width, total = shape
    keys = jax.random.split(key, total // width)
    init = nn.initializers.orthogonal()
    return jnp.concatenate([init(k, (width, width), dtype) for k in keys], axis=-1)


def _forget_bias(key: PRNGKeyArray, shape: tuple[int], dtype: Any) -> Array:
    return jnp.zeros(4, dtype).at[1].set(1).repeat(shape[0] // 4)
