"""MPNN: a message passing network that predicts properties of molecules.

Gilmer et al. 2017, "Neural message passing for quantum chemistry" (arXiv 1704.01212), section 5,
their best form: the features of an edge give a matrix that maps what its sender has to a message
("edge network"), a gated recurrent unit updates a node by the sum of its messages, and set2set
(Vinyals et al. 2016, arXiv 1511.06391) reads out the graph, whatever the order of its nodes.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.layers import message_passing
from library.layers.checks import check_sizes
from library.layers.intermediates import store
from library.variants import variant


class Set2Set(nn.Module):
    """Reads a set of nodes: an LSTM asks, and a softmax over the nodes of each graph answers.

    Stores "attention" (n,), the weights of the last step.

    Attributes:
      steps: number of questions.
    """

    steps: int

    @nn.compact
    def __call__(
        self,
        nodes: Float[Array, "n d"],
        graph: Int[Array, " n"],
        nodes_mask: Float[Array, " n"],
        num_graphs: int,
    ) -> Float[Array, "b d2"]:
        """Returns the last question and its answer, twice the channels of the nodes."""
        width = nodes.shape[1]
        lstm = nn.OptimizedLSTMCell(width, name="lstm")
        carry = (jnp.zeros((num_graphs, width)), jnp.zeros((num_graphs, width)))
        asked = jnp.zeros((num_graphs, 2 * width))
        for _ in range(self.steps):
            carry, query = lstm(carry, asked)
            scores = jnp.sum(nodes * query[graph], axis=-1)
            weights = message_passing.softmax(scores, graph, nodes_mask, num_graphs)
            answer = message_passing.sums(weights[:, None] * nodes, graph, nodes_mask, num_graphs)
            asked = jnp.concatenate([query, answer], axis=1)
        store(self, "attention", weights)
        return asked


class MPNN(nn.Module):
    """The layer "embed" of nodes, steps of messages, set2set, the layer "joined" and "head".

    The edge network is "edge_hidden" with relu and "edge_matrix"; it and the unit "gru" are those
    of all steps. Stores "features" (b, d), the input of the head.

    Attributes:
      num_classes: the number of properties, or of classes.
      width: channels of nodes.
      steps: steps of messages.
      edge_hidden: channels within the edge network.
      readout_steps: steps of set2set.

    Raises:
      ConfigError: a size is below 1.
    """

    num_classes: int
    width: int = 73
    steps: int = 3
    edge_hidden: int = 128
    readout_steps: int = 6

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, width=self.width, steps=self.steps)
        check_sizes(edge_hidden=self.edge_hidden, readout_steps=self.readout_steps)
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
        edge_features: Float[Array, "e a"],
        train: bool = False,
    ) -> Float[Array, "b k"]:
        """Returns what the head makes of each graph; edges go both ways."""
        x = nn.relu(nn.Dense(self.width, name="embed")(nodes))
        hidden = nn.relu(nn.Dense(self.edge_hidden, name="edge_hidden")(edge_features))
        matrix = nn.Dense(self.width**2, name="edge_matrix")(hidden)
        matrix = matrix.reshape(-1, self.width, self.width)
        gru = nn.GRUCell(self.width, name="gru")
        bias = self.param("message_bias", nn.initializers.zeros, (self.width,))
        for _ in range(self.steps):
            sent = jnp.einsum("eij,ej->ei", matrix, x[edges[:, 0]])
            near = message_passing.sums(sent, edges[:, 1], edges_mask, len(nodes))
            x, _ = gru(x, nn.relu(near + bias))
        found = Set2Set(self.readout_steps, name="set2set")(x, graph, nodes_mask, len(mask))
        found = nn.relu(nn.Dense(2 * self.width, name="joined")(found))
        store(self, "features", found)
        return nn.Dense(self.num_classes, name="head")(found)


mpnn = variant(MPNN, "mpnn")
