"""Recurrent language models: LSTM and GRU, as in char-rnn.

The layers are those of `library.layers.recurrence`. The defaults are those of char-rnn: two layers
of 128 units on one-hot characters (Karpathy 2015, "The unreasonable effectiveness of recurrent
neural networks"). `library.tasks.language` trains them by truncated back-propagation through time
if the order of the data is "streams": a batch continues the one before it and takes its last state.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from library.layers import vocabulary_loss
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import LAYERS, Weights, zero_state
from library.variants import variant


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
        return {name: zero_state(self.cell, batch_size, self.width) for name in self._names()}

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
