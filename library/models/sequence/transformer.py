"""The Transformer that translates: an encoder, and a decoder that attends to it.

Vaswani et al. 2017, "Attention is all you need" (arXiv 1706.03762): blocks with normalization after
each half, sinusoidal positions, and one matrix for the embeddings of both languages and the output
layer. Pre-norm blocks (Xiong et al. 2020, arXiv 2002.04745) normalize before each half, and once at
the end.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from library.config import check_choice
from library.layers import vocabulary_loss
from library.layers.checks import check_dtypes, check_heads, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.positions import sinusoidal
from library.variants import variant

NORMS = ("post", "pre")
Keys = tuple[Float[Array, "b l h e"], Float[Array, "b l h e"]]
SourceKeys = tuple[Float[Array, "b s h e"], Float[Array, "b s h e"]]


class Attention(nn.Module):
    """Attention of tokens to keys and values, without biases.

    The submodules "query", "key" and "value" have kernels (d, heads, d/heads), and "out" has
    (heads, d/heads, d).
    """

    width: int
    num_heads: int
    dtype: Any
    param_dtype: Any

    def setup(self):
        """Makes the submodules."""
        common = dict(
            use_bias=False,
            kernel_init=nn.initializers.xavier_uniform(),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        split = (self.num_heads, self.width // self.num_heads)
        self.query = nn.DenseGeneral(split, **common)
        self.key = nn.DenseGeneral(split, **common)
        self.value = nn.DenseGeneral(split, **common)
        self.out = nn.DenseGeneral(self.width, axis=(-2, -1), **common)

    def keys(self, x: Float[Array, "b l d"]) -> Keys:
        """Returns the keys and the values of tokens."""
        return self.key(x), self.value(x)

    def __call__(
        self, x: Float[Array, "b t d"], held: Keys, allowed: Bool[Array, "#b #t l"]
    ) -> tuple[Float[Array, "b t d"], Float[Array, "b t l"]]:
        """Returns what the tokens attend to, and the weights, a mean over the heads."""
        key, value = held
        query = self.query(x) / math.sqrt(key.shape[-1])
        scores = jnp.einsum("bthe,blhe->bhtl", query, key).astype(jnp.float32)
        # A finite number, because a padding example has no token to attend to.
        scores = jnp.where(allowed[:, None], scores, -1e30)
        weights = jnp.where(allowed[:, None], jax.nn.softmax(scores, axis=-1), 0)
        y = jnp.einsum("bhtl,blhe->bthe", weights.astype(value.dtype), value)
        return self.out(y), jnp.mean(weights, axis=1)


class Block(nn.Module):
    """A block of the encoder or, with `cross`, of the decoder: attention and a ReLU network.

    Submodules are "attention" and "norm1"; of the decoder "cross_attention" and "cross_norm"; and
    "fc1", "fc2" and "norm2".
    """

    width: int
    num_heads: int
    feed_forward: int
    cross: bool
    norm: str
    dropout: float
    dtype: Any
    param_dtype: Any

    def setup(self):
        """Makes the submodules."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        self.attention = Attention(self.width, self.num_heads, **types)
        self.norm1 = nn.LayerNorm(epsilon=1e-6, **types)
        if self.cross:
            self.cross_attention = Attention(self.width, self.num_heads, **types)
            self.cross_norm = nn.LayerNorm(epsilon=1e-6, **types)
        init = nn.initializers.xavier_uniform()
        self.fc1 = nn.Dense(self.feed_forward, kernel_init=init, **types)
        self.fc2 = nn.Dense(self.width, kernel_init=init, **types)
        self.norm2 = nn.LayerNorm(epsilon=1e-6, **types)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        allowed: Bool[Array, "#b #t l"],
        memory: tuple[SourceKeys, Bool[Array, "b 1 s"]] | None,
        cache: tuple[Keys, Int[Array, ""]] | None,
        train: bool,
    ) -> tuple[Float[Array, "b t d"], Float[Array, "b t s"] | None, Keys]:
        """Returns new features, the attention to the source, and the keys that were attended to.

        Args:
          x: features of the tokens.
          allowed: the keys that each token attends to.
          memory: keys and values of the source, and which of them are there; None in the encoder.
          cache: keys and values of all positions, and the position of the token; None attends to
            the tokens themselves.
          train: whether to apply dropout.
        """
        held, seen = None, None

        def to_itself(y: Array) -> Array:
            nonlocal held
            held = self.attention.keys(y)
            if cache is not None:
                update = jax.lax.dynamic_update_slice_in_dim
                pairs = zip(cache[0], held)
                held = tuple(update(a, b.astype(a.dtype), cache[1], axis=1) for a, b in pairs)
            return self.attention(y, held, allowed)[0]

        def to_source(y: Array) -> Array:
            nonlocal seen
            y, seen = self.cross_attention(y, *memory)
            return y

        x = self._half(self.norm1, to_itself, x, train)
        if self.cross:
            x = self._half(self.cross_norm, to_source, x, train)
        x = self._half(self.norm2, lambda y: self.fc2(nn.relu(self.fc1(y))), x, train)
        return x, seen, held

    def keys(self, source: Float[Array, "b s d"]) -> SourceKeys:
        """Returns the keys and values of the source for the decoder's attention."""
        return self.cross_attention.keys(source)

    def _half(self, norm: nn.Module, function: Any, x: Array, train: bool) -> Array:
        y = function(norm(x) if self.norm == "pre" else x)
        y = x + self.drop(y, deterministic=not train)
        return y if self.norm == "pre" else norm(y)


