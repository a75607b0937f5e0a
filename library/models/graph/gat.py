"""GAT: the graph attention network, which classifies the nodes of a graph.

Velickovic et al. 2018, "Graph attention networks" (arXiv 1710.10903), equations 1 to 6. A node
attends to its neighbours and to itself. The scores are over edges alone, so that no matrix of nodes
times nodes is made. Params on Cora: 92,373.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.layers import message_passing
from library.layers.checks import check_rates, check_sizes
from library.layers.intermediates import store
from library.variants import variant

_GLOROT = nn.initializers.glorot_uniform()
# Heads are the batch of these vectors of scores, (h, d).
_GLOROT_HEADS = nn.initializers.variance_scaling(
    1.0, "fan_avg", "uniform", in_axis=1, out_axis=(), batch_axis=0
)


class Attention(nn.Module):
    """A layer of attention heads over the edges that enter a node.

    Params: the projection "kernel" of all heads, the vectors "sender" and "receiver" (h, d) of the
    scores, and "bias". Stores "attention" (e, h).

    Attributes:
      width: channels of a head.
      num_heads: number of heads.
      dropout: rate on the input, on the projections and on the attention.
      slope: slope of the leaky relu of the scores below 0.
    """

    width: int
    num_heads: int
    dropout: float
    slope: float = 0.2

    @nn.compact
    def __call__(
        self,
        nodes: Float[Array, "n f"],
        edges: Int[Array, "e 2"],
        mask: Float[Array, " e"],
        train: bool,
    ) -> Float[Array, "n h d"]:
        """Returns the result of each head."""

        def dropped(x, name):
            return nn.Dropout(self.dropout, deterministic=not train, name=name)(x)

        size = (self.num_heads, self.width)
        x = dropped(nodes, "input_dropout")
        x = nn.Dense(size[0] * size[1], use_bias=False, kernel_init=_GLOROT, name="projection")(x)
        x = x.reshape(-1, *size)
        sender, receiver = (
            jnp.sum(x * self.param(name, _GLOROT_HEADS, size), axis=-1)
            for name in ("sender", "receiver")
        )
        scores = nn.leaky_relu(sender[edges[:, 0]] + receiver[edges[:, 1]], self.slope)
        attention = message_passing.softmax(scores, edges[:, 1], mask, len(nodes))
        store(self, "attention", attention)
        weights = dropped(attention, "attention_dropout")
        sent = weights[..., None] * dropped(x, "projection_dropout")[edges[:, 0]]
        bias = self.param("bias", nn.initializers.zeros, size)
        return message_passing.sums(sent, edges[:, 1], mask, len(nodes)) + bias


class GAT(nn.Module):
    """Attention layers "layer1", ... with elu, whose heads are joined, and "head".

    The heads of the last layer are averaged. Stores "features" (n, d), the input of the last layer,
    and the attention of each layer, whose edges are those of the graph, then one from each node to
    itself.

    Attributes:
      num_classes: size of the logits.
      hidden: channels of a head of each hidden layer.
      num_heads: heads of a hidden layer.
      last_heads: heads of the last layer, 1 for Cora and Citeseer and 8 for Pubmed.
      dropout: rate on the inputs of layers, on projections and on attention.

    Raises:
      ConfigError: a size is below 1, or the rate is outside [0, 1).
    """

    num_classes: int
    hidden: tuple[int, ...] = (8,)
    num_heads: int = 8
    last_heads: int = 1
    dropout: float = 0.6

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, hidden=self.hidden)
        check_sizes(num_heads=self.num_heads, last_heads=self.last_heads)
        check_rates(dropout=self.dropout)
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
        edges, mask = message_passing.with_loops(edges, edges_mask, nodes_mask)
        x = nodes
        for i, width in enumerate(self.hidden, 1):
            layer = Attention(width, self.num_heads, self.dropout, name=f"layer{i}")
            x = nn.elu(layer(x, edges, mask, train).reshape(len(nodes), -1))
        store(self, "features", x)
        head = Attention(self.num_classes, self.last_heads, self.dropout, name="head")
        return head(x, edges, mask, train).mean(axis=1)


gat = variant(GAT, "gat")
