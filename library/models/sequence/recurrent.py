"""Recurrent language models: LSTM and GRU, as in char-rnn.

The LSTM is from Hochreiter & Schmidhuber 1997, "Long short-term memory", with the forget gate of
Gers, Schmidhuber & Cummins 2000, whose bias starts at 1. The GRU is from Cho et al. 2014, "Learning
phrase representations using RNN encoder-decoder", section 2.3. The defaults are those of char-rnn:
two layers of 128 units on one-hot characters (Karpathy 2015, "The unreasonable effectiveness of
recurrent neural networks").
"""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library.layers import vocabulary_loss
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.variants import variant

State = dict[str, Float[Array, "b w"]]


class Weights(nn.Module):
    """The weights of a dense layer, a kernel and maybe a bias, without the product."""

    shape: tuple[int, int]
    num_bias: int
    kernel_init: Callable
    param_dtype: Any

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "i o"], Float[Array, " n"] | None]:
        """Returns the kernel and the bias, which is None if `num_bias` is 0."""
        kernel = self.param("kernel", self.kernel_init, self.shape, self.param_dtype)
        if not self.num_bias:
            return kernel, None
        zeros = nn.initializers.zeros
        return kernel, self.param("bias", zeros, (self.num_bias,), self.param_dtype)


class LSTMLayer(nn.Module):
    """A layer of long short-term memory.

        i, f, o = sigmoid(W x + b + U h),  g = tanh(W x + b + U h)
        c' = f c + i g,  h' = o tanh(c')

    Submodules are "input" with W (d, 4 w) and b, and "recurrent" with U (w, 4 w). The order of the
    gates is i, f, g, o. The U of each gate starts orthogonal, and the bias of f starts at 1. The
    state has "c" and "h", each (b, w), float32.
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
    """A recurrent language model: recurrent layers on the tokens, and the logits of the next token.

    Submodules are "tokens", embeddings (v, e), unless tokens are one-hot; "layer1", "layer2", ...;
    and "head" with kernel (d, v) and bias. Dropout applies to the outputs that a layer passes to
    the next layer or to the head, not to the state that it passes to the next token (Zaremba,
    Sutskever & Vinyals 2014). Stores "features" (b, t, d), the input of the head.

    A carry, or cache, is the state of every layer, `{"layer1": {"h": (b, d), ...}, ...}`, float32.

    An LSTM has 239,297 params on the 65 characters of Tiny Shakespeare.

    Attributes:
      vocab_size: number of tokens of the vocabulary.
      width: units of each layer.
      depth: number of layers.
      embedding: size of a token's embedding; by default tokens are one-hot.
      dropout: dropout rate on the output of each layer.
      dtype: type of the products; gates, states and logits are float32.
      param_dtype: type of the params.
      cell: "lstm" or "gru".

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
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
        """Returns, for each token, the logits of the next, float32. The state starts at zero."""
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
        """Returns the features from which `attend` computes logits, and the carry after all tokens.

        Args:
          tokens: tokens of each row, which continue the carry.
          carry: state before the first token, by default zero.
          reset: True for rows whose carry is set to zero.
          segments: numbers of the documents. Where the number changes within a row, the state is
            set to zero. The first token of a row belongs to the document of the carry.
          train: whether to apply dropout, from the rng stream "dropout".
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
        store(self, "features", x)
        return x, moved

    def attend(self, hidden: Float[Array, "*n d"]) -> Float[Array, "*n v"]:
        """Returns the logits of features, float32."""
        return vocabulary_loss.logits(hidden.astype(self.dtype), *self.vocabulary())

    def vocabulary(self) -> tuple[Float[Array, "v d"], Float[Array, " v"]]:
        """Returns the weights of the output layer, one row for each token, and its bias."""
        kernel, bias = self.head()
        return kernel.T, bias

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> PyTree:
        """Returns the carry before the first token: zero."""
        parts, shape = LAYERS[self.cell].state_names, (batch_size, self.width)
        # Separate arrays: JAX cannot donate one array under several names.
        return {name: {part: jnp.zeros(shape) for part in parts} for name in self._names()}

    @nn.nowrap
    def initial_cache(self, batch_size: int, length: int, dtype: Any = None) -> PyTree:
        """Returns the initial carry. Its size and type do not depend on `length` and `dtype`."""
        return self.initial_carry(batch_size)

    def step(
        self, tokens: Int[Array, "b 1"], cache: PyTree, position: Int[Array, "..."]
    ) -> tuple[Float[Array, "b v"], PyTree]:
        """Returns the logits of the next token, and the cache after the given token.

        Args:
          tokens: one token for each row.
          cache: carry after the token before it.
          position: position of the token; ignored, as a recurrent model does not need it.
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
    """Runs a layer's step over time. `gates` (t, b, g) is the contribution of the inputs.

    The caller computes the products with the inputs for all steps at once, before the loop.
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
