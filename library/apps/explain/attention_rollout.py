"""Attention rollout: how much of each input token reaches each token of the last block.

Abnar & Zuidema 2020, "Quantifying attention flow in transformers" (arXiv 2005.00928), section 3.

The weights are computed again from what the submodules "query" and "key" of each attention layer
return; the network itself keeps none.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from library.apps.explain import layers
from library.config import ConfigError


def attention_weights(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"]
) -> list[Float[Array, "b heads t t"]]:
    """Returns softmax(Q K^T / sqrt(e)) of each attention layer, the first layer first.

    Args:
      model: its attention layers have submodules "query" and "key" that return (b, t, heads, e).
      variables: its params and statistics.
      image: as the model takes it.

    Raises:
      ConfigError: there are no such layers.
    """
    known = layers.survey(model, variables, image)
    above = [name.removesuffix("query") for name in known if name.split("/")[-1] == "query"]
    above = [name for name in above if f"{name}key" in known]
    pairs = [(known[f"{name}query"], known[f"{name}key"]) for name in above]
    kept = [q.shape[0] == len(image) and len(q.shape) == 4 and q.shape == k.shape for q, k in pairs]
    if not pairs or not all(kept):
        raise ConfigError(f"{type(model).__name__} has no attention over all tokens, query and key")
    found = layers.activations(
        model, variables, image, [f"{name}{part}" for name in above for part in ("query", "key")]
    )
    return [_weights(found[f"{name}query"], found[f"{name}key"]) for name in above]


def rollout(
    weights: Sequence[Float[Array, "b heads t t"]], *, residual: float = 0.5
) -> Float[Array, "b t t"]:
    """Multiplies the attention of all layers, heads averaged, each mixed with its shortcut.

    Equations 1 and 2: the matrix of a layer is (1 - residual) W + residual I, whose rows sum to 1.

    Args:
      weights: of each layer, of as many tokens; their rows sum to 1.
      residual: what of a token passes by the attention, the paper's half.

    Returns:
      Rows: tokens of the last layer; columns: tokens of the first.

    Raises:
      ConfigError: layers of different numbers of tokens.
    """
    if len({w.shape[-1] for w in weights}) != 1:
        counts = [w.shape[-1] for w in weights]
        raise ConfigError(f"attention is rolled out over layers of as many tokens, not {counts}")
    identity = jnp.eye(weights[0].shape[-1])
    total = identity
    for layer in weights:
        total = ((1 - residual) * layer.mean(axis=1) + residual * identity) @ total
    return jnp.broadcast_to(total, (len(weights[0]), *identity.shape))


def attention_map(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"], *, residual: float = 0.5
) -> Float[Array, "b rows columns"]:
    """Returns the share of each patch in the class token of the last layer.

    Of a network that takes the mean of all tokens it is the share in that mean.

    Raises:
      ConfigError: no attention layers, or tokens that are no grid of square patches.
    """
    attended = rollout(attention_weights(model, variables, image), residual=residual)
    tokens, found = attended.shape[-1], layers.grid((1, attended.shape[-1], 1), image.shape)
    has_class = found is not None and found[0] * found[1] < tokens
    share = attended[:, 0] if has_class else attended.mean(axis=1)
    return layers.in_space(share[..., None], image.shape, "query")[..., 0]


def _weights(query: Float[Array, "b t h e"], key: Float[Array, "b t h e"]):
    scores = jnp.einsum("bqhe,bkhe->bhqk", query, key) / jnp.sqrt(query.shape[-1])
    return jax.nn.softmax(scores.astype(jnp.float32), axis=-1)
