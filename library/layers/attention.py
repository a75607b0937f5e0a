"""The two halves of a Transformer block (Vaswani et al. 2017), and attention to the past only."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


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
) -> Float[Array, "b t h e"]:
    """Returns softmax(Q K^T / sqrt(e)) V over each token and those before it.

    The queries are taken in parts one after another, each with the keys up to its end: of what is
    masked anyway, four parts leave out three quarters, and what they keep in between is small.

    Args:
      query: of each head.
      key: each of the k heads serves h / k heads of queries in a row.
      value: as many as keys.
      mask: False where a token is not to be seen although it came before.
      parts: how many at most. Each has 64 tokens or more; if they do not divide, there is one.
    """
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
