"""GCN: the graph convolutional network, which classifies the nodes of a graph.

Kipf & Welling 2017, "Semi-supervised classification with graph convolutional networks" (arXiv
1609.02907), equation 9. A layer is D^-1/2 (A + I) D^-1/2 X W with the degrees D of A + I. Its sum
is over edges, so that no matrix of nodes times nodes is made. As in the authors' program, layers
have no bias. Params on Cora: 23,040.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.layers import message_passing
from library.layers.checks import check_rates, check_sizes
from library.layers.intermediates import store
from library.variants import variant

_GLOROT = nn.initializers.glorot_uniform()


class GCN(nn.Module):
    """Graph convolutions "layer1", ... with relu, and the last one, "head".

    Dropout comes before each layer, on the input, too. Stores "features" (n, d), the input of the
    head.

    Attributes:
      num_classes: size of the logits.
      hidden: channels of the hidden layers.
      dropout: rate before each layer.

    Raises:
      ConfigError: a size is below 1, or the rate is outside [0, 1).
    """

    num_classes: int
    hidden: tuple[int, ...] = (16,)
    dropout: float = 0.5

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, hidden=self.hidden)
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
        weights = symmetric_weights(edges, mask, len(nodes))

        def convolution(x, width, name):
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"{name}_dropout")(x)
            x = nn.Dense(width, use_bias=False, kernel_init=_GLOROT, name=name)(x)
            return message_passing.sums(
                weights[:, None] * x[edges[:, 0]], edges[:, 1], mask, len(nodes)
            )

        x = nodes
        for i, width in enumerate(self.hidden, 1):
            x = nn.relu(convolution(x, width, f"layer{i}"))
        store(self, "features", x)
        return convolution(x, self.num_classes, "head")


def symmetric_weights(
    edges: Int[Array, "e 2"], mask: Float[Array, " e"], num_nodes: int
) -> Float[Array, " e"]:
    """Returns 1 / sqrt(degree of the sender * degree of the receiver) of each edge."""
    degrees = message_passing.sums(mask, edges[:, 1], mask, num_nodes)
    scale = jax.lax.rsqrt(jnp.maximum(degrees, 1))
    return scale[edges[:, 0]] * scale[edges[:, 1]]


gcn = variant(GCN, "gcn")
