"""Sums, means, maxima and softmax over the edges of a node, or over the nodes of a graph.

A batch of graphs is one flat graph (`library/data/graphs.py`): an edge is a pair (sender,
receiver) of node numbers, and padding has mask 0. Nothing here is as large as nodes times nodes.
Padding may hold any value.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.task import where_present

POOLS = ("sum", "mean", "max")
# Of the score of an entry that is not there. Minus infinity would give NaN in gradients.
_LOWEST = -1e30


def sums(
    values: Float[Array, "e ..."], segments: Int[Array, " e"], mask: Float[Array, " e"], num: int
) -> Float[Array, "n ..."]:
    """Returns the sum of the values of each of `num` segments; 0 for an empty segment."""
    return jax.ops.segment_sum(where_present(values, mask), segments, num)


def means(
    values: Float[Array, "e ..."], segments: Int[Array, " e"], mask: Float[Array, " e"], num: int
) -> Float[Array, "n ..."]:
    """Returns the mean of the values of each of `num` segments; 0 for an empty segment."""
    total, count = sums(values, segments, mask, num), sums(mask, segments, mask, num)
    count = jnp.maximum(count, 1).astype(total.dtype)
    return total / count.reshape(count.shape + (1,) * (values.ndim - 1))


def maxima(
    values: Float[Array, "e ..."], segments: Int[Array, " e"], mask: Float[Array, " e"], num: int
) -> Float[Array, "n ..."]:
    """Returns the maximum of the values of each of `num` segments; 0 for an empty segment."""
    there = mask.reshape(mask.shape + (1,) * (values.ndim - 1)) > 0
    highest = jax.ops.segment_max(jnp.where(there, values, _LOWEST), segments, num)
    return jnp.where(highest > _LOWEST / 2, highest, jnp.zeros((), values.dtype))


def softmax(
    scores: Float[Array, "e ..."], segments: Int[Array, " e"], mask: Float[Array, " e"], num: int
) -> Float[Array, "e ..."]:
    """Returns the softmax of scores over the entries of each segment; 0 for padding."""
    there = mask.reshape(mask.shape + (1,) * (scores.ndim - 1)) > 0
    scores = jnp.where(there, scores, _LOWEST)
    highest = jax.lax.stop_gradient(jax.ops.segment_max(scores, segments, num))
    # An empty segment has the maximum minus infinity, and no entry that reads it.
    weights = jnp.where(there, jnp.exp(scores - highest[segments]), 0)
    total = jax.ops.segment_sum(weights, segments, num)[segments]
    return weights / jnp.where(total > 0, total, 1)


def pooled(
    pool: Literal["sum", "mean", "max"],
    nodes: Float[Array, "n d"],
    graph: Int[Array, " n"],
    nodes_mask: Float[Array, " n"],
    num: int,
) -> Float[Array, "b d"]:
    """Returns the sum, mean or maximum over the nodes of each of `num` graphs."""
    return {"sum": sums, "mean": means, "max": maxima}[pool](nodes, graph, nodes_mask, num)


def with_loops(
    edges: Int[Array, "e 2"], edges_mask: Float[Array, " e"], nodes_mask: Float[Array, " n"]
) -> tuple[Int[Array, "m 2"], Float[Array, " m"]]:
    """Returns edges and their mask with an edge from each node to itself, after the others."""
    own = jnp.arange(len(nodes_mask), dtype=edges.dtype)
    loops = jnp.stack([own, own], axis=1)
    return jnp.concatenate([edges, loops]), jnp.concatenate([edges_mask, nodes_mask])
