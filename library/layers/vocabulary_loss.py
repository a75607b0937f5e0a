"""Cross-entropy over a vocabulary, with or without an array of all logits.

The logits are by far the largest array of a batch of text. With 0.5 million tokens on 8 devices and
the vocabulary of GPT-2 they take 12 GB per device in float32. The loss needs only sums over the
vocabulary. A scan over parts of the vocabulary accumulates these sums without an array of all
logits (Milakov & Gimelshein 2018, arXiv 1805.02867).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def logits(
    hidden: Float[Array, "*n d"], table: Float[Array, "v d"], bias: Float[Array, " v"] | None = None
) -> Float[Array, "*n v"]:
    """Returns hidden W^T + b, float32. Factors have the type of `hidden`; sums are in float32."""
    product = jnp.einsum(
        "...d,vd->...v", hidden, table.astype(hidden.dtype), preferred_element_type=jnp.float32
    )
    return product if bias is None else product + bias.astype(jnp.float32)


def cross_entropy(
    hidden: Float[Array, "n d"],
    table: Float[Array, "v d"],
    bias: Float[Array, " v"] | None,
    targets: Int[Array, " n"],
    chunk: int | None = None,
) -> tuple[Float[Array, " n"], Int[Array, " n"]]:
    """Computes -log softmax(hidden W^T + b)[target], and the most likely token.

    Args:
      hidden: features from which the logits are computed.
      table: W, one vector for each token of the vocabulary.
      bias: b, or None.
      targets: correct tokens.
      chunk: number of tokens of the vocabulary whose logits exist at the same time. The backward
        pass recomputes them. None, or the whole vocabulary, computes all logits at once.

    Returns:
      The losses, in nats, and the tokens with the highest logits. In a tie the first token counts.
    """
    if chunk is None or chunk >= len(table):
        whole = logits(hidden, table, bias)
        target = jnp.take_along_axis(whole, targets[:, None], axis=-1)[:, 0]
        return jax.nn.logsumexp(whole, axis=-1) - target, jnp.argmax(whole, axis=-1)
    bias = jnp.zeros(len(table)) if bias is None else bias
    return _chunked(hidden, table, bias, targets, chunk)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _chunked(hidden, table, bias, targets, chunk):
    return _forward(hidden, table, bias, targets, chunk)[0]


def _forward(hidden, table, bias, targets, chunk):
    size = len(hidden)

    def body(carry, start):
        highest, total, target, best = carry
        part, at, columns = _part(hidden, table, bias, start, chunk)
        new = jnp.maximum(highest, jnp.max(part, axis=-1))
        total = total * jnp.exp(highest - new) + jnp.sum(jnp.exp(part - new[:, None]), axis=-1)
        # Each token is a column of exactly one part. The other parts add nothing to its target.
        hit = (columns == targets[:, None]) & (columns >= start)
        target = target + jnp.sum(jnp.where(hit, part, 0.0), axis=-1)
        best = jnp.where(new > highest, at + jnp.argmax(part, axis=-1), best)
        return (new, total, target, best), None

    zeros = jnp.zeros(size)
    first = (jnp.full(size, -jnp.inf), zeros, zeros, jnp.zeros(size, jnp.int32))
    (highest, total, target, best), _ = jax.lax.scan(body, first, _starts(table, chunk))
    normalizer = highest + jnp.log(total)
    return (normalizer - target, best), (hidden, table, bias, targets, normalizer)


def _backward(chunk, residuals, cotangents):
    hidden, table, bias, targets, normalizer = residuals
    weight = cotangents[0][:, None]

    def body(carry, start):
        to_hidden, to_table, to_bias = carry
        part, at, columns = _part(hidden, table, bias, start, chunk)
        expected = jnp.exp(part - normalizer[:, None])
        came = (columns == targets[:, None]) & (columns >= start)
        # The gradient of a plain matrix product has the type of the forward product, too.
        error = weight * (expected - came)
        narrow = error.astype(hidden.dtype)
        rows = jax.lax.dynamic_slice_in_dim(table, at, chunk).astype(hidden.dtype)
        to_hidden = to_hidden + jnp.dot(narrow, rows, preferred_element_type=jnp.float32)
        more = jnp.dot(narrow.T, hidden, preferred_element_type=jnp.float32)
        return (to_hidden, _add(to_table, more, at), _add(to_bias, jnp.sum(error, 0), at)), None

    wide = (jnp.zeros(x.shape, jnp.float32) for x in (hidden, table, bias))
    sums, _ = jax.lax.scan(body, tuple(wide), _starts(table, chunk))
    gradients = (g.astype(x.dtype) for g, x in zip(sums, (hidden, table, bias)))
    return *gradients, None


_chunked.defvjp(_forward, _backward)


def _starts(table, chunk):
    return jnp.arange(0, len(table), chunk)


def _part(hidden, table, bias, start, chunk):
    """Returns the logits of a part (n, chunk), its first column, and its columns (1, chunk).

    The last part starts earlier, so that it is as long as the others. The columns that it shares
    with the part before it, those below `start`, have logits of -inf.
    """
    at = jnp.minimum(start, len(table) - chunk)
    columns = at + jnp.arange(chunk)[None]
    rows = jax.lax.dynamic_slice_in_dim(table, at, chunk)
    found = logits(hidden, rows, jax.lax.dynamic_slice_in_dim(bias, at, chunk))
    return jnp.where(columns >= start, found, -jnp.inf), at, columns


def _add(whole, part, at):
    old = jax.lax.dynamic_slice_in_dim(whole, at, len(part))
    return jax.lax.dynamic_update_slice_in_dim(whole, old + part, at, axis=0)
