"""Unsupervised domain adaptation: a model learns classes on one domain and predicts on another.

Ganin & Lempitsky 2015, "Unsupervised Domain Adaptation by Backpropagation" (arXiv 1409.7495). The
data come from two sources: one with labels and one without, each in its own order.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.forward import applied
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def domain_adaptation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    total_steps: int,
    source: str = "source",
    target: str = "target",
    gamma: float = 10.0,
    strength: float = 1.0,
) -> Task:
    """Builds the task of predicting `<source>_label` from features that do not show the domain.

    The gradient of the domain loss is reversed and multiplied by
    `strength` (2 / (1 + exp(-gamma p)) - 1), where p is the share of the run that is done
    (section 4).

    The metrics are loss, label_loss, accuracy (of the source), domain_loss and domain_accuracy. An
    evaluation adds target_accuracy where examples have `<target>_label`.

    Outputs: "logits" (b, c) and "features" (b, d) of the target's images.

    Args:
      model: `(image, strength, train) -> (logits (b, c), domain logits (b,))`, see
        library/models/image/domain_adversarial.py.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the source.
      total_steps: number of steps of the run.
      source: the name of the labelled source in `dataset.sources`.
      target: the name of the other source.
      gamma: how fast the strength rises.
      strength: the strength at the end of the run.

    Raises:
      ConfigError: the model has another number of classes, the strength is negative, or gamma is
        not positive.
    """
    check_outputs(model, num_classes, "num_classes")
    if strength < 0 or gamma <= 0:
        raise ConfigError(
            f"strength={strength}, gamma={gamma}: valid are strength from 0 and gamma above 0"
        )

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        image, own = batch[f"{source}_image"], rng.purpose(key, "params")
        return learner.init({**model.init(own, image, 0.0), "schedule": {"step": jnp.zeros(())}})

    def both(batch: Batch) -> Float[Array, "n h w c"]:
        # The two images of an example are neighbours, so that both stay on the example's device.
        pairs = jnp.stack([batch[f"{source}_image"], batch[f"{target}_image"]], axis=1)
        return pairs.reshape(-1, *pairs.shape[2:])

    def measured(logits: Array, domains: Array, batch: Batch) -> dict[str, tuple[Array, Array]]:
        label, mask = batch[f"{source}_label"], batch["mask"]
        own, twice = logits.reshape(len(mask), 2, -1)[:, 0], domains.reshape(-1, 2)
        each = optax.softmax_cross_entropy_with_integer_labels(own, label)
        truth = jnp.broadcast_to(jnp.array([0.0, 1.0]), twice.shape)
        between = jnp.mean(optax.sigmoid_binary_cross_entropy(twice, truth), axis=1)
        return {
            "loss": pair(each + between, mask),
            "label_loss": pair(each, mask),
            "accuracy": pair(jnp.argmax(own, axis=-1) == label, mask),
            "domain_loss": pair(between, mask),
            "domain_accuracy": pair(jnp.mean((twice > 0) == (truth > 0), axis=1), mask),
        }

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        schedule, rest = variables["schedule"], _without(variables)
        share = schedule["step"] / total_steps
        now = strength * (2 / (1 + jnp.exp(-gamma * share)) - 1)
        (logits, domains), moved = applied(
            model, params, rest, [both(batch), now], key, batch["index"]
        )
        following = {"schedule": {"step": schedule["step"] + 1}}
        return measured(logits, domains, batch), {**moved, **following}

    def apply(state: TrainState, image: Array, **options):
        variables = {"params": state.params, **_without(state.variables)}
        return model.apply(variables, image, **options)

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        return apply(state, batch[f"{target}_image"])[0]

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        _, recorded = apply(state, batch[f"{target}_image"], mutable=["intermediates"])
        return recorded["intermediates"]["features"]

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        found = measured(*apply(state, both(batch)), batch)
        if f"{target}_label" in batch:
            right = jnp.argmax(logits(state, batch, key), axis=-1) == batch[f"{target}_label"]
            found["target_accuracy"] = pair(right, batch["mask"])
        return found

    learner = minimize(objective, spread={"schedule": "replicated"})
    return Task(init, learner.update, evaluate, {"logits": logits, "features": features})


def _without(variables: PyTree) -> dict[str, PyTree]:
    return {name: tree for name, tree in variables.items() if name != "schedule"}
