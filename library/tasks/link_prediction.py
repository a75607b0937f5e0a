"""Link prediction: a graph autoencoder that tells which nodes of a graph have an edge.

Kipf & Welling 2016, "Variational graph auto-encoders" (arXiv 1611.07308). An encoder gives each
node a vector, and the logit of an edge is the product of the vectors of its ends. The paper weighs
all pairs of nodes so that edges and other pairs count the same. Here a step takes the edges and as
many random pairs, which has the same expectation up to the few pairs that are edges, and needs no
matrix of nodes times nodes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.forward import evaluated, initialized, trained
from library.gaussians import divergence_from_standard
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair, where_present
from library.tasks.node_classification import NODES


def link_prediction(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    variational: bool = False,
    inputs: tuple[str, ...] = NODES,
) -> Task:
    """Builds the task of predicting edges of one graph, the whole batch.

    The loss is the mean of two means of cross-entropies, over the edges of training and over as
    many random pairs. With `variational`, the encoder gives the mean and the logarithm of the
    standard deviation of each node's vector, side by side; training draws the vector, evaluations
    take the mean; and the loss has the divergence from the standard normal distribution, averaged
    over nodes and divided by their number, as in the authors' program.

    An evaluation reads `pairs` (1, p, 2) and `pairs_label` (1, p), see
    `library.data.preprocessing.graphs.hold_out_edges`, and gives auc, the area under the ROC curve,
    and average_precision, both as scikit-learn defines them.

    Outputs: "node_embeddings" (n, d).

    Args:
      model: `(nodes (n, f), edges (e, 2), edges_mask, nodes_mask, train) -> (n, d)`; with
        `variational` of width 2 d.
      minimize: turns a loss into the training step.
      variational: whether the vectors are random.
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: `variational` with a model of odd width.
      ValueError: the batch has more than one graph.
    """
    width = getattr(model, "num_classes", 2)
    if variational and width % 2:
        raise ConfigError(f"variational=True needs a model of even width, not {width}")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        _check_one(batch)
        found, variables = trained(model, params, variables, batch, inputs, key)
        vectors, divergence = found, jnp.zeros(len(found))
        if variational:
            mean, log_std = jnp.split(found, 2, axis=1)
            noise = jax.random.normal(rng.for_batch(key, batch["index"], "latent"), mean.shape)
            vectors = mean + jnp.exp(log_std) * noise
            divergence = jnp.sum(divergence_from_standard(mean, 2 * log_std), axis=1)
        present, nodes_mask = batch["edges_mask"], batch["nodes_mask"]
        pairs = _random_pairs(rng.for_batch(key, batch["index"], "pairs"), batch)
        losses = optax.sigmoid_binary_cross_entropy(scores(vectors, batch["edges"]), 1.0)
        others = optax.sigmoid_binary_cross_entropy(scores(vectors, pairs), 0.0)
        edges, nodes = jnp.maximum(jnp.sum(present), 1), jnp.maximum(jnp.sum(nodes_mask), 1)
        loss = jnp.sum(where_present(losses + others, present)) / (2 * edges)
        loss += jnp.sum(where_present(divergence, nodes_mask)) / nodes**2
        return {"loss": pair(loss[None], batch["mask"])}, variables

    def embeddings(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "n d"]:
        found = evaluated(model, state, batch, inputs)
        return jnp.split(found, 2, axis=1)[0] if variational else found

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        _check_one(batch)
        found = scores(embeddings(state, batch, key), batch["pairs"][0])
        label = batch["pairs_label"][0]
        return {
            "auc": pair(area_under_curve(found, label)[None], batch["mask"]),
            "average_precision": pair(average_precision(found, label)[None], batch["mask"]),
        }

    learner = minimize(objective)
    return Task(init, learner.update, evaluate, {"node_embeddings": embeddings})


def scores(vectors: Float[Array, "n d"], pairs: Int[Array, "p 2"]) -> Float[Array, " p"]:
    """Returns the logits of pairs of nodes, the products of their vectors."""
    return jnp.sum(vectors[pairs[:, 0]] * vectors[pairs[:, 1]], axis=-1)


def area_under_curve(found: Float[Array, " p"], label: Float[Array, " p"]) -> Float[Array, ""]:
    """Returns the share of (edge, other pair) in which the edge is higher; a tie is a half."""
    higher = (found[:, None] > found[None]) + 0.5 * (found[:, None] == found[None])
    count = jnp.sum(label) * jnp.sum(1 - label)
    return jnp.sum(higher * label[:, None] * (1 - label)[None]) / count


def average_precision(found: Float[Array, " p"], label: Float[Array, " p"]) -> Float[Array, ""]:
    """Returns the mean over the edges of the precision among all that are as high or higher."""
    above = found[None] >= found[:, None]
    precision = jnp.sum(above * label[None], axis=1) / jnp.sum(above, axis=1)
    return jnp.sum(precision * label) / jnp.sum(label)


def _check_one(batch: Batch) -> None:
    if len(batch["mask"]) != 1:
        raise ValueError(f"link_prediction takes one graph a batch, not {len(batch['mask'])}")


def _random_pairs(key: PRNGKeyArray, batch: Batch) -> Int[Array, "e 2"]:
    """Draws as many pairs of nodes as there are places for edges; padding is at the end."""
    count = jnp.maximum(jnp.sum(batch["nodes_mask"]).astype(jnp.int32), 1)
    return jax.random.randint(key, batch["edges"].shape, 0, count)
