"""A race: several networks learn to classify the same batches, side by side in one run.

The networks, or their optimizers, differ in one thing, and the run's report has the curves of all:
of optimizers (Kingma & Ba 2015, "Adam: a method for stochastic optimization", figures 1 and 2), of
penalties, or of activations.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library.config import ConfigError
from library.finite import nan_unless
from library.forward import applied, initialized
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def race(
    model: Mapping[str, nn.Module] | nn.Module,
    alternate: Callable[..., Learner],
    *,
    num_classes: int,
    inputs: tuple[str, ...] = ("image",),
) -> Task:
    """Builds the task of predicting `batch["label"]` with each of several networks by itself.

    Networks of the same shapes start from the same params. Each minimizes its own cross-entropy
    with its own optimizer, and no network sees another.

    The metrics are NAME_loss and NAME_accuracy of each network, in training with its regularization
    such as dropout, and in evaluation without.

    Outputs: "logits" (b, n, c) of the n networks, in the order of the config, and "NAME_logits"
    (b, c) of each.

    Args:
      model: networks by name, `(image (b, h, w, c), train) -> logits (b, num_classes)`; they take
        `inputs` in place of the image, and have no variables but params.
      alternate: makes the training step of several players with losses of their own.
      num_classes: number of classes of the dataset.
      inputs: the features that the networks take, in order.

    Raises:
      ConfigError: there is one network only, or a network has another number of classes, or
        variables that are not params.
    """
    if not isinstance(model, Mapping):
        raise ConfigError(
            "a race needs several networks by name, such as model=dict(sgd=dict(name='mlp'), "
            "adam=dict(name='mlp')), and an optimizer for each name"
        )
    for network in model.values():
        check_outputs(network, num_classes, "num_classes")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        params = {}
        for name, network in model.items():
            variables = initialized(network, key, batch, inputs)
            if set(variables) != {"params"}:
                others = ", ".join(sorted(set(variables) - {"params"}))
                raise ConfigError(f"model.{name} has {others}: networks of a race have params only")
            params[name] = variables["params"]
        return learner.init({"params": params})

    def objective(name: str) -> Loss:
        def loss(
            params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
        ) -> tuple[Metrics, PyTree]:
            given = [batch[feature] for feature in inputs]
            logits, _ = applied(model[name], params[name], {}, given, key, batch["index"])
            return _measured(logits, batch), variables

        return loss

    def logits(name: str) -> Callable[..., Float[Array, "b c"]]:
        def output(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
            given = (batch[feature] for feature in inputs)
            return model[name].apply({"params": state.params[name]}, *given, train=False)

        return output

    each = {name: logits(name) for name in model}

    def together(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b n c"]:
        return jnp.stack([output(state, batch, key) for output in each.values()], axis=1)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        found: dict[str, Any] = {}
        for name, output in each.items():
            metrics = _measured(output(state, batch, key), batch)
            found |= {f"{name}_{metric}": value for metric, value in metrics.items()}
        return found

    learner = alternate({name: objective(name) for name in model})
    outputs = {"logits": together, **{f"{name}_logits": f for name, f in each.items()}}
    return Task(init, learner.update, evaluate, outputs)


def _measured(logits: Float[Array, "b c"], batch: Batch) -> Metrics:
    label, mask = batch["label"], batch["mask"]
    each = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    # A number outside the classes must show as a NaN loss.
    each = nan_unless((label >= 0) & (label < logits.shape[-1]), each)
    right = jnp.argmax(logits, axis=-1) == label
    return {"loss": pair(each, mask), "accuracy": pair(right, mask)}
