"""The two halves of a Transformer block (Vaswani et al. 2017), as vision models use them."""

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
