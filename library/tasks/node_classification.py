"""Classification of the nodes of graphs, of which only some have a known label in training.

Kipf & Welling 2017, "Semi-supervised classification with graph convolutional networks" (arXiv
1609.02907), equation 10: the cross-entropy over the labelled nodes, with messages of all nodes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair

NODES = ("nodes", "edges", "edges_mask", "nodes_mask")


def node_classification(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    labels: str = "node_label",
    counted: str = "node_counted",
    inputs: tuple[str, ...] = NODES,
) -> Task:
    """Builds the task of predicting the class of each node.

    The metrics are loss and accuracy, means over the nodes that count. Which these are is a feature
    of a split, see `library.data.preprocessing.graphs.count_nodes`: on one graph, training, tuning
    and testing differ in it alone.

    Outputs: "node_logits" and "node_probabilities" (n, c) of the nodes of the batch; "features" and
    "intermediates", what the model stores.

    Args:
      model: `(nodes (n, f), edges (e, 2), edges_mask, nodes_mask, train) -> logits (n, c)`; it
        takes `inputs` in place of these.
      minimize: turns a loss into the training step.
      num_classes: number of classes.
      labels: the feature with the classes, int (n,); any number on nodes that do not count.
      counted: the feature with 1 for a node that counts and 0 for others, float (n,).
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: the model has another number of classes.
    """
    check_outputs(model, num_classes, "num_classes")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def metrics(logits: Float[Array, "n c"], batch: Batch) -> Metrics:
        label, weight = batch[labels], batch[counted]
        known = (label >= 0) & (label < num_classes)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(known, label, 0))
        # A label outside the classes must show as a loss of NaN.
        losses = nan_unless(known, losses)
        correct = jnp.argmax(logits, axis=-1) == label
        return {"loss": pair(losses, weight), "accuracy": pair(correct, weight)}

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        logits, variables = trained(model, params, variables, batch, inputs, key)
        return metrics(logits, batch), variables

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "n c"]:
        return evaluated(model, state, batch, inputs)

    def probabilities(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "n c"]:
        return jax.nn.softmax(logits(state, batch, key))

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return metrics(logits(state, batch, key), batch)

    learner = minimize(objective)
    outputs = {"node_logits": logits, "node_probabilities": probabilities}
    return Task(init, learner.update, evaluate, {**outputs, **recorded_outputs(model, inputs)})
