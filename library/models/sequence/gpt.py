"""Transformer language models: the decoder of GPT-2 (Radford et al. 2019), and later options.

GPT-2 has pre-norm blocks, learned positions and tied embeddings. With 50,257 tokens, a context of
1024 and 12 blocks of width 768, it has the published 124,439,808 params. GPT-2 uses the tanh
approximation of the GELU. nanoGPT's recipes use the exact GELU and no biases, `bias=False`. Llama
and similar models use rotary positions (Su et al. 2021) and grouped-query attention (Ainslie et
al. 2023, arXiv 2305.13245).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from library.config import ConfigError, check_choice
from library.layers import vocabulary_loss
from library.layers.attention import CAUSAL, causal_attention
from library.layers.checks import check_dtypes, check_heads, check_rates, check_sizes, divisors
from library.layers.intermediates import store
from library.layers.placement import constrain
from library.layers.remat import POLICIES, with_remat
from library.layers.rotary import rotate
from library.variants import variant

# Dimensions of the tokens between the halves of a block, for `constrain`.
PLACES = ("batch", "sequence", "width")
POSITIONS = ("learned", "rotary")
# Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2: "exact" is x times the normal distribution
# function, "tanh" an approximation of it.
GELU = ("tanh", "exact")
# Arguments that all sizes of GPT-2 share.
_GPT2 = dict(
    num_kv_heads=None,
    feed_forward=None,
    positions="learned",
    gelu="tanh",
    tied=True,
    bias=True,
    defaults=dict(vocab_size=50_257),
)


class CausalAttention(nn.Module):
    """Attention of each token to itself and to earlier tokens, with a cache for decoding.

    The submodule "query" has a kernel (d, heads, d/heads), "key" and "value" have kernels (d, key
    heads, d/heads), and "out" has (heads, d/heads, d). Each key head serves num_heads /
    num_kv_heads consecutive query heads.
    """

    num_heads: int
    num_kv_heads: int
    rotary: bool
    implementation: str
    bias: bool
    residual_std: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        positions: Int[Array, "#b t"],
        mask: Bool[Array, "#b #h t l"] | None,
        cache: dict[str, Float[Array, "b l k e"]] | None,
        start: Int[Array, "..."] | None,
    ) -> tuple[Float[Array, "b t d"], dict[str, Float[Array, "b l k e"]] | None]:
        """Returns new features of the tokens, and the cache with their keys and values added."""
        features, init = x.shape[-1], nn.initializers.normal
        common = dict(use_bias=self.bias, dtype=self.dtype, param_dtype=self.param_dtype)

        def split(heads, name):
            shape = (heads, features // self.num_heads)
            return nn.DenseGeneral(shape, kernel_init=init(0.02), name=name, **common)(x)

        query, key = split(self.num_heads, "query"), split(self.num_kv_heads, "key")
        value = split(self.num_kv_heads, "value")
        if self.rotary:
            query, key = rotate(query, positions), rotate(key, positions)
        if cache is None:
            by = dict(implementation=self.implementation)
            y = causal_attention(query, key, value, mask, **by)
        else:
            cache = {"key": _write(cache["key"], key, start)} | {
                "value": _write(cache["value"], value, start)
            }
            key, value = (cache[name].astype(self.dtype) for name in ("key", "value"))
            y = jax.nn.dot_product_attention(query, key, value, mask=mask)
        init = init(self.residual_std)
        y = nn.DenseGeneral(features, axis=(-2, -1), kernel_init=init, name="out", **common)(y)
        return y, cache


class Block(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    num_heads: int
    num_kv_heads: int
    feed_forward: int
    rotary: bool
    attention: str
    gelu: str
    dropout: float
    bias: bool
    residual_std: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        positions: Int[Array, "#b t"],
        mask: Bool[Array, "#b #h t l"] | None,
        cache: dict[str, Float[Array, "b l k e"]] | None,
        start: Int[Array, "..."] | None,
        train: bool,
    ) -> tuple[Float[Array, "b t d"], dict[str, Float[Array, "b l k e"]] | None]:
        """Returns tokens of the input's shape, and the updated cache, if there is one."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        common = dict(use_bias=self.bias, **types)
        normal = nn.initializers.normal
        y = nn.LayerNorm(epsilon=1e-5, name="norm1", **common)(x)
        attention = CausalAttention(
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            rotary=self.rotary,
            implementation=self.attention,
            bias=self.bias,
            residual_std=self.residual_std,
            name="attention",
            **types,
        )
        y, cache = attention(y, positions, mask, cache, start)
        x = x + nn.Dropout(self.dropout, deterministic=not train, name="dropout1")(y)
        x = constrain(x, *PLACES)
        y = nn.LayerNorm(epsilon=1e-5, name="norm2", **common)(x)
        y = nn.Dense(self.feed_forward, kernel_init=normal(0.02), name="fc1", **common)(y)
        y = nn.gelu(y, approximate=self.gelu == "tanh")
        init = normal(self.residual_std)
        y = nn.Dense(x.shape[-1], kernel_init=init, name="fc2", **common)(y)
        y = nn.Dropout(self.dropout, deterministic=not train, name="dropout2")(y)
        return constrain(x + y, *PLACES), cache


