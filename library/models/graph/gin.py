"""GIN: the graph isomorphism network, which classifies graphs.

Xu, Hu, Leskovec & Jegelka 2019, "How powerful are graph neural networks?" (arXiv 1810.00826),
equations 4.1 and 4.2. A layer is a network of (1 + epsilon) x plus the sum over the neighbours,
which can tell apart all that the Weisfeiler-Lehman test can. Params of `gin` on MUTAG, with 7 kinds
of nodes: 31,192.

`molecules` is the form of Hu et al. 2020, "Strategies for pre-training graph neural networks"
(arXiv 1905.12265): a linear layer gives each node and each edge an embedding, messages are sums of
both, the network within a layer is twice as wide, and the mean over the last layer's nodes is
classified.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import check_choice
from library.layers import message_passing
from library.layers.checks import check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.message_passing import POOLS
from library.variants import variant


class Layer(nn.Module):
    """The sum of a node and its neighbours, and a network of two layers "hidden" and "out".

    Attributes:
      width: channels of the result.
      hidden: channels between the two layers.
      learn_epsilon: whether the param "epsilon" weighs the node itself against its neighbours.
    """

    width: int
    hidden: int
    learn_epsilon: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n f"],
        edges: Int[Array, "e 2"],
        edge_features: Float[Array, "e a"] | None,
        edges_mask: Float[Array, " e"],
        nodes_mask: Float[Array, " n"],
        train: bool,
    ) -> Float[Array, "n w"]:
        """Returns features before their normalization."""
        sent = x[edges[:, 0]]
        if edge_features is not None:
            sent = sent + nn.Dense(x.shape[1], use_bias=False, name="edge")(edge_features)
        epsilon = self.param("epsilon", nn.initializers.zeros, ()) if self.learn_epsilon else 0.0
        near = message_passing.sums(sent, edges[:, 1], edges_mask, len(x))
        x = nn.Dense(self.hidden, name="hidden")((1 + epsilon) * x + near)
        x = nn.relu(node_norm(x, nodes_mask, train, "norm"))
        return nn.Dense(self.width, name="out")(x)


class Encoder(nn.Module):
    """Layers "layer1", ... with batch normalization "norm1", ... over the nodes.

    Attributes: as of `GIN`.
    """

    width: int
    depth: int
    embed: bool
    learn_epsilon: bool
    dropout: float

    @nn.compact
    def __call__(
        self,
        nodes: Float[Array, "n f"],
        edges: Int[Array, "e 2"],
        edge_features: Float[Array, "e a"] | None,
        nodes_mask: Float[Array, " n"],
        edges_mask: Float[Array, " e"],
        train: bool,
    ) -> list[Float[Array, "n ..."]]:
        """Returns the features of the nodes: the input, then those after each layer."""
        x = nn.Dense(self.width, use_bias=False, name="embed")(nodes) if self.embed else nodes
        found = [x]
        for i in range(1, self.depth + 1):
            hidden = self.width * (2 if self.embed else 1)
            layer = Layer(self.width, hidden, self.learn_epsilon, name=f"layer{i}")
            x = layer(x, edges, edge_features, edges_mask, nodes_mask, train)
            x = node_norm(x, nodes_mask, train, f"norm{i}")
            # Hu et al. have no relu after the last layer.
            x = x if self.embed and i == self.depth else nn.relu(x)
            drop = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{i}")
            x = drop(x) if self.embed else x
            found.append(x)
        return found


class GIN(nn.Module):
    """The layers in "encoder", and scores of graphs.

    With `readout="all"` the nodes of the input and of each layer are pooled, each has a linear
    layer "head0", "head1", ..., and the logits are the sum of these after dropout (section 4.2).
    With "last", the nodes of the last layer are pooled, and "head" is the only linear layer. Stores
    "features" (b, d), what is pooled.

    Attributes:
      num_classes: size of the logits.
      width: channels of a layer.
      depth: number of layers; "five layers" of the paper count the input.
      pool: how nodes are pooled: "sum", "mean" or "max".
      readout: "all" or "last".
      embed: whether the nodes have an embedding first, and each layer a dropout after it.
      learn_epsilon: GIN-epsilon of the paper; otherwise GIN-0.
      dropout: rate, of logits ("all") or of the features of nodes (`embed`).

    Raises:
      ConfigError: a size is below 1, a name is unknown, or the rate is outside [0, 1).
    """

    num_classes: int
    width: int = 64
    depth: int = 4
    pool: Literal["sum", "mean", "max"] = "sum"
    readout: Literal["all", "last"] = "all"
    embed: bool = False
    learn_epsilon: bool = False
    dropout: float = 0.5

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width, depth=self.depth)
        check_choice("pool", self.pool, POOLS)
        check_choice("readout", self.readout, ("all", "last"))
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        nodes: Float[Array, "n f"],
        edges: Int[Array, "e 2"],
        graph: Int[Array, " n"],
        nodes_mask: Float[Array, " n"],
        edges_mask: Float[Array, " e"],
        mask: Float[Array, " b"],
        edge_features: Float[Array, "e a"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b k"]:
        """Returns the logits of each graph; edges go both ways."""
        size = (self.width, self.depth, self.embed, self.learn_epsilon, self.dropout)
        encoder = Encoder(*size, name="encoder")
        layers = encoder(nodes, edges, edge_features, nodes_mask, edges_mask, train)
        layers = layers if self.readout == "all" else layers[-1:]
        pooled = [
            message_passing.pooled(self.pool, x, graph, nodes_mask, len(mask)) for x in layers
        ]
        store(self, "features", jnp.concatenate(pooled, axis=-1))
        if self.readout == "last":
            return nn.Dense(self.num_classes, name="head")(pooled[0])
        drop = nn.Dropout(self.dropout, deterministic=not train, name="dropout")
        heads = [nn.Dense(self.num_classes, name=f"head{i}") for i in range(len(pooled))]
        return sum(drop(head(x)) for head, x in zip(heads, pooled))


class MaskedGIN(nn.Module):
    """The encoder of `molecules` and the linear layer "head", which tells the kind of masked atoms.

    The features of masked nodes become the param "mask_token" (f,). Stores "features" (n, d), the
    features of the nodes.

    Attributes:
      num_classes: number of kinds.
      width, depth, dropout: as of `GIN`.
    """

    num_classes: int
    width: int = 300
    depth: int = 5
    dropout: float = 0.0

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width, depth=self.depth)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        nodes: Float[Array, "n f"],
        edges: Int[Array, "e 2"],
        nodes_mask: Float[Array, " n"],
        edges_mask: Float[Array, " e"],
        edge_features: Float[Array, "e a"],
        masked: Float[Array, " n"],
        train: bool = False,
    ) -> Float[Array, "n k"]:
        """Returns logits of the kind of each node."""
        token = self.param("mask_token", nn.initializers.zeros, (nodes.shape[1],))
        nodes = jnp.where(masked[:, None] > 0, token, nodes)
        encoder = Encoder(self.width, self.depth, True, False, self.dropout, name="encoder")
        x = encoder(nodes, edges, edge_features, nodes_mask, edges_mask, train)[-1]
        store(self, "features", x)
        return nn.Dense(self.num_classes, name="head")(x)


class ContextGIN(nn.Module):
    """The encoder of `molecules`, and a second one, "context", for the parts around an atom.

    Attributes:
      width, depth, dropout: as of `GIN`; the second encoder has `context_depth` layers.
    """

    width: int = 300
    depth: int = 5
    context_depth: int = 3
    dropout: float = 0.0

    def __post_init__(self):
        check_sizes(width=self.width, depth=self.depth, context_depth=self.context_depth)
        check_rates(dropout=self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        nodes: Float[Array, "n f"],
        edges: Int[Array, "e 2"],
        nodes_mask: Float[Array, " n"],
        edges_mask: Float[Array, " e"],
        edge_features: Float[Array, "e a"],
        context_nodes: Float[Array, " n"],
        context_edges: Float[Array, " e"],
        train: bool = False,
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """Returns features of the nodes, and those that see only the nodes and edges of contexts.

        The last two inputs mark them by 1. Stores "features" (n, d), the first result.
        """
        own = Encoder(self.width, self.depth, True, False, self.dropout, name="encoder")
        around = Encoder(self.width, self.context_depth, True, False, self.dropout, name="context")
        x = own(nodes, edges, edge_features, nodes_mask, edges_mask, train)[-1]
        store(self, "features", x)
        y = around(nodes, edges, edge_features, context_nodes, context_edges, train)[-1]
        return x, y


def node_norm(
    x: Float[Array, "n d"], nodes_mask: Float[Array, " n"], train: bool, name: str
) -> Float[Array, "n d"]:
    """Applies batch normalization over the nodes of the batch that are there.

    It is the submodule `name` of the module whose compact method calls this.
    """
    layer = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, name=name)
    return layer(x, mask=nodes_mask[:, None] > 0)


gin = variant(GIN, "gin")
molecules = variant(
    GIN,
    "molecules",
    defaults=dict(width=300, depth=5),
    embed=True,
    readout="last",
    pool="mean",
    learn_epsilon=False,
)
masked = variant(MaskedGIN, "masked")
context = variant(ContextGIN, "context")
