"""A student's loss by hand, and that its teacher stays as it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy.special import softmax
from scipy.stats import entropy

from library.config import ConfigError
from library.models.image.deit import DistilledVisionTransformer
from library.task import minimize
from library.tasks.distillation import HEADS, distillation, softened_divergence

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


def build(model=None, **options):
    return distillation(
        model or Linear(),
        functools.partial(minimize, optimizer=optax.sgd(0.1)),
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


class Normalized(nn.Module):
    """Batch normalization, dropout, and a record of what no loss reads."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, image, train=False):
        """Returns logits (b, k)."""
        x = nn.BatchNorm(not train, name="norm")(image.reshape(len(image), -1))
        self.sow("intermediates", "features", x)
        x = nn.Dropout(0.5, deterministic=not train, name="dropout")(x)
        return nn.Dense(self.num_classes, name="head")(x)


def taught():
    """The teacher's logits."""
    return np.asarray(BATCH["image"] / 2 + 0.5).reshape(4, -1) @ WISDOM["kernel"]


class Both(nn.Module):
    """Logits that are linear in the pixels and in a code."""

    @nn.compact
    def __call__(self, photo, code, train=False):
        """Returns logits (b, 3)."""
        flat = jnp.concatenate([photo.reshape(len(photo), -1), code], axis=-1)
        return nn.Dense(3, name="head")(flat)


def test_a_student_of_several_features_learns_from_a_teacher_of_the_first():
    rest = {name: x for name, x in BATCH.items() if name != "image"}
    code = jax.random.normal(jax.random.key(3), (4, 2))
    batch = {**rest, "photo": BATCH["image"], "code": code}
    given = dict(inputs=("photo", "code"), kinds={"photo": "image", "code": "array"})
    task = build(Both(), temperature=1.0, **given)
    state = task.init(jax.random.key(1), batch)
    _, metrics = task.update(state, batch, jax.random.key(2))
    logits = Both().apply({"params": state.params}, batch["photo"], code)
    divergence = entropy(softmax(taught(), -1), softmax(np.asarray(logits), -1), axis=-1)
    np.testing.assert_allclose(metrics["divergence"][0], divergence[:3].sum(), rtol=1e-5)
    found = task.outputs["logits"](state, batch, jax.random.key(2))
    np.testing.assert_allclose(found, logits, rtol=1e-6)
    for inputs in (("code", "photo"), ()):
        with pytest.raises(ConfigError, match=r"must be an image; .*\(valid: photo\)"):
            build(Both(), **{**given, "inputs": inputs})


def test_hard_targets_are_the_class_that_the_teacher_chooses():
    task = build(targets="hard", weight=0.25, label_smoothing=0.3)
    state = task.init(jax.random.key(1), BATCH)
    _, metrics = task.update(state, BATCH, jax.random.key(2))
    logs = np.log(softmax(Linear().apply({"params": state.params}, BATCH["image"]), -1))
    chosen = -logs[np.arange(4), taught().argmax(-1)]
    crossed = -logs[np.arange(4), BATCH["label"]]
    smoothed = 0.7 * crossed - 0.3 * logs.mean(-1)
    for name, values in {
        "divergence": chosen,
        "cross_entropy": crossed,
        "loss": 0.25 * chosen + 0.75 * smoothed,
    }.items():
        np.testing.assert_allclose(metrics[name][0], values[:3].sum(), rtol=1e-5)


@pytest.mark.full
def test_a_head_of_its_own_learns_from_the_teacher_and_the_other_from_the_labels():
    model = DistilledVisionTransformer(3, width=8, depth=1, num_heads=2, patch_size=1)
    task = build(model, temperature=2.0, weight=0.4)
    state = jax.jit(task.init)(jax.random.key(1), BATCH)
    # Heads that start alike would hide one taken for the other.
    params = jax.tree.map(lambda p: 10 * p, state.params)
    state = state.replace(params=params)
    moved, metrics = jax.jit(task.update)(state, BATCH, jax.random.key(2))
    apply = jax.jit(lambda x: model.apply({"params": params}, x, True, mutable=["intermediates"]))
    _, recorded = jax.tree.map(np.asarray, apply(BATCH["image"]))
    by_class, by_token = (recorded["intermediates"][name] for name in HEADS)
    assert np.abs(by_class - by_token).max() > 0.1
    crossed = -np.log(softmax(by_class, -1)[np.arange(4), BATCH["label"]])
    learnt = 4 * entropy(softmax(taught() / 2, -1), softmax(by_token / 2, -1), axis=-1)
    expected = {
        "divergence": learnt,
        "cross_entropy": crossed,
        "loss": 0.4 * learnt + 0.6 * crossed,
        "accuracy": by_class.argmax(-1) == BATCH["label"],
        "agreement": by_token.argmax(-1) == taught().argmax(-1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(metrics[name][0], values[:3].sum(), rtol=1e-5, err_msg=name)
    for head in ("head", "distillation_head"):
        assert not np.array_equal(moved.params[head]["bias"], params[head]["bias"])
    answer = jax.jit(task.outputs["logits"])(state, BATCH, jax.random.key(2))
    np.testing.assert_allclose(answer, (by_class + by_token) / 2, rtol=1e-4, atol=1e-5)


def test_function_matching_reads_no_label_and_suits_any_classifier():
    task = build(Normalized(), weight=1.0, temperature=1.0)
    state = jax.jit(task.init)(jax.random.key(1), BATCH)
    others, update = {**BATCH, "label": jnp.array([1, 1, 2, 0])}, jax.jit(task.update)
    (moved, metrics), (same, _) = (
        update(state, batch, jax.random.key(2)) for batch in (BATCH, others)
    )
    assert metrics["loss"] == metrics["divergence"]
    jax.tree.map(np.testing.assert_array_equal, moved.params, same.params)
    assert set(moved.variables) == {"batch_stats", "teacher"}
    mean = np.asarray(BATCH["image"]).reshape(4, -1).mean(0)
    statistics = moved.variables["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.01 * mean, rtol=1e-5)


def test_evaluation_is_that_of_a_classifier():
    task = build()
    state = task.init(jax.random.key(1), BATCH)
    metrics = task.evaluate(state, BATCH, jax.random.key(2))
    logits = task.outputs["logits"](state, BATCH, jax.random.key(2))
    hits = np.asarray(logits).argmax(-1) == np.asarray(BATCH["label"])
    assert metrics["accuracy"] == (hits[:3].sum(), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(temperature=0.0), "temperature=0.0"),
        (dict(weight=1.5), "weight=1.5"),
        (dict(label_smoothing=1.0), "label_smoothing=1.0"),
        (dict(targets="hard", temperature=2.0), "temperature=2.0 is read with targets='soft' only"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_a_teacher_of_other_classes_is_refused(monkeypatch):
    monkeypatch.setitem(WISDOM, "kernel", np.ones((4, 5), np.float32))
    with pytest.raises(ConfigError, match="'big' has 5 classes, the dataset has 3"):
        build().init(jax.random.key(0), BATCH)
