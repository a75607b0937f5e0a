"""The two halves of a Transformer block (Vaswani et al. 2017), and attention to the past only."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from library.config import ConfigError

# How attention to the past is computed: by XLA in parts, or by cuDNN's kernels for NVIDIA GPUs.
CAUSAL = ("xla", "cudnn")


class Attention(nn.Module):
    """Multi-head self-attention, softmax(Q K^T / sqrt(d/h)) V a head (section 3.2).

    Submodules "query", "key" and "value" have kernels (d, heads, d/heads), so a mesh can split
    them by head; "out" has (heads, d/heads, d).

    Raises:
      ValueError: the features cannot be divided among the heads.
    """

    num_heads: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], mask: Bool[Array, "#b #h #t t"] | None = None
    ) -> Float[Array, "b t d"]:
        """Returns each token's mix of all tokens, or of those where `mask` is True."""
        features = x.shape[-1]
        if features % self.num_heads:
            raise ValueError(f"{features} features cannot be divided among {self.num_heads} heads")
        common = dict(
            kernel_init=nn.initializers.xavier_uniform(),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        split = (self.num_heads, features // self.num_heads)
        query = nn.DenseGeneral(split, name="query", **common)(x)
        key = nn.DenseGeneral(split, name="key", **common)(x)
        value = nn.DenseGeneral(split, name="value", **common)(x)
        y = jax.nn.dot_product_attention(query, key, value, mask=mask)
        return nn.DenseGeneral(features, axis=(-2, -1), name="out", **common)(y)


class FeedForward(nn.Module):
    """Two dense layers on each token with an exact (erf) GELU between them."""

    hidden: int
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], train: bool = False) -> Float[Array, "b t d"]:
        """Returns tokens of the size they came in; dropout follows the GELU."""
        common = dict(
            kernel_init=nn.initializers.xavier_uniform(),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        features = x.shape[-1]
        x = nn.gelu(nn.Dense(self.hidden, name="fc1", **common)(x), approximate=False)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return nn.Dense(features, name="fc2", **common)(x)


def causal_attention(
    query: Float[Array, "b t h e"],
    key: Float[Array, "b t k e"],
    value: Float[Array, "b t k e"],
    mask: Bool[Array, "#b #h t t"] | None = None,
    parts: int = 4,
    implementation: str = "xla",
) -> Float[Array, "b t h e"]:
    """Returns softmax(Q K^T / sqrt(e)) V over each token and those before it.

    By XLA the queries are taken in parts one after another, each with the keys up to its end: of
    what is masked anyway, four parts leave out three quarters, and what they keep in between is
    small. cuDNN keeps nothing in between (Dao 2023, arXiv 2307.08691) and leaves out all that is
    masked by place; its sums need not be in the same order each time.

    Args:
      query: of each head.
      key: each of the k heads serves h / k heads of queries in a row.
      value: as many as keys.
      mask: False where a token is not to be seen although it came before.
      parts: how many at most. Each has 64 tokens or more; if they do not divide, there is one.
      implementation: one of CAUSAL. cuDNN's takes 16-bit inputs, and heads of a multiple of 8
        features up to 128, from Hopper on 256.

    Raises:
      ConfigError: cuDNN's where JAX does not compute on GPUs.
    """
    if implementation == "cudnn":
        return _by_cudnn(query, key, value, mask)
    length = query.shape[1]
    parts = max(1, min(parts, length // 64))
    size = length if length % parts else length // parts
    causal = jnp.tril(jnp.ones((length, length), bool))[None, None]
    mask = causal if mask is None else causal & mask

    def part(start: int) -> Float[Array, "b s h e"]:
        end = start + size
        seen = mask[:, :, start:end, :end]
        return jax.nn.dot_product_attention(
            query[:, start:end], key[:, :end], value[:, :end], mask=seen
        )

    return jnp.concatenate([part(start) for start in range(0, length, size)], axis=1)


def _by_cudnn(
    query: Float[Array, "b t h e"],
    key: Float[Array, "b t k e"],
    value: Float[Array, "b t k e"],
    mask: Bool[Array, "#b #h t t"] | None,
) -> Float[Array, "b t h e"]:
    if jax.default_backend() != "gpu":
        raise ConfigError(
            "attention='cudnn' is for NVIDIA GPUs, and JAX computes on "
            f"{jax.default_backend()} here; nearest: attention='xla'"
        )
    options = dict(mask=mask, is_causal=True, implementation="cudnn")
    return jax.nn.dot_product_attention(query, key, value, **options)
