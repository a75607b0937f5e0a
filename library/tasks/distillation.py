"""Distillation: a network learns the predictions of a larger network that is already trained.

Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network" (arXiv 1503.02531),
section 2. The teacher sees exactly the image that the student sees, with the same crop and colours.
Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent" (arXiv
2106.05237), find that this matters most: with `weight=1` and many epochs this task is their
function matching, for any two classifiers of the same classes. With `targets="hard"` the student
learns the class that the teacher chooses, as in Touvron et al. 2021, "Training data-efficient image
transformers & distillation through attention" (arXiv 2012.12877), section 4, whose network has a
separate head for it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from library.config import ConfigError, check_choice, nearest
from library.finite import nan_unless
from library.forward import initialized, trained
from library.task import Batch, Learner, Metrics, Task, TrainState, pair
from library.tasks.classification import classification

TEACHER = "teacher"
# Logits that a model with two heads records: for the labels, and for the teacher's predictions.
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
    inputs: tuple[str, ...] = ("image",),
    kinds: Mapping[str, str] = {"image": "image"},
) -> Task:
    """Builds the task of predicting the classes that a finished classifier predicts.

    The loss is weight T^2 KL(teacher_T || student_T) + (1 - weight) cross-entropy with the labels,
    where p_T = softmax(logits / T); T^2 keeps the size of the gradients the same for any
    temperature T. With hard targets the teacher gives its class probability 1: the divergence is
    the cross-entropy with that class.

    A model that records "class_logits" and "distillation_logits", as `deit` does, learns from the
    labels by the former and from the teacher by the latter. Other models learn from both by the
    logits that they return.

    The training metrics are loss, divergence (the first term without its weight), cross_entropy
    with the labels (without smoothing), accuracy, and agreement with the teacher's class. The
    metrics of labels use the logits that learn from the labels, the others those that learn from
    the teacher. Evaluation and outputs are those of `classification`. The variables "teacher" hold
    the teacher's params, which training does not change; they are part of the checkpoints. The
    teacher's workdir must exist whenever the task is built, also when a run resumes.

    Args:
      model: `(image (b, h, w, c), train) -> logits (b, num_classes)`; it takes `inputs` in place of
        the image.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the dataset.
      teacher: the workdir of the finished classifier.
      teaching: loads the teacher: (workdir, output) -> its state, and a function (state, image in
        [0, 1]) -> output.
      unnormalize: maps the batch's images back to [0, 1].
      targets: "soft", the teacher's probabilities, or "hard", the class of its highest logit.
      temperature: T of soft targets; 4 by default.
      weight: factor of the divergence from the teacher; the labels have 1 - weight.
      label_smoothing: smoothing of the labels, as in `classification`; the teacher's class is not
        smoothed.
      inputs: the features that the student takes, in order; the first is the image that the teacher
        sees.
      kinds: the kinds of the features.

    Raises:
      ConfigError: there is no such run, it has other classes, a temperature is not positive or
        given with hard targets, a weight is outside [0, 1], a smoothing is outside [0, 1), or the
        first input is no image.
    """
    diverge = _divergence(targets, temperature)
    if not 0 <= weight <= 1:
        raise ConfigError(f"weight={weight}: valid are 0 to 1")
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing={label_smoothing}: valid are 0 to below 1")
    _check_seen(inputs, kinds)
    student = classification(model, minimize, num_classes=num_classes, inputs=inputs)
    teacher_state, teach = teaching(teacher, "logits")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        _check_classes(teach, teacher_state, unnormalize(batch[inputs[0]]), num_classes, teacher)
        variables = initialized(model, key, batch, inputs)
        return learner.init({**variables, TEACHER: jax.tree.map(jnp.asarray, teacher_state)})

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        own = _without_teacher(variables)
        kept = ["intermediates"]
        logits, moved = trained(model, params, own, batch, inputs, key, recorded=kept)
        recorded = moved.pop("intermediates", {})
        labelled, matched = (recorded.get(head, logits) for head in HEADS)
        taught = jax.lax.stop_gradient(teach(variables[TEACHER], unnormalize(batch[inputs[0]])))
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


def _check_seen(inputs: tuple[str, ...], kinds: Mapping[str, str]) -> None:
    first = inputs[0] if inputs else None
    if kinds.get(first) != "image":
        images = [name for name, kind in kinds.items() if kind == "image"]
        raise ConfigError(
            f"inputs={inputs}: the teacher sees the first input, which must be an image; "
            f"{nearest(first, images)}"
        )


def _without_teacher(variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    return {name: tree for name, tree in variables.items() if name != TEACHER}


def _alone(call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `call`, which takes the student's state, as a function of the state with teacher."""

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Any:
        return call(state.replace(variables=_without_teacher(state.variables)), batch, key)

    return run


def _dense(label: Array, num_classes: int) -> Float[Array, "b k"]:
    mixed = jnp.issubdtype(label.dtype, jnp.floating)
    if mixed:
        return label
    # As in a classification, a label outside the classes makes the loss NaN.
    known = (label >= 0) & (label < num_classes)
    return nan_unless(known[:, None], jax.nn.one_hot(label, num_classes))


def _divergence(targets: str, temperature: float | None) -> Callable[[Array, Array], Array]:
    """Returns the function (teacher's logits, student's logits) -> each example's divergence."""
    check_choice("targets", targets, ("soft", "hard"))
    if targets == "hard":
        if temperature is not None:
            raise ConfigError(f"temperature={temperature} is read with targets='soft' only")
        return _from_choice
    temperature = _TEMPERATURE if temperature is None else temperature
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: valid are finite numbers above 0")
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
    teach: Callable, teacher_state: Any, image: Array, num_classes: int, folder: str
) -> None:
    found = jax.eval_shape(teach, teacher_state, image).shape[-1]
    if found != num_classes:
        raise ConfigError(f"teacher {folder!r} has {found} classes, the dataset has {num_classes}")
