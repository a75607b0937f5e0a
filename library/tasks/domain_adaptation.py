"""Unsupervised domain adaptation: a model learns classes on one domain and predicts on another.

Ganin & Lempitsky 2015, "Unsupervised Domain Adaptation by Backpropagation" (arXiv 1409.7495). The
data come from two sources: one with labels and one without, each in its own order.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.forward import applied, evaluated, recorded_outputs, variables_of
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def domain_adaptation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    total_steps: int,
    batch_size: int,
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
      batch_size: examples per step.
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
        variables = model.init(rng.purpose(key, "params"), batch[f"{source}_image"], 0.0)
        return learner.init(variables)

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        # The place in the run's order tells the step, also within a part of an accumulated batch.
        step = batch["index"][0] // batch_size
        now = strength * _rise(step / total_steps, gamma)
        inputs = [_both(batch, source, target), now]
        (logits, domains), moved = applied(model, params, variables, inputs, key, batch["index"])
        return _metrics(logits, domains, batch[f"{source}_label"], batch["mask"]), moved

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        return evaluated(model, state, batch, [f"{target}_image"])[0]

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        found = model.apply(variables_of(state), _both(batch, source, target))
        metrics = _metrics(*found, batch[f"{source}_label"], batch["mask"])
        if f"{target}_label" in batch:
            right = jnp.argmax(logits(state, batch, key), axis=-1) == batch[f"{target}_label"]
            metrics["target_accuracy"] = pair(right, batch["mask"])
        return metrics

    learner = minimize(objective)
    features = recorded_outputs(model, (f"{target}_image",))["features"]
    return Task(init, learner.update, evaluate, {"logits": logits, "features": features})


def _rise(share: Float[Array, ""], gamma: float) -> Float[Array, ""]:
    """Returns lambda_p, the strength of the reversed gradient, at a share p of the run.

    It rises from 0 to 1 (section 4).
    """
    return 2 / (1 + jnp.exp(-gamma * share)) - 1


def _both(batch: Batch, source: str, target: str) -> Float[Array, "n h w c"]:
    """Returns the images of both domains, n = 2b: source, target, source, ..."""
    # The two images of an example are neighbours, so that both stay on the example's device.
    pairs = jnp.stack([batch[f"{source}_image"], batch[f"{target}_image"]], axis=1)
    return pairs.reshape(-1, *pairs.shape[2:])


def _metrics(
    logits: Float[Array, "n c"],
    domains: Float[Array, " n"],
    label: Int[Array, " b"],
    mask: Float[Array, " b"],
) -> dict[str, tuple[Array, Array]]:
    """Returns the loss and its two parts, of images in the order of `_both`.

    The label loss is that of the source's image alone, the domain loss the mean of both images.
    The gradient of the domain loss is reversed in the model, so both are added here.
    """
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
