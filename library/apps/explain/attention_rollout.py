"""Attention rollout: how much of each input token reaches each token of the last block.

Abnar & Zuidema 2020, "Quantifying attention flow in transformers" (arXiv 2005.00928), section 3.

The network keeps no attention weights. They are computed again from the results of the submodules
"query" and "key" of each attention layer.
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
    """Returns softmax(Q K^T / sqrt(e)) of each attention layer, from the first to the last.

    Args:
      model: a model whose attention layers have submodules "query" and "key" that return
        (b, t, heads, e).
      variables: params and statistics of the model.
      image: images as the model takes them.

    Raises:
      ConfigError: the model has no such layers.
    """
    known = layers.survey(model, variables, image)
    above = [name.removesuffix("query") for name in known if name.split("/")[-1] == "query"]
    above = [name for name in above if f"{name}key" in known]
    pairs = [(known[f"{name}query"], known[f"{name}key"]) for name in above]
    kept = [q.shape[0] == len(image) and len(q.shape) == 4 and q.shape == k.shape for q, k in pairs]
    if not pairs or not all(kept):
        raise ConfigError(
            f"{type(model).__name__} has no attention over all tokens with submodules query and key"
        )
    found = layers.activations(
        model, variables, image, [f"{name}{part}" for name in above for part in ("query", "key")]
    )
    return [_weights(found[f"{name}query"], found[f"{name}key"]) for name in above]


def rollout(
    weights: Sequence[Float[Array, "b heads t t"]], *, residual: float = 0.5
) -> Float[Array, "b t t"]:
    """Multiplies the attention matrices of all layers, averaged over heads, with their shortcuts.

    By equations 1 and 2 the matrix of a layer is (1 - residual) W + residual I, whose rows sum
    to 1.

    Args:
      weights: attention weights of each layer, for equal numbers of tokens; their rows sum to 1.
      residual: the share of a token that passes through the shortcut; one half in the paper.

    Returns:
      A matrix whose rows are tokens of the last layer and whose columns are tokens of the first.

    Raises:
      ConfigError: the layers have different numbers of tokens.
    """
    if len({w.shape[-1] for w in weights}) != 1:
        counts = [w.shape[-1] for w in weights]
        raise ConfigError(
            f"attention rollout needs equal numbers of tokens in all layers, not {counts}"
        )
    identity = jnp.eye(weights[0].shape[-1])
    total = identity
    for layer in weights:
        total = ((1 - residual) * layer.mean(axis=1) + residual * identity) @ total
    return jnp.broadcast_to(total, (len(weights[0]), *identity.shape))


def attention_map(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"], *, residual: float = 0.5
) -> Float[Array, "b rows columns"]:
    """Returns the share of each patch in the class token of the last layer.

    For a network that averages all tokens it is the share in that average.

    Raises:
      ConfigError: there are no attention layers, or the tokens are not a grid of square patches.
    """
    attended = rollout(attention_weights(model, variables, image), residual=residual)
    tokens, found = attended.shape[-1], layers.grid((1, attended.shape[-1], 1), image.shape)
    has_class = found is not None and found[0] * found[1] < tokens
    share = attended[:, 0] if has_class else attended.mean(axis=1)
    return layers.in_space(share[..., None], image.shape, "query")[..., 0]


def _weights(query: Float[Array, "b t h e"], key: Float[Array, "b t h e"]):
    scores = jnp.einsum("bqhe,bkhe->bhqk", query, key) / jnp.sqrt(query.shape[-1])
    return jax.nn.softmax(scores.astype(jnp.float32), axis=-1)