class GPT(nn.Module):
    """A GPT: token and position embeddings, blocks, a last LayerNorm, and the output layer.

    Submodules are "tokens", "positions" (if learned), "block1", "block2", ... (or "blocks", whose
    params have a leading axis of the depth), "norm", and, if not tied, "head", whose embedding
    (v, d) is the output layer. Stores "features" (b, t, d), the input of the output layer.

    If documents are packed into a window, `segments` numbers them, and 0 marks padding. A token
    attends only to its own segment, and positions count from the start of the segment, so each
    document is computed as if it were alone.

    Attributes:
      vocab_size: size of the logits.
      context: maximum number of tokens.
      width: d, the size of a token.
      depth: number of blocks.
      num_heads: heads of each attention layer.
      num_kv_heads: heads of keys and values; num_heads / num_kv_heads query heads share each.
      feed_forward: width of the feed-forward layers.
      rotary: rotates queries and keys by their positions, instead of learned embeddings.
      attention: implementation of attention in training, "xla" or "cudnn", see `layers.attention`.
        Decoding with a cache always uses XLA.
      gelu: "tanh" or "exact", see GELU.
      dropout: rate after the embeddings and at the end of each half of a block.
      tied: uses the embeddings of the tokens as the output layer.
      bias: adds biases to dense layers and normalization.
      scan_layers: runs the blocks as one loop, which XLA compiles once for all blocks.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; logits are summed in float32.
      param_dtype: type of the params.
    """

    vocab_size: int
    context: int
    width: int
    depth: int
    num_heads: int
    num_kv_heads: int
    feed_forward: int
    rotary: bool = False
    attention: str = "xla"
    gelu: str = "tanh"
    dropout: float = 0.0
    tied: bool = True
    bias: bool = True
    scan_layers: bool = False
    remat: bool | str = "none"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        """Makes the submodules, which have the names of the attributes."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        embed = dict(embedding_init=nn.initializers.normal(0.02), **types)
        self.tokens = nn.Embed(self.vocab_size, self.width, **embed)
        if not self.rotary:
            self.positions = nn.Embed(self.context, self.width, **embed)
        self.embedding_dropout = nn.Dropout(self.dropout)
        for name in self._block_names():
            block = Block(
                num_heads=self.num_heads,
                num_kv_heads=self.num_kv_heads,
                feed_forward=self.feed_forward,
                rotary=self.rotary,
                attention=self.attention,
                gelu=self.gelu,
                dropout=self.dropout,
                bias=self.bias,
                # The residual stream is a sum over 2 * depth halves of blocks (section 2.3).
                residual_std=0.02 / (2 * self.depth) ** 0.5,
                **types,
            )
            setattr(self, name, block)
        self.norm = nn.LayerNorm(epsilon=1e-5, use_bias=self.bias, **types)
        if not self.tied:
            self.head = nn.Embed(self.vocab_size, self.width, **embed)

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        *,
        segments: Int[Array, "b t"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b t v"]:
        """Returns, for each token, the logits of the next token, float32; see `hidden`."""
        return self.attend(self.hidden(tokens, segments=segments, train=train))

    def hidden(
        self,
        tokens: Int[Array, "b t"],
        *,
        segments: Int[Array, "b t"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b t d"]:
        """Returns the features from which `attend` computes the logits.

        Raises:
          ValueError: there are more tokens than the context.
        """
        self._check_length(tokens.shape[1], "tokens")
        if segments is None:
            positions, mask = jnp.arange(tokens.shape[1])[None], None
        else:
            positions = _positions_within(segments)
            mask = segments[:, None, :, None] == segments[:, None, None, :]
        return self._network(tokens, positions, mask, None, None, train)[0]

    def attend(self, hidden: Float[Array, "*n d"]) -> Float[Array, "*n v"]:
        """Returns the logits of features, float32."""
        return vocabulary_loss.logits(hidden, *self.vocabulary())

    def vocabulary(self) -> tuple[Float[Array, "v d"], Float[Array, " v"] | None]:
        """Returns the weights of the output layer, one row for each token, and its bias or None."""
        return (self.tokens if self.tied else self.head).embedding, None

    @nn.nowrap
    def initial_cache(self, batch_size: int, length: int, dtype: Any = None) -> PyTree:
        """Returns an empty cache for the keys and values of `length` tokens in each row.

        Its type is `dtype`, by default that of the model.

        Raises:
          ValueError: `length` is more than the context.
        """
        self._check_length(length, "tokens to decode")
        shape = (batch_size, length, self.num_kv_heads, self.width // self.num_heads)
        if self.scan_layers:
            shape = (self.depth, *shape)
        zeros = jnp.zeros(shape, dtype or self.dtype)
        return {name: {"key": zeros, "value": zeros} for name in self._block_names()}

    def prefill(self, tokens: Int[Array, "b t"], cache: PyTree) -> PyTree:
        """Returns the cache with the keys and values of the tokens, the first tokens of each row.

        Rows of different lengths may be padded with any tokens: `step` first overwrites its
        position, and then attends only to tokens up to this position.
        """
        return self._extend(tokens, cache, jnp.zeros((), jnp.int32))[1]

    def step(
        self, tokens: Int[Array, "b 1"], cache: PyTree, position: Int[Array, "..."]
    ) -> tuple[Float[Array, "b v"], PyTree]:
        """Returns the logits of the next token, and the cache that includes the given token.

        Args:
          tokens: one token for each row.
          cache: cache of all earlier tokens.
          position: position of the token, from 0: one for all rows, (), or one for each row, (b,).
        """
        hidden, cache = self._extend(tokens, cache, position)
        return self.attend(hidden[:, -1]), cache

    @nn.nowrap
    def _block_names(self) -> list[str]:
        return ["blocks"] if self.scan_layers else [f"block{i + 1}" for i in range(self.depth)]

    @nn.nowrap
    def _check_length(self, length: int, what: str) -> None:
        if length > self.context:
            raise ValueError(f"{length} {what} exceed the context of the model, {self.context}")

    def _extend(
        self, tokens: Int[Array, "b t"], cache: PyTree, start: Int[Array, "..."]
    ) -> tuple[Float[Array, "b t d"], PyTree]:
        length = jax.tree.leaves(cache)[0].shape[-3]
        positions = jnp.atleast_1d(start)[:, None] + jnp.arange(tokens.shape[1])[None]
        mask = jnp.arange(length)[None, None, None] <= positions[:, None, :, None]
        return self._network(tokens, positions, mask, cache, start, False)

    def _network(self, tokens, positions, mask, cache, start, train):
        x = self.tokens(tokens)
        if not self.rotary:
            x = x + self.positions(positions)
        x = self.embedding_dropout(x, deterministic=not train)

        def run(block: Block, x: Array, cache: PyTree) -> tuple[Array, PyTree]:
            return block(x, positions, mask, cache, start, train)

        if cache is None:
            # Inside a loop, XLA cannot merge the recomputation with the forward pass.
            run = with_remat(run, self.remat, prevent_cse=not self.scan_layers)
        if self.scan_layers:
            axes = dict(variable_axes={"params": 0}, split_rngs={"params": True, "dropout": True})
            run = nn.scan(run, length=self.depth, **axes)
        caches = {}
        for name in self._block_names():
            x, caches[name] = run(getattr(self, name), x, cache and cache[name])
        x = self.norm(x)
        store(self, "features", x)
        return x, caches


def gpt(
    vocab_size: int,
    context: int = 1024,
    width: int = 768,
    depth: int = 12,
    num_heads: int = 12,
    num_kv_heads: int | None = None,
    feed_forward: int | None = None,
    positions: str = "learned",
    attention: str = "xla",
    gelu: str = "tanh",
    dropout: float = 0.0,
    tied: bool = True,
    bias: bool = True,
    scan_layers: bool = False,
    remat: bool | str = "none",
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> GPT:
    """Builds a GPT of any size, by default the smallest GPT-2. For the arguments see the class.

    `num_kv_heads` is by default `num_heads`, and `feed_forward` four times the width. `positions`
    is "learned" or "rotary". `attention` is "xla" or, in 16 bits on NVIDIA GPUs, "cudnn". `gelu` is
    "tanh", as in GPT-2, or "exact".

    Raises:
      ConfigError: positions, attention, GELU, remat or dtype are unknown; the width is not a
        multiple of the heads, or a head has an odd number of features for rotary positions; cuDNN
        does not support the heads or the dtype; `num_kv_heads` does not divide `num_heads`; a rate
        is outside [0, 1); a size is below 1.
    """
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    feed_forward = 4 * width if feed_forward is None else feed_forward
    check_sizes(vocab_size=vocab_size, context=context, width=width, depth=depth)
    check_sizes(num_heads=num_heads, num_kv_heads=kv_heads, feed_forward=feed_forward)
    check_choice("positions", positions, POSITIONS)
    check_choice("attention", attention, CAUSAL)
    check_choice("gelu", gelu, GELU)
    check_choice("remat", remat, (True, False, *POLICIES))
    check_rates(dropout=dropout)
    check_dtypes(dtype, param_dtype)
    _check_heads(width, num_heads, kv_heads, positions)
    if attention == "cudnn":
        _check_cudnn(width // num_heads, dtype)
    return GPT(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        num_heads=num_heads,
        num_kv_heads=kv_heads,
        feed_forward=feed_forward,
        rotary=positions == "rotary",
        attention=attention,
        gelu=gelu,
        dropout=dropout,
        tied=tied,
        bias=bias,
        scan_layers=scan_layers,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )


def _check_heads(width: int, num_heads: int, kv_heads: int, positions: str) -> None:
    """Raises ConfigError if width, heads and positions do not fit each other."""
    check_heads(width=width, num_heads=num_heads)
    if num_heads % kv_heads:
        valid = ", ".join(map(str, divisors(num_heads)))
        raise ConfigError(
            f"num_kv_heads={kv_heads} does not divide num_heads={num_heads}; valid: {valid}"
        )
    if positions == "rotary" and width // num_heads % 2:
        raise ConfigError(
            f"width={width} gives num_heads={num_heads} heads of {width // num_heads} features "
            f"each: rotary positions need an even number; nearest: width={width + num_heads}"
        )


def _check_cudnn(features: int, dtype: str) -> None:
    """Raises ConfigError if cuDNN has no kernel for the heads or the type on any GPU."""
    if jnp.dtype(dtype).itemsize != 2:
        raise ConfigError(
            f"attention='cudnn' computes in 16 bits, not in dtype={dtype}; nearest: bfloat16"
        )
    if features % 8 or features > 256:
        nearest = min(256, max(8, round(features / 8) * 8))
        raise ConfigError(
            f"attention='cudnn' has no heads of {features} features (width / num_heads): valid are "
            f"multiples of 8 up to 256; nearest: {nearest}"
        )


# Radford et al. 2019, table 2, with heads of 64 features.
gpt2 = variant(gpt, "gpt2", width=768, depth=12, num_heads=12, **_GPT2)
gpt2_medium = variant(gpt, "gpt2_medium", width=1024, depth=24, num_heads=16, **_GPT2)
gpt2_large = variant(gpt, "gpt2_large", width=1280, depth=36, num_heads=20, **_GPT2)
gpt2_xl = variant(gpt, "gpt2_xl", width=1600, depth=48, num_heads=25, **_GPT2)


def _write(held, new, start):
    new = new.astype(held.dtype)
    if jnp.ndim(start) == 0:
        return jax.lax.dynamic_update_slice_in_dim(held, new, start, axis=1)
    return jax.vmap(lambda h, n, s: jax.lax.dynamic_update_slice_in_dim(h, n, s, 0))(
        held, new, start
    )


def _positions_within(segments):
    """Returns the positions (b, t) of tokens in their segment, a sequence of equal numbers."""
    index = jnp.arange(segments.shape[1])[None]
    starts = jnp.pad(segments[:, 1:] != segments[:, :-1], ((0, 0), (1, 0)))
    return index - jax.lax.cummax(jnp.where(starts, index, 0), axis=1)