class Transformer(nn.Module):
    """An encoder and a decoder of blocks, with the same embeddings for both languages.

    Submodules are "tokens", whose embeddings are the output layer, too, "encoder1", ...,
    "decoder1", ... and, with pre-norm blocks, "encoder_norm" and "decoder_norm". Padding changes
    nothing. Stores "features" (b, t, d), the input of the output layer.

    With 37,000 tokens, the base model has 63,045,632 params and the big one 214,171,648; the paper
    says 65 and 213 million. The tiny one has 2.6 million with 10,000 tokens.

    Attributes:
      vocab_size: number of tokens of both languages.
      width: d, the size of a token.
      depth: blocks of the encoder and of the decoder.
      num_heads: heads of each attention layer.
      feed_forward: width of the feed-forward layers.
      norm: "post" (Vaswani et al.) or "pre".
      dropout: rate after embeddings and at the end of each part of a block.
      dtype: type of the computation; logits and softmax are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a norm or a dtype is unknown, the heads do not divide the width, a rate is
        outside [0, 1), or a size is below 1.
    """

    vocab_size: int
    width: int = 512
    depth: int = 6
    num_heads: int = 8
    feed_forward: int = 2048
    norm: str = "post"
    dropout: float = 0.1
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size, width=self.width, depth=self.depth)
        check_sizes(num_heads=self.num_heads, feed_forward=self.feed_forward)
        check_heads(width=self.width, num_heads=self.num_heads)
        check_choice("norm", self.norm, NORMS)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = nn.initializers.normal(self.width**-0.5)
        self.tokens = nn.Embed(self.vocab_size, self.width, embedding_init=init, **types)
        for name in (*self._names("encoder"), *self._names("decoder")):
            block = Block(
                width=self.width,
                num_heads=self.num_heads,
                feed_forward=self.feed_forward,
                cross=name.startswith("decoder"),
                norm=self.norm,
                dropout=self.dropout,
                **types,
            )
            setattr(self, name, block)
        if self.norm == "pre":
            self.encoder_norm = nn.LayerNorm(epsilon=1e-6, **types)
            self.decoder_norm = nn.LayerNorm(epsilon=1e-6, **types)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        source: Int[Array, "b s"],
        source_mask: Float[Array, "b s"],
        target: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b t v"]:
        """Returns the logits of the token after each token of the target, float32."""
        return self.attend(self.hidden(source, source_mask, target, train=train)[0])

    def hidden(
        self,
        source: Int[Array, "b s"],
        source_mask: Float[Array, "b s"],
        target: Int[Array, "b t"],
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "b t d"], Float[Array, "b t s"]]:
        """Returns the features from which `attend` computes logits, and the attention.

        The attention is that of the last block to the source, a mean over its heads.

        Args:
          source: tokens of the source.
          source_mask: 1 for a token of the source and 0 for padding.
          target: the tokens that are given, from the one that begins an output.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        memory = self._memory(source, source_mask, train)
        places = jnp.arange(target.shape[1])
        x = self._embed(target, sinusoidal(target.shape[1], self.width), train)
        x, attention, _ = self._decode(x, places[:, None] >= places, memory, None, None, train)
        store(self, "features", x)
        return x, attention

    def attend(self, hidden: Float[Array, "*n d"]) -> Float[Array, "*n v"]:
        """Returns the logits of features, float32."""
        return vocabulary_loss.logits(hidden, self.tokens.embedding, None)

    def encode(
        self, source: Int[Array, "b s"], source_mask: Float[Array, "b s"], length: int
    ) -> tuple[PyTree, PyTree]:
        """Returns keys and values of the source, and an empty cache for `length` tokens."""
        shape = (len(source), length, self.num_heads, self.width // self.num_heads)
        names = self._names("decoder")
        cache = {
            name: (jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype)) for name in names
        }
        return self._memory(source, source_mask, False), cache

    def step(
        self, tokens: Int[Array, " b"], memory: PyTree, cache: PyTree, position: Int[Array, ""]
    ) -> tuple[Float[Array, "b v"], Float[Array, "b s"], PyTree]:
        """Returns the logits of the next token, the attention, and the cache with the given token.

        Args:
          tokens: the last token of each output.
          memory: the keys and values of the source.
          cache: keys and values of the tokens before it.
          position: position of the token in the output, from 0.
        """
        length = jax.tree.leaves(cache)[0].shape[1]
        place = jax.lax.dynamic_slice_in_dim(sinusoidal(length, self.width), position, 1)
        x = self._embed(tokens[:, None], place, False)
        allowed = jnp.arange(length)[None] <= position
        x, attention, cache = self._decode(x, allowed, memory, cache, position, False)
        return self.attend(x[:, 0]), attention[:, 0], cache

    @nn.nowrap
    def _names(self, part: str) -> list[str]:
        return [f"{part}{i + 1}" for i in range(self.depth)]

    def _embed(self, tokens: Int[Array, "b t"], places: Float[Array, "t d"], train: bool) -> Array:
        x = self.tokens(tokens) * math.sqrt(self.width) + places.astype(self.dtype)
        return self.drop(x, deterministic=not train)

    def _memory(self, source, source_mask, train) -> PyTree:
        """Returns what each block of the decoder attends to."""
        x = self._embed(source, sinusoidal(source.shape[1], self.width), train)
        there = source_mask[:, None] > 0
        for name in self._names("encoder"):
            x, _, _ = getattr(self, name)(x, there, None, None, train)
        x = self.encoder_norm(x) if self.norm == "pre" else x
        return {"there": there} | {n: getattr(self, n).keys(x) for n in self._names("decoder")}

    def _decode(self, x, allowed, memory, cache, position, train) -> tuple[Array, Array, PyTree]:
        found, attention = {}, None
        for name in self._names("decoder"):
            held = None if cache is None else (cache[name], position)
            source = (memory[name], memory["there"])
            x, attention, found[name] = getattr(self, name)(x, allowed[None], source, held, train)
        return self.decoder_norm(x) if self.norm == "pre" else x, attention, found


transformer = variant(Transformer, "transformer")
# Vaswani et al. 2017, table 3.
base = variant(Transformer, "base", width=512, depth=6, num_heads=8, feed_forward=2048)
big = variant(
    Transformer,
    "big",
    width=1024,
    depth=6,
    num_heads=16,
    feed_forward=4096,
    defaults=dict(dropout=0.3),
)
# Wu, Kong, Bi, Li & Wong 2021, "Good for misconceived reasons" (arXiv 2105.14462), for Multi30k.
tiny = variant(
    Transformer,
    "tiny",
    width=128,
    depth=4,
    num_heads=4,
    feed_forward=256,
    defaults=dict(dropout=0.3),
)
