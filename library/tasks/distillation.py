"""Distillation: a network learns from what a larger one, trained before, thinks of each image.

Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network" (arXiv 1503.02531),
section 2. The teacher sees the very image that the student does, crop, colours and all, as Beyer et
al. 2022, "Knowledge distillation: a good teacher is patient and consistent" (arXiv 2106.05237),
found to matter most: with `weight=1` and many epochs it is their function matching, of any two
classifiers of the same classes. With `targets="hard"` the student learns the class that the teacher
chooses, as in Touvron et al. 2021, "Training data-efficient image transformers & distillation
through attention" (arXiv 2012.12877), section 4, whose network keeps a head of its own for it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError, check_choice
from library.forward import applied
from library.task import Batch, Learner, Metrics, Task, TrainState, pair
from library.tasks.classification import classification

TEACHER = "teacher"
# What a model records that has one head for the labels and one for the teacher's predictions.
HEADS = ("class_logits", "distillation_logits")
_TEMPERATURE = 4.0


def distillation(
    model: nn.Module,
    minimize: Callable[..., Learner],
    *,
    num_classes: int,
    teacher: str,
    teaching: Callable[[str, str], tuple[Any, Callable[[Any, Array], Array]]],
    unnormalize: Callable[[Array], Array],
    targets: Literal["soft", "hard"] = "soft",
    temperature: float | None = None,
    weight: float = 0.9,
    label_smoothing: float = 0.0,
) -> Task:
    """Builds the task of predicting the classes that a finished classifier predicts.

    Minimized is weight T^2 KL(teacher_T || student_T) + (1 - weight) cross-entropy with the labels,
    where p_T = softmax(logits / T); T^2 keeps the gradients' size whatever the temperature T is.
    With hard targets the teacher is sure of its class: the divergence is the cross-entropy with it.

    A model that records "class_logits" and "distillation_logits", as `deit` does, learns from the
    labels by the former and from the teacher by the latter; others learn both by what they return.

    Metrics of training: loss, divergence (the first term without its weight), cross_entropy with
    the labels (without smoothing), accuracy, and agreement with the teacher's class, each of the
    logits that learn from it. Evaluation and outputs are those of `classification`. The teacher's
    params are kept in the variables "teacher", which nothing moves: they are part of the
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
      targets: the teacher's probabilities, or the class of its highest logit.
      temperature: T of soft targets; 4 if left out.
      weight: of the teacher's predictions; the labels have the rest.
      label_smoothing: of the labels, as in `classification`; the teacher's class is not smoothed.

    Raises:
      ConfigError: no such run, one with other classes, a temperature that is not positive or that
        hard targets do not read, a weight outside [0, 1], a smoothing outside [0, 1).
    """
    diverge = _divergence(targets, temperature)
    if not 0 <= weight <= 1:
        raise ConfigError(f"weight={weight}: valid are 0 to 1")
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing={label_smoothing}: valid are 0 to below 1")
    student = classification(model, minimize, num_classes=num_classes)
    wisdom, teach = teaching(teacher, "logits")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        _check_classes(teach, wisdom, unnormalize(batch["image"]), num_classes, teacher)
        variables = model.init(rng.purpose(key, "params"), batch["image"], train=False)
        return learner.init({**variables, TEACHER: jax.tree.map(jnp.asarray, wisdom)})

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        own = _without_teacher(variables)
        inputs, kept = [batch["image"]], ["intermediates"]
        logits, moved = applied(model, params, own, inputs, key, batch["index"], recorded=kept)
        recorded = moved.pop("intermediates", {})
        labelled, matched = (recorded.get(head, logits) for head in HEADS)
        taught = jax.lax.stop_gradient(teach(variables[TEACHER], unnormalize(batch["image"])))
        divergence = diverge(taught, matched)
        labels, mask = _dense(batch["label"], num_classes), batch["mask"]
        smooth = optax.smooth_labels(labels, label_smoothing)
        smoothed = optax.softmax_cross_entropy(labelled, smooth)
        metrics = {
            "loss": pair(weight * divergence + (1 - weight) * smoothed, mask),
            "divergence": pair(divergence, mask),
            "cross_entropy": pair(optax.softmax_cross_entropy(labelled, labels), mask),
            "accuracy": pair(_same_class(labelled, labels), mask),
            "agreement": pair(_same_class(matched, taught), mask),
        }
        return metrics, {**variables, **moved}

    learner = minimize(objective, spread={TEACHER: "constant"})
    outputs = {name: _alone(output) for name, output in student.outputs.items()}
    return Task(init, learner.update, _alone(student.evaluate), outputs, student.summaries)


def _without_teacher(variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    return {name: tree for name, tree in variables.items() if name != TEACHER}


def _alone(call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of the student's state as one of the state with its teacher."""

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Any:
        return call(state.replace(variables=_without_teacher(state.variables)), batch, key)

    return run


def _dense(label: Array, num_classes: int) -> Float[Array, "b k"]:
    mixed = jnp.issubdtype(label.dtype, jnp.floating)
    return label if mixed else jax.nn.one_hot(label, num_classes)


def _divergence(targets: str, temperature: float | None) -> Callable[[Array, Array], Array]:
    """Returns (teacher's logits, student's) -> each example's divergence."""
    check_choice("targets", targets, ("soft", "hard"))
    if targets == "hard":
        if temperature is not None:
            raise ConfigError(f"temperature={temperature} is read with targets='soft' only")
        return _from_choice
    temperature = _TEMPERATURE if temperature is None else temperature
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: it is above 0, and finite")
    return functools.partial(softened_divergence, temperature=temperature)


def _from_choice(teacher: Float[Array, "b k"], student: Float[Array, "b k"]) -> Float[Array, " b"]:
    chosen = jnp.argmax(teacher, axis=-1)
    return optax.softmax_cross_entropy_with_integer_labels(student, chosen)


def _same_class(a: Float[Array, "b k"], b: Float[Array, "b k"]) -> Bool[Array, " b"]:
    return jnp.argmax(a, axis=-1) == jnp.argmax(b, axis=-1)


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
