"""BERT: an encoder of texts that sees both sides of each token.

Devlin, Chang, Lee & Toutanova 2019, "BERT: Pre-training of deep bidirectional transformers for
language understanding" (arXiv 1810.04805): the encoder of the Transformer, normalized after each
half of a block, with learned positions, the exact GELU, and an embedding for each of two texts. It
learns by filling in hidden tokens, and by telling whether a text follows another. The smaller sizes
are from Turc, Chang, Lee & Toutanova 2019, "Well-read students learn better" (arXiv 1908.08962).
MiniLM (Wang et al. 2020, arXiv 2002.10957) is the same network, distilled from a larger one;
Sentence-BERT (Reimers & Gurevych 2019, arXiv 1908.10084) takes the mean over its tokens.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import check_choice
from library.layers import vocabulary_loss
from library.layers.checks import check_dtypes, check_heads, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.series import mean_step
from library.variants import variant

EPSILON = 1e-12
POOLINGS = ("first", "mean")
_normal = nn.initializers.normal(0.02)


class SelfAttention(nn.Module):
    """Attention of each token to all tokens that are there, with dropout of its weights.

    The submodules "query", "key" and "value" have kernels (d, heads, d/heads), and "out" has
    (heads, d/heads, d).
    """

    num_heads: int
    dropout: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], mask: Float[Array, "b t"], train: bool
    ) -> Float[Array, "b t d"]:
        """Returns, for each token, a weighted sum over the tokens whose mask is 1."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype, kernel_init=_normal)
        split = (self.num_heads, x.shape[-1] // self.num_heads)
        query, key, value = (
            nn.DenseGeneral(split, name=name, **types)(x) for name in ("query", "key", "value")
        )
        scores = jnp.einsum("bqhe,bkhe->bhqk", query / split[1] ** 0.5, key).astype(jnp.float32)
        # A finite number, because a padding example has no token to attend to.
        scores = jnp.where(mask[:, None, None] > 0, scores, -1e30)
        weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
        weights = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(weights)
        y = jnp.einsum("bhqk,bkhe->bqhe", weights, value)
        return nn.DenseGeneral(x.shape[-1], axis=(-2, -1), name="out", **types)(y)


class Block(nn.Module):
    """A block: norm(x + attention(x)), then norm(x + feed-forward(x)).

    Submodules are "attention", "norm1", "fc1", "fc2" and "norm2".
    """

    num_heads: int
    feed_forward: int
    dropout: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], mask: Float[Array, "b t"], train: bool
    ) -> Float[Array, "b t d"]:
        """Returns new features of the tokens."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        by = (self.num_heads, self.dropout, self.dtype, self.param_dtype)
        y = SelfAttention(*by, name="attention")(x, mask, train)
        y = nn.Dropout(self.dropout, deterministic=not train, name="dropout1")(y)
        x = nn.LayerNorm(epsilon=EPSILON, name="norm1", **types)(x + y)
        y = nn.Dense(self.feed_forward, kernel_init=_normal, name="fc1", **types)(x)
        y = nn.gelu(y, approximate=False)
        y = nn.Dense(x.shape[-1], kernel_init=_normal, name="fc2", **types)(y)
        y = nn.Dropout(self.dropout, deterministic=not train, name="dropout2")(y)
        return nn.LayerNorm(epsilon=EPSILON, name="norm2", **types)(x + y)


class Encoder(nn.Module):
    """The embeddings and the blocks.

    Submodules are "tokens", "positions", "types", "norm", "block1", "block2", ... Padding changes
    nothing.

    Attributes:
      vocab_size: number of tokens.
      context: the most tokens of an input.
      width: d, the size of a token.
      depth: number of blocks.
      num_heads: heads of each attention layer.
      feed_forward: width of the feed-forward layers.
      num_types: number of texts of an input.
      dropout: rate after the embeddings, of attention weights, and at the end of each half.
      dtype: type of the computation.
      param_dtype: type of the params.
    """

    vocab_size: int
    context: int
    width: int
    depth: int
    num_heads: int
    feed_forward: int
    num_types: int
    dropout: float
    dtype: Any
    param_dtype: Any

    def setup(self):
        """Makes the submodules, which have the names of the attributes."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        embed = dict(embedding_init=_normal, **types)
        self.tokens = nn.Embed(self.vocab_size, self.width, **embed)
        self.positions = nn.Embed(self.context, self.width, **embed)
        self.types = nn.Embed(self.num_types, self.width, **embed)
        self.norm = nn.LayerNorm(epsilon=EPSILON, **types)
        self.drop = nn.Dropout(self.dropout)
        by = (self.num_heads, self.feed_forward, self.dropout, self.dtype, self.param_dtype)
        for number in range(1, self.depth + 1):
            setattr(self, f"block{number}", Block(*by))

    def __call__(
        self,
        text: Int[Array, "b t"],
        mask: Float[Array, "b t"],
        types: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b t d"]:
        """Returns features of the tokens.

        Raises:
          ValueError: there are more tokens than the context.
        """
        length = text.shape[1]
        if length > self.context:
            raise ValueError(f"{length} tokens exceed the context of the model, {self.context}")
        x = self.tokens(text) + self.positions(jnp.arange(length)) + self.types(types)
        x = self.drop(self.norm(x), deterministic=not train)
        for number in range(1, self.depth + 1):
            x = getattr(self, f"block{number}")(x, mask, train)
        return x

    def table(self) -> Float[Array, "v d"]:
        """Returns the embeddings of the tokens."""
        return self.tokens.embedding


class BERT(nn.Module):
    """BERT in pre-training: the encoder, and what fills in tokens and compares two texts.

    Submodules are "encoder"; "pooler", a dense layer with tanh on the first token, and
    "next_sentence" on it; and "transform" and "transform_norm", whose features times the embeddings
    plus the param "bias" (v,) are the logits of hidden tokens. Stores "features" (b, d), what the
    pooler makes.

    Attributes: see `Encoder`.

    Raises:
      ConfigError: a size is below 1, the heads do not divide the width, a rate is outside [0, 1),
        or a dtype is unknown.
    """

    vocab_size: int
    context: int = 512
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    feed_forward: int = 3072
    num_types: int = 2
    dropout: float = 0.1
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        _check(self)
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        self.encoder = _encoder(self)
        self.pooler = nn.Dense(self.width, kernel_init=_normal, **types)
        self.next_sentence = nn.Dense(2, kernel_init=_normal, **types)
        self.transform = nn.Dense(self.width, kernel_init=_normal, **types)
        self.transform_norm = nn.LayerNorm(epsilon=EPSILON, **types)
        self.bias = self.param("bias", nn.initializers.zeros, (self.vocab_size,), self.param_dtype)

    def __call__(
        self,
        text: Int[Array, "b t"],
        mask: Float[Array, "b t"],
        types: Int[Array, "b t"],
        train: bool = False,
    ) -> tuple[Float[Array, "b t v"], Float[Array, "b 2"]]:
        """Returns the logits of every token, and those of whether the second text follows."""
        hidden = self.hidden(text, mask, types, train)
        return self.attend(hidden), self.follows(hidden)

    def hidden(
        self,
        text: Int[Array, "b t"],
        mask: Float[Array, "b t"],
        types: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b t d"]:
        """Returns features of the tokens.

        Args:
          text: tokens, which begin with that of the whole input.
          mask: 1 for a token and 0 for padding.
          types: 0 for tokens of the first text, and 1 for those of the second.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        return self.encoder(text, mask, types, train)

    def attend(self, hidden: Float[Array, "*n d"]) -> Float[Array, "*n v"]:
        """Returns the logits of tokens, float32."""
        x = nn.gelu(self.transform(hidden), approximate=False)
        return vocabulary_loss.logits(self.transform_norm(x), self.encoder.table(), self.bias)

    def follows(self, hidden: Float[Array, "b t d"]) -> Float[Array, "b 2"]:
        """Returns logits of whether the second text follows the first: no, yes; float32."""
        x = jnp.tanh(self.pooler(hidden[:, 0]))
        store(self, "features", x)
        return self.next_sentence(x).astype(jnp.float32)


class TextClassifier(nn.Module):
    """A classifier of texts: the encoder, one vector for each text, dropout, and a dense layer.

    Submodules are "encoder", "head" and, with pooling="first", "pooler". `init_from` takes the
    first and the last from a run of `BERT`. Stores "features" (b, d), the input of the head.

    Attributes: as in `Encoder`, and
      num_classes: size of the answers.
      pooling: "first" for the dense layer with tanh on the first token, of Devlin et al.; "mean"
        for the mean over the tokens.

    Raises:
      ConfigError: as in `BERT`; or the pooling is unknown.
    """

    num_classes: int
    vocab_size: int
    context: int = 512
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    feed_forward: int = 3072
    num_types: int = 2
    dropout: float = 0.1
    pooling: str = "first"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_choice("pooling", self.pooling, POOLINGS)
        check_sizes(num_classes=self.num_classes)
        _check(self)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        text: Int[Array, "b t"],
        mask: Float[Array, "b t"],
        types: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b k"]:
        """Returns logits, float32; for the arguments see `BERT.hidden`."""
        hidden = _encoder(self, name="encoder")(text, mask, types, train)
        if self.pooling == "mean":
            x = mean_step(hidden, mask)
        else:
            types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            pooler = nn.Dense(self.width, kernel_init=_normal, name="pooler", **types)
            x = jnp.tanh(pooler(hidden[:, 0]))
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        by = dict(kernel_init=_normal, param_dtype=self.param_dtype)
        return linear_head(x, self.num_classes, **by)


class SentenceEncoder(nn.Module):
    """A vector of length 1 for each text: the mean over the encoder's tokens, scaled.

    The submodule is "encoder". Stores "features" (b, d), the vectors.

    Attributes: see `Encoder`.

    Raises:
      ConfigError: as in `BERT`.
    """

    vocab_size: int
    context: int = 512
    width: int = 384
    depth: int = 6
    num_heads: int = 12
    feed_forward: int = 1536
    num_types: int = 2
    dropout: float = 0.1
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        _check(self)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        text: Int[Array, "b t"],
        mask: Float[Array, "b t"],
        types: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b d"]:
        """Returns the vectors, float32; for the arguments see `BERT.hidden`."""
        hidden = _encoder(self, name="encoder")(text, mask, types, train)
        x = mean_step(hidden.astype(jnp.float32), mask)
        x = x / jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), EPSILON))
        store(self, "features", x)
        return x


def _encoder(model: nn.Module, name: str | None = None) -> Encoder:
    """Returns the encoder with the attributes of a model."""
    shared = {field: getattr(model, field) for field in _FIELDS}
    return Encoder(**shared, **({} if name is None else {"name": name}))


def _check(model: nn.Module) -> None:
    sizes = {field: getattr(model, field) for field in _FIELDS if field not in _OTHERS}
    check_sizes(**sizes)
    check_heads(width=model.width, num_heads=model.num_heads)
    check_rates(dropout=model.dropout)
    check_dtypes(model.dtype, model.param_dtype)


_OTHERS = ("dropout", "dtype", "param_dtype")
_FIELDS = (
    *("vocab_size", "context", "width", "depth", "num_heads", "feed_forward", "num_types"),
    *_OTHERS,
)
# Devlin et al. 2019, section 3, and Turc et al. 2019, table 1.
_SIZES = {
    "tiny": dict(width=128, depth=2, num_heads=2, feed_forward=512),
    "mini": dict(width=256, depth=4, num_heads=4, feed_forward=1024),
    "small": dict(width=512, depth=4, num_heads=8, feed_forward=2048),
    "medium": dict(width=512, depth=8, num_heads=8, feed_forward=2048),
    "base": dict(width=768, depth=12, num_heads=12, feed_forward=3072),
    "large": dict(width=1024, depth=24, num_heads=16, feed_forward=4096),
}
bert = variant(BERT, "bert")
bert_tiny = variant(BERT, "bert_tiny", **_SIZES["tiny"])
bert_mini = variant(BERT, "bert_mini", **_SIZES["mini"])
bert_small = variant(BERT, "bert_small", **_SIZES["small"])
bert_medium = variant(BERT, "bert_medium", **_SIZES["medium"])
bert_base = variant(BERT, "bert_base", **_SIZES["base"])
bert_large = variant(BERT, "bert_large", **_SIZES["large"])
classifier = variant(TextClassifier, "classifier")
classifier_tiny = variant(TextClassifier, "classifier_tiny", **_SIZES["tiny"])
classifier_mini = variant(TextClassifier, "classifier_mini", **_SIZES["mini"])
classifier_small = variant(TextClassifier, "classifier_small", **_SIZES["small"])
classifier_medium = variant(TextClassifier, "classifier_medium", **_SIZES["medium"])
classifier_base = variant(TextClassifier, "classifier_base", **_SIZES["base"])
classifier_large = variant(TextClassifier, "classifier_large", **_SIZES["large"])
sentence_encoder = variant(SentenceEncoder, "sentence_encoder")
# Wang et al. 2020, table 2; the vectors are those of Reimers & Gurevych's models of these sizes.
minilm_l6 = variant(
    SentenceEncoder, "minilm_l6", width=384, depth=6, num_heads=12, feed_forward=1536
)
minilm_l12 = variant(
    SentenceEncoder, "minilm_l12", width=384, depth=12, num_heads=12, feed_forward=1536
)
