"""Context prediction: pre-training of graph networks by which surroundings belong to an atom.

Hu et al. 2020, "Strategies for pre-training graph neural networks" (arXiv 1905.12265), section
3.1.1. One network sees the atoms near an atom, another the atoms farther away. Their features
agree if both are of the same place in the same molecule.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.forward import applied, variables_of
from library.layers import message_passing
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair
from library.tasks.attribute_masking import INPUTS


class _Context(NamedTuple):
    """What surrounds one node of each graph.

    Attributes:
      centre: 1 for that node (n,).
      nodes: 1 for the nodes of the context (n,).
      edges: 1 for the edges of the context (e,).
      anchors: 1 for the nodes that the network of the middle sees, too (n,).
    """

    centre: Float[Array, " n"]
    nodes: Float[Array, " n"]
    edges: Float[Array, " e"]
    anchors: Float[Array, " n"]


def context_prediction(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    inner: int = 4,
    outer: int = 7,
    inputs: tuple[str, ...] = INPUTS,
) -> Task:
    """Builds the task of telling the context of a node from that of another graph.

    In each graph a node is drawn. Its context are the nodes from `inner` to `outer` edges away. The
    feature of the context is the mean over its nodes that the model's own layers reach, too. Its
    product with the feature of the node is the logit of "the same place"; the context of the next
    graph of the batch is the other class. Graphs without such a context, or before such a graph, do
    not count. The metrics are loss and accuracy.

    Outputs: "features" (n, d), those of the nodes.

    Args:
      model: takes `inputs`, then which nodes and edges are of a context, and `train`; returns
        features of nodes and of contexts, both (n, d). Its `depth` says how far the first see.
      minimize: turns a loss into the training step.
      inner: edges to the nearest nodes of a context.
      outer: edges to the farthest.
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: `inner` is not from 1 to the model's depth, or `outer` is not above it.
    """
    if not 1 <= inner <= model.depth or outer <= inner:
        raise ConfigError(
            f"context_prediction, inner={inner}, outer={outer}: valid are inner of 1 to the "
            f"model's depth={model.depth}, and outer above inner"
        )

    def given(batch: Batch, found: _Context) -> list[Array]:
        return [*(batch[name] for name in inputs), found.nodes, found.edges]

    def drawn(batch: Batch, key: PRNGKeyArray) -> _Context:
        key = rng.for_batch(key, batch["index"], "centres")
        return _contexts(key, batch, inner, outer, model.depth)

    def nothing(batch: Batch) -> _Context:
        nodes, edges = (jnp.zeros_like(batch[f"{name}_mask"]) for name in ("nodes", "edges"))
        return _Context(nodes, nodes, edges, nodes)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        key = rng.purpose(key, "params")
        return learner.init(model.init(key, *given(batch, nothing(batch)), train=False))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        found = drawn(batch, key)
        made, variables = applied(
            model, params, variables, given(batch, found), key, batch["index"]
        )
        return _metrics(*made, found, batch), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        found = drawn(batch, key)
        made = model.apply(variables_of(state), *given(batch, found), train=False)
        return _metrics(*made, found, batch)

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "n d"]:
        return model.apply(variables_of(state), *given(batch, nothing(batch)), train=False)[0]

    learner = minimize(objective)
    return Task(init, learner.update, evaluate, {"features": features})


def distances(
    centre: Float[Array, " n"],
    edges: Int[Array, "e 2"],
    edges_mask: Float[Array, " e"],
    most: int,
) -> Int[Array, " n"]:
    """Returns the number of edges from the nearest centre to each node; most + 1 for more."""
    found = jnp.where(centre > 0, 0, most + 1)
    for step in range(1, most + 1):
        reached = (found < step).astype(edges_mask.dtype)
        near = message_passing.sums(reached[edges[:, 0]], edges[:, 1], edges_mask, len(centre)) > 0
        found = jnp.where(near, jnp.minimum(found, step), found)
    return found


def _contexts(key: PRNGKeyArray, batch: Batch, inner: int, outer: int, depth: int) -> _Context:
    """Draws a node of each graph, and returns what surrounds it."""
    mask, edges, graph = batch["nodes_mask"], batch["edges"], batch["graph"]
    rank = jax.random.uniform(key, mask.shape, minval=0.5)
    highest = message_passing.maxima(rank, graph, mask, len(batch["mask"]))
    centre = mask * (rank == highest[graph])
    far = distances(centre, edges, batch["edges_mask"], outer)
    nodes = mask * ((far >= inner) & (far <= outer))
    inside = batch["edges_mask"] * nodes[edges[:, 0]] * nodes[edges[:, 1]]
    return _Context(centre, nodes, inside, nodes * (far <= depth))


def _metrics(
    own: Float[Array, "n d"], around: Float[Array, "n d"], found: _Context, batch: Batch
) -> Metrics:
    graph, count = batch["graph"], len(batch["mask"])
    middle = message_passing.sums(own, graph, found.centre, count)
    context = message_passing.means(around, graph, found.anchors, count)
    there = batch["mask"] * (message_passing.sums(found.anchors, graph, found.anchors, count) > 0)
    right, wrong = (jnp.sum(middle * jnp.roll(context, -shift, axis=0), axis=1) for shift in (0, 1))
    both = there * jnp.roll(there, -1)
    losses = optax.sigmoid_binary_cross_entropy(right, 1.0)
    losses += optax.sigmoid_binary_cross_entropy(wrong, 0.0)
    correct = ((right > 0).astype(losses.dtype) + (wrong <= 0)) / 2
    return {"loss": pair(losses, both), "accuracy": pair(correct, both)}
