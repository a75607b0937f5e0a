"""GraphSAGE: node classification from a random sample of the neighbours of each node.

Hamilton, Ying & Leskovec 2017, "Inductive representation learning on large graphs" (arXiv
1706.02216), algorithm 1. A layer joins what a node has with an aggregate of a fixed number of its
neighbours, drawn with replacement at each step, so that the cost of a step does not depend on the
degrees. A node without neighbours has itself as one. Unlike the authors' program, which draws the
neighbours of each target apart, a layer draws one sample for each node of the graph. Evaluations
take all neighbours.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.layers import message_passing
from library.layers.checks import check_rates, check_sizes
from library.layers.intermediates import store
from library.variants import variant

_GLOROT = nn.initializers.glorot_uniform()


class GraphSAGE(nn.Module):
    """Layers "layer1", ... and the linear "head" on normalized features.

    A layer is relu(W1 x || W2 aggregate of the neighbours), of twice `width` channels. "mean"
    averages the neighbours; "pool" first gives each a layer with relu and takes the maximum. The
    last layer has no relu; its result is scaled to length 1 and stored as "features" (n, d).

    Attributes:
      num_classes: size of the logits.
      width: channels of each of the two parts of a layer.
      samples: neighbours that each layer draws in training, in the order of the layers.
      aggregator: "mean" or "pool".
      dropout: rate before each layer.

    Raises:
      ConfigError: a size is below 1, there is no layer, the aggregator is unknown, or the rate is
        outside [0, 1).
    """

    num_classes: int
    width: int = 128
    samples: tuple[int, ...] = (25, 10)
    aggregator: Literal["mean", "pool"] = "mean"
    dropout: float = 0.0

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width, samples=self.samples)
        check_choice("aggregator", self.aggregator, ("mean", "pool"))
        check_rates(dropout=self.dropout)
        if not self.samples:
            raise ConfigError("samples=(): name the neighbours of one layer or more")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        nodes: Float[Array, "n f"],
        edges: Int[Array, "e 2"],
        edges_mask: Float[Array, " e"],
        nodes_mask: Float[Array, " n"],
        train: bool = False,
    ) -> Float[Array, "n k"]:
        """Returns the logits of each node; edges go both ways."""
        x = nodes
        keys = jax.random.split(self.make_rng("dropout"), len(self.samples)) if train else None
        for i, count in enumerate(self.samples, 1):
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{i}")(x)
            sent = self._sent(x, i)
            if train:
                drawn = sampled(keys[i - 1], edges, edges_mask, len(nodes), count)
                near = sent[drawn]
                found = near.mean(axis=1) if self.aggregator == "mean" else near.max(axis=1)
            else:
                found = self._whole(sent, edges, edges_mask, nodes_mask)
            x = jnp.concatenate([self._dense(x, f"layer{i}_own"), self._received(found, i)], axis=1)
            x = nn.relu(x) if i < len(self.samples) else x
        x = x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        store(self, "features", x)
        return nn.Dense(self.num_classes, kernel_init=_GLOROT, name="head")(x)

    def _dense(self, x, name):
        return nn.Dense(self.width, use_bias=False, kernel_init=_GLOROT, name=name)(x)

    def _sent(self, x, i):
        """Returns what neighbours send; the mean of projections is the projection of the mean."""
        if self.aggregator == "mean":
            return self._dense(x, f"layer{i}_neighbours")
        return nn.relu(nn.Dense(self.width, kernel_init=_GLOROT, name=f"layer{i}_pool")(x))

    def _received(self, found, i):
        return found if self.aggregator == "mean" else self._dense(found, f"layer{i}_neighbours")

    def _whole(self, sent, edges, edges_mask, nodes_mask):
        """Returns the aggregate of all neighbours; a node without any has itself."""
        count = len(sent)
        degrees = message_passing.sums(edges_mask, edges[:, 1], edges_mask, count)
        alone = nodes_mask * (degrees == 0)
        edges, mask = message_passing.with_loops(edges, edges_mask, alone)
        join = message_passing.means if self.aggregator == "mean" else message_passing.maxima
        return join(sent[edges[:, 0]], edges[:, 1], mask, count)


def sampled(
    key: PRNGKeyArray,
    edges: Int[Array, "e 2"],
    edges_mask: Float[Array, " e"],
    num_nodes: int,
    count: int,
) -> Int[Array, "n s"]:
    """Draws `count` neighbours of each node, uniformly and with replacement.

    Returns:
      Numbers of nodes; a node without neighbours gets its own.
    """
    # Padding goes to the end, after the edges of the last node.
    receivers = jnp.where(edges_mask > 0, edges[:, 1], num_nodes)
    order = jnp.argsort(receivers)
    ends = jnp.searchsorted(receivers[order], jnp.arange(num_nodes + 1))
    first, degrees = ends[:-1], jnp.diff(ends)
    drawn = jax.random.randint(key, (num_nodes, count), 0, jnp.maximum(degrees, 1)[:, None])
    place = jnp.minimum(first[:, None] + drawn, len(edges) - 1)
    own = jnp.arange(num_nodes)[:, None]
    return jnp.where(degrees[:, None] > 0, edges[order, 0][place], own).astype(edges.dtype)


graphsage = variant(GraphSAGE, "graphsage")
