"""Attribute masking: pre-training of graph networks on molecules without any measured property.

Hu et al. 2020, "Strategies for pre-training graph neural networks" (arXiv 1905.12265), section
3.1.2. Some atoms are hidden, and the network predicts which elements they are from the atoms and
bonds around them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.finite import nan_unless
from library.forward import applied, recorded_outputs, variables_of
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair

INPUTS = ("nodes", "edges", "nodes_mask", "edges_mask", "edge_features")


def attribute_masking(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    rate: float = 0.15,
    labels: str = "node_kind",
    inputs: tuple[str, ...] = INPUTS,
) -> Task:
    """Builds the task of predicting the kind of nodes whose features are hidden.

    Each node is hidden with the same probability, at random in each step; an evaluation hides the
    same nodes each time. The metrics are loss and accuracy, means over the hidden nodes.

    Outputs: "features" (n, d), those of the nodes, with none hidden, and "intermediates".

    Args:
      model: takes `inputs`, then which nodes are hidden, float (n,), and `train`; returns logits
        (n, c).
      minimize: turns a loss into the training step.
      num_classes: number of kinds.
      rate: the probability.
      labels: the feature with the kind of each node, int (n,).
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: the model has another number of classes, or the rate is not between 0 and 1.
    """
    check_outputs(model, num_classes, "num_classes")
    if not 0 < rate < 1:
        raise ConfigError(f"attribute_masking, rate={rate}: valid are numbers between 0 and 1")

    def given(batch: Batch, masked: Float[Array, " n"]) -> list[Array]:
        return [*(batch[name] for name in inputs), masked]

    def hidden(batch: Batch, key: PRNGKeyArray) -> Float[Array, " n"]:
        drawn = jax.random.uniform(
            rng.for_batch(key, batch["index"], "masked"), batch[labels].shape
        )
        return batch["nodes_mask"] * (drawn < rate)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        masked = jnp.zeros_like(batch["nodes_mask"])
        key = rng.purpose(key, "params")
        return learner.init(model.init(key, *given(batch, masked), train=False))

    def metrics(logits: Float[Array, "n c"], batch: Batch, masked: Float[Array, " n"]) -> Metrics:
        label = batch[labels]
        known = (label >= 0) & (label < num_classes)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(known, label, 0))
        # A label outside the classes must show as a loss of NaN.
        losses = nan_unless(known, losses)
        correct = jnp.argmax(logits, axis=-1) == label
        return {"loss": pair(losses, masked), "accuracy": pair(correct, masked)}

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        masked = hidden(batch, key)
        logits, variables = applied(
            model, params, variables, given(batch, masked), key, batch["index"]
        )
        return metrics(logits, batch, masked), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        masked = hidden(batch, key)
        logits = model.apply(variables_of(state), *given(batch, masked), train=False)
        return metrics(logits, batch, masked)

    learner = minimize(objective)
    return Task(init, learner.update, evaluate, _outputs(model, inputs))


def _outputs(model: nn.Module, inputs: tuple[str, ...]) -> dict[str, Callable]:
    """Returns what the model stores if no node is hidden."""
    usual = recorded_outputs(model, (*inputs, "masked"))

    def unmasked(function: Callable) -> Callable:
        def output(state: TrainState, batch: Batch, key: PRNGKeyArray) -> PyTree:
            masked = jnp.zeros_like(batch["nodes_mask"])
            return function(state, {**batch, "masked": masked}, key)

        return output

    return {name: unmasked(function) for name, function in usual.items()}
