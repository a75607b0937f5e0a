"""The two halves of a Transformer block (Vaswani et al. 2017), and causal attention."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from library.config import ConfigError

# What computes causal attention: XLA, in parts, or the kernels of cuDNN for NVIDIA GPUs.
CAUSAL = ("xla", "cudnn")


class Attention(nn.Module):
    """Multi-head self-attention: each head computes softmax(Q K^T / sqrt(d/h)) V (section 3.2).

    Submodules "query", "key" and "value" have kernels (d, heads, d/heads), so a mesh can split
    them by head. The kernel of "out" is (heads, d/heads, d).

    Raises:
      ValueError: the number of features is not a multiple of `num_heads`.
    """

    num_heads: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], mask: Bool[Array, "#b #h #t t"] | None = None
    ) -> Float[Array, "b t d"]:
        """Returns, for each token, a weighted sum over all tokens, or where `mask` is True."""
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
    """Two dense layers applied to each token, with an exact (erf) GELU between them."""

    hidden: int
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], train: bool = False) -> Float[Array, "b t d"]:
        """Returns tokens of the input's shape. Dropout follows the GELU."""
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
    """Returns softmax(Q K^T / sqrt(e)) V, where each token attends to itself and earlier tokens.

    "xla" processes the queries in parts, one after another. Each part uses the keys up to its own
    end. Four parts skip three quarters of the masked products and need little memory for the
    attention weights. "cudnn" stores no attention weights (Dao 2023, arXiv 2307.08691) and skips
    all products that the causal mask removes. The order of its sums may differ from run to run.

    Args:
      query: queries of each head.
      key: keys; each of the k heads serves h / k consecutive heads of queries.
      value: values, of the shape of the keys.
      mask: False where a query must not attend to an earlier token.
      parts: maximum number of parts. A part has 64 tokens or more. If the parts would not be
        equal, there is one.
      implementation: one of CAUSAL. "cudnn" takes 16-bit inputs. The features of a head are a
        multiple of 8, up to 128, or up to 256 from Hopper on.

    Raises:
      ConfigError: the implementation is "cudnn" and JAX does not run on a GPU.
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
            "attention='cudnn' needs an NVIDIA GPU, but JAX runs on "
            f"{jax.default_backend()}; nearest: attention='xla'"
        )
    options = dict(mask=mask, is_causal=True, implementation="cudnn")
    return jax.nn.dot_product_attention(query, key, value, **options)
