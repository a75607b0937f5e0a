"""A student's loss by hand, and that its teacher stays as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy.special import softmax
from scipy.stats import entropy

from library.config import ConfigError
from library.task import minimize
from library.tasks.distillation import distillation, softened_divergence

BATCH = {
    "image": jax.random.uniform(jax.random.key(0), (4, 2, 2, 1)),
    "label": jnp.array([0, 2, 1, 0]),
    "index": jnp.arange(4, dtype=jnp.uint32),
    "row": jnp.arange(4, dtype=jnp.uint32),
    "mask": jnp.array([1.0, 1.0, 1.0, 0.0]),
}


class Linear(nn.Module):
    """Logits that are linear in the pixels."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, image, train=False):
        """Returns logits (b, k)."""
        return nn.Dense(self.num_classes, name="head")(image.reshape(len(image), -1))


WISDOM = {"kernel": np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)}


def teaching(folder, output):
    assert (folder, output) == ("big", "logits")
    return WISDOM, lambda wisdom, image: image.reshape(len(image), -1) @ wisdom["kernel"]


def build(**options):
    return distillation(
        Linear(),
        lambda loss: minimize(loss, optimizer=optax.sgd(0.1)),
        num_classes=3,
        teacher="big",
        teaching=teaching,
        unnormalize=lambda image: image / 2 + 0.5,
        **options,
    )


def test_divergence_is_that_of_softened_probabilities():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 4))
    for temperature in (0.5, 1.0, 20.0):
        found = softened_divergence(jnp.asarray(a), jnp.asarray(b), temperature)
        p, q = softmax(a / temperature, -1), softmax(b / temperature, -1)
        np.testing.assert_allclose(
            found, temperature**2 * entropy(p, q, axis=-1), rtol=2e-4, atol=1e-4
        )


def test_loss_by_hand_and_a_teacher_that_stays():
    task = build(temperature=2.0, weight=0.7)
    state = task.init(jax.random.key(1), BATCH)
    moved, metrics = task.update(state, BATCH, jax.random.key(2))
    student = np.asarray(Linear().apply({"params": state.params}, BATCH["image"]))
    taught = np.asarray(BATCH["image"] / 2 + 0.5).reshape(4, -1) @ WISDOM["kernel"]
    divergence = 4 * entropy(softmax(taught / 2, -1), softmax(student / 2, -1), axis=-1)
    crossed = -np.log(softmax(student, -1)[np.arange(4), BATCH["label"]])
    for name, values in {
        "divergence": divergence,
        "cross_entropy": crossed,
        "loss": 0.7 * divergence + 0.3 * crossed,
        "agreement": student.argmax(-1) == taught.argmax(-1),
    }.items():
        total, count = metrics[name]
        assert count == 3
        np.testing.assert_allclose(total, values[:3].sum(), rtol=1e-5)
    np.testing.assert_array_equal(moved.variables["teacher"]["kernel"], WISDOM["kernel"])
    assert not np.array_equal(moved.params["head"]["kernel"], state.params["head"]["kernel"])


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    task = build(weight=1.0)
    state = task.init(jax.random.key(1), BATCH)
    # The student sees x, its teacher x / 2 + 1/2: the same logits by other weights.
    kernel = WISDOM["kernel"]
    same = {"head": {"kernel": jnp.asarray(kernel / 2), "bias": jnp.asarray(kernel.sum(0) / 2)}}
    moved, metrics = task.update(state.replace(params=same), BATCH, jax.random.key(2))
    assert abs(metrics["divergence"][0]) < 1e-5
    np.testing.assert_allclose(moved.params["head"]["kernel"], kernel / 2, atol=1e-6)


def test_evaluation_is_that_of_a_classifier():
    task = build()
    state = task.init(jax.random.key(1), BATCH)
    metrics = task.evaluate(state, BATCH, jax.random.key(2))
    logits = task.outputs["logits"](state, BATCH, jax.random.key(2))
    hits = np.asarray(logits).argmax(-1) == np.asarray(BATCH["label"])
    assert metrics["accuracy"] == (hits[:3].sum(), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [(dict(temperature=0.0), "temperature=0.0"), (dict(weight=1.5), "weight=1.5")],
)
def test_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_a_teacher_of_other_classes_is_refused(monkeypatch):
    monkeypatch.setitem(WISDOM, "kernel", np.ones((4, 5), np.float32))
    with pytest.raises(ConfigError, match="'big' knows 5 classes, the data 3"):
        build().init(jax.random.key(0), BATCH)
