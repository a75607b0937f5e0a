"""Sampling of tokens from logits: temperature, top-k and top-p (nucleus); greedy at 0."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from library.config import ConfigError


def check_sampling(temperature: float, top_k: int, top_p: float, vocab_size: int) -> None:
    """Raises ConfigError unless the settings of `sample` are in their ranges."""
    if not 0 <= temperature < math.inf:
        raise ConfigError(f"temperature={temperature}: valid are 0 (greedy) and more, finite")
    if not 0 <= top_k <= vocab_size:
        raise ConfigError(f"top_k={top_k}: valid are 0 (all) to {vocab_size}, the vocabulary")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p={top_p}: valid are above 0, up to 1 (all)")


def check_prompt(length: int, context: int | None) -> None:
    """Raises ConfigError unless a prompt has at least one token and fits the model's context.

    Args:
      length: tokens of the prompt.
      context: tokens that the model sees; None for any number.
    """
    if length < 1:
        raise ConfigError(f"a prompt of {length} tokens: at least one is needed")
    if context is not None and length > context:
        raise ConfigError(
            f"a prompt of {length} tokens does not fit the model's context: valid are 1 to "
            f"{context} tokens"
        )


def sample(
    keys: PRNGKeyArray,
    logits: Float[Array, "b v"],
    temperature: Float[Array, " b"],
    top_k: Int[Array, " b"],
    top_p: Float[Array, " b"],
) -> Int[Array, " b"]:
    """Draws a token for each row from softmax(logits / temperature), limited by `limit`.

    Args:
      keys: one random key per row, (b,).
      logits: logits of the next token.
      temperature: divisor of the logits; 0 takes the most likely token.
      top_k: see `limit`.
      top_p: see `limit`.
    """
    greedy = temperature == 0
    scaled = logits / jnp.where(greedy, 1.0, temperature)[:, None]
    # Sorting a vocabulary costs more than a small model.
    limited = jnp.any((top_k > 0) | (top_p < 1))
    scaled = jax.lax.cond(limited, limit, lambda x, k, p: x, scaled, top_k, top_p)
    drawn = jax.vmap(jax.random.categorical)(keys, scaled)
    return jnp.where(greedy, jnp.argmax(logits, axis=-1), drawn).astype(jnp.int32)


def limit(
    logits: Float[Array, "b v"], top_k: Int[Array, " b"], top_p: Float[Array, " b"]
) -> Float[Array, "b v"]:
    """Sets the logits of tokens that may not be drawn to -inf.

    The `top_k` most likely tokens stay (0: all; Fan et al. 2018); of equally likely tokens the
    lower number comes first. Their probabilities are normalized. Of these tokens, the fewest whose
    probabilities reach `top_p` stay (the nucleus of Holtzman et al. 2020, eq. 2, 3). The most
    likely token always stays.
    """
    order = jnp.argsort(-logits, axis=-1, stable=True)
    rank = jnp.arange(logits.shape[-1])[None]
    allowed = (top_k == 0)[:, None] | (rank < top_k[:, None])
    ranked = jnp.where(allowed, jnp.take_along_axis(logits, order, axis=-1), -jnp.inf)
    probabilities = jax.nn.softmax(ranked, axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    # Rounding must not end a nucleus of all tokens early.
    inside = (before < top_p[:, None]) | (top_p >= 1)[:, None]
    allowed &= inside | (rank == 0)
    back = jnp.argsort(order, axis=-1)
    return jnp.where(jnp.take_along_axis(allowed, back, axis=-1), logits, -jnp.inf)
