"""Distillation: a network learns from what a larger one, trained before, thinks of each image.

Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network" (arXiv 1503.02531),
section 2. The teacher sees the very image that the student does, crop, colours and all, as Beyer et
al. 2022, "Knowledge distillation: a good teacher is patient and consistent" (arXiv 2106.05237),
found to matter most: with `weight=1` and many epochs it is their function matching.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair
from library.tasks.classification import classification

TEACHER = "teacher"


def distillation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    teacher: str,
    teaching: Callable[[str, str], tuple[Any, Callable[[Any, Array], Array]]],
    unnormalize: Callable[[Array], Array],
    temperature: float = 4.0,
    weight: float = 0.9,
) -> Task:
    """Builds the task of predicting the classes that a finished classifier predicts.

    Minimized is weight T^2 KL(teacher_T || student_T) + (1 - weight) cross-entropy with the labels,
    where p_T = softmax(logits / T); T^2 keeps the gradients' size whatever the temperature T is.

    Metrics of training: loss, divergence (the first term without its weight), cross_entropy,
    accuracy, and agreement with the teacher's class. Evaluation and outputs are those of
    `classification`. The teacher's params are kept in the variables "teacher": they are part of the
    checkpoints, so its workdir need not outlive the first start, except for programs that build the
    task anew.

    Args:
      model: `(image (b, h, w, c), train) -> logits (b, num_classes)`.
      minimize: turns a loss into the training step.
      num_classes: classes of the data set.
      teacher: the workdir of the finished classifier.
      teaching: brings it back: (workdir, output) -> its state, and (state, image in [0, 1]) ->
        output.
      unnormalize: brings the batch's images back to [0, 1].
      temperature: T.
      weight: of the teacher's predictions; the labels have the rest.

    Raises:
      ConfigError: no such run, one with other classes, a temperature that is not positive, a
        weight outside [0, 1].
    """
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: it is above 0, and finite")
    if not 0 <= weight <= 1:
        raise ConfigError(f"weight={weight}: valid are 0 to 1")
    student = classification(model, minimize, num_classes=num_classes)
    wisdom, teach = teaching(teacher, "logits")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        _check_classes(teach, wisdom, unnormalize(batch["image"]), num_classes, teacher)
        variables = model.init(rng.purpose(key, "params"), batch["image"], train=False)
        return learner.init({**variables, TEACHER: jax.tree.map(jnp.asarray, wisdom)})

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        own = {name: tree for name, tree in variables.items() if name != TEACHER}
        logits, moved = model.apply(
            {"params": params, **own},
            batch["image"],
            train=True,
            rngs={"dropout": rng.for_batch(key, batch["index"], "dropout")},
            mutable=list(own),
        )
        taught = jax.lax.stop_gradient(teach(variables[TEACHER], unnormalize(batch["image"])))
        divergence = softened_divergence(taught, logits, temperature)
        labels = batch["label"]
        if not jnp.issubdtype(labels.dtype, jnp.floating):
            labels = jax.nn.one_hot(labels, num_classes)
        entropy = optax.softmax_cross_entropy(logits, labels)
        best, mask = jnp.argmax(logits, axis=-1), batch["mask"]
        metrics = {
            "loss": pair(weight * divergence + (1 - weight) * entropy, mask),
            "divergence": pair(divergence, mask),
            "cross_entropy": pair(entropy, mask),
            "accuracy": pair(best == jnp.argmax(labels, axis=-1), mask),
            "agreement": pair(best == jnp.argmax(taught, axis=-1), mask),
        }
        return metrics, {**variables, **moved}

    learner = minimize(objective)

    def alone(call: Callable) -> Callable:
        def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Any:
            own = {name: tree for name, tree in state.variables.items() if name != TEACHER}
            return call(state.replace(variables=own), batch, key)

        return run

    outputs = {name: alone(output) for name, output in student.outputs.items()}
    return Task(init, learner.update, alone(student.evaluate), outputs)


def softened_divergence(
    teacher: Float[Array, "b k"], student: Float[Array, "b k"], temperature: float
) -> Float[Array, " b"]:
    """Returns T^2 KL(softmax(teacher / T) || softmax(student / T)), in nats."""
    expected = jax.nn.log_softmax(teacher / temperature)
    found = jax.nn.log_softmax(student / temperature)
    return temperature**2 * jnp.sum(jnp.exp(expected) * (expected - found), axis=-1)


def _check_classes(
    teach: Callable, wisdom: Any, image: Array, num_classes: int, folder: str
) -> None:
    found = jax.eval_shape(teach, wisdom, image).shape[-1]
    if found != num_classes:
        raise ConfigError(f"teacher {folder!r} knows {found} classes, the data {num_classes}")
