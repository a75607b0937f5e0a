"""Training against adversaries: nothing to fear is classification, a linear model by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from library import config, rng
from library.adversarial_examples import attacks
from library.config import ConfigError
from library.task import minimize
from library.tasks.adversarial_training import adversarial_training
from library.tasks.classification import classification
from tests import often, tiny

RANDOM = np.random.default_rng(0)
BATCH = {
    # In the units of a network that reads (x - 0.5) / 0.25.
    "image": jnp.asarray(RANDOM.uniform(-1.2, 1.2, (4, 2, 3, 1)), jnp.float32),
    "label": jnp.array([0, 1, 1, 0]),
    "index": jnp.arange(4, dtype=jnp.uint32),
    "row": jnp.arange(4, dtype=jnp.uint32),
    "mask": jnp.array([1.0, 1.0, 1.0, 0.0]),
}
KEY = jax.random.key(3)
IDENTITY = dict(normalize=lambda x: x, unnormalize=lambda x: x)
SCALED = dict(normalize=lambda x: (x - 0.5) / 0.25, unnormalize=lambda x: x * 0.25 + 0.5)
PGD = dict(name="pgd", epsilon=0.1, steps=3)


class Linear(nn.Module):
    """Logits that are linear in the pixels."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, image, train=False):
        """Returns logits (b, k)."""
        return nn.Dense(self.num_classes, name="head")(image.reshape(len(image), -1))


class Normalized(nn.Module):
    """A network with batch statistics and dropout."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, image, train=False):
        """Returns logits (b, k)."""
        x = nn.Dense(5, name="hidden")(image.reshape(len(image), -1))
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.Dropout(0.5, deterministic=not train, name="dropout")(nn.relu(x))
        return nn.Dense(self.num_classes, name="head")(x)


def build(adversary, model=None, **options):
    learn = functools.partial(minimize, optimizer=optax.sgd(0.1))
    options = {**SCALED, "num_examples": 4, **options}
    return adversarial_training(
        model or Linear(), learn, num_classes=2, adversary=adversary, **options
    )


@pytest.mark.full
@pytest.mark.parametrize(("name", "units"), often.first(1, [("fgsm", IDENTITY), ("pgd", SCALED)]))
def test_without_room_it_is_classification(name, units):
    batch = BATCH if units is SCALED else {**BATCH, "image": SCALED["unnormalize"](BATCH["image"])}
    task = build(dict(name=name, epsilon=0.0), Normalized(), label_smoothing=0.1, **units)
    learn = functools.partial(minimize, optimizer=optax.sgd(0.1))
    plain = classification(Normalized(), learn, num_classes=2, label_smoothing=0.1)
    state = task.init(KEY, batch)
    jax.tree.map(np.testing.assert_array_equal, state, plain.init(KEY, batch))
    results = [jax.jit(each.update)(state, batch, KEY) for each in (task, plain)]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), *results)
    evaluated = [jax.jit(each.evaluate)(state, batch, KEY) for each in (task, plain)]
    jax.tree.map(np.testing.assert_array_equal, *evaluated)


def test_fgsm_on_a_linear_model_by_hand():
    """The margin falls by epsilon |w|_1 over the scale of the pixels; away from the borders."""
    epsilon, scale = 0.1, 0.25
    task = build(dict(name="fgsm", epsilon=epsilon))
    state = task.init(KEY, BATCH)
    moved, metrics = jax.jit(task.update)(state, BATCH, KEY)
    kernel, bias = (np.float64(state.params["head"][k]) for k in ("kernel", "bias"))
    image, label = np.float64(BATCH["image"]).reshape(4, -1), np.asarray(BATCH["label"])
    weight = kernel[:, 1] - kernel[:, 0]
    sign = np.where(label == 1, 1, -1)
    margin = sign * (image @ weight + bias[1] - bias[0]) - epsilon / scale * np.abs(weight).sum()
    loss = np.log1p(np.exp(-margin))[:3]
    assert metrics["loss"][1] == 3
    np.testing.assert_allclose(metrics["loss"][0], loss.sum(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"][0], (margin[:3] > 0).sum())
    # The gradient is that of the loss at the changed images, these held fixed.
    changed = image - sign[:, None] * epsilon / scale * np.sign(weight)
    share = -sign * (1 - 1 / (1 + np.exp(-margin)))
    gradient = (changed * share[:, None])[:3].mean(0)
    step = (np.asarray(state.params["head"]["kernel"]) - moved.params["head"]["kernel"]) / 0.1
    np.testing.assert_allclose(step[:, 1], gradient, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(step[:, 0], -gradient, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_the_attacked_images():
    """The adversary sees running statistics and no dropout, and draws by example."""
    task = build(PGD, Normalized())
    learn = functools.partial(minimize, optimizer=optax.sgd(0.1))
    plain = classification(Normalized(), learn, num_classes=2)
    state = task.init(KEY, BATCH)

    def logits(pixels):
        image = SCALED["normalize"](pixels)
        return Normalized().apply({"params": state.params, **state.variables}, image)

    keys = rng.per_example(rng.purpose(KEY, "attack"), BATCH["index"])
    pixels = SCALED["unnormalize"](BATCH["image"])
    found = attacks.projected_gradient(logits, pixels, BATCH["label"], keys, epsilon=0.1, steps=3)
    assert np.abs(found - pixels).max() > 0.09
    attacked = {**BATCH, "image": SCALED["normalize"](found)}
    results = jax.jit(task.update)(state, BATCH, KEY), jax.jit(plain.update)(state, attacked, KEY)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), *results)


def test_changes_grow_over_the_first_epochs():
    """Of four examples and two epochs: after 0, 1, 2 and 8 examples none, 1/8, 1/4 and all."""
    batch = {**BATCH, "index": jnp.array([0, 1, 2, 8], jnp.uint32)}
    task = build(dict(name="fgsm", epsilon=0.1), warmup_epochs=2.0)
    state = task.init(KEY, batch)
    kernel, bias = (np.float64(state.params["head"][k]) for k in ("kernel", "bias"))
    weight, sign = kernel[:, 1] - kernel[:, 0], np.where(np.asarray(BATCH["label"]) == 1, 1, -1)
    margin = sign * (np.float64(BATCH["image"]).reshape(4, -1) @ weight + bias[1] - bias[0])
    margin -= 0.1 / 0.25 * np.abs(weight).sum() * np.array([0, 1 / 8, 1 / 4, 1])
    update = jax.jit(task.update)
    for i in range(4):
        _, metrics = update(state, {**batch, "mask": jnp.eye(4)[i]}, KEY)
        assert float(metrics["loss"][0]) == pytest.approx(np.log1p(np.exp(-margin[i])), rel=1e-4)


def test_mixed_labels_are_taken_for_their_greatest():
    task = build(PGD)
    state = task.init(KEY, BATCH)
    dense = {**BATCH, "label": jax.nn.one_hot(BATCH["label"], 2)}
    update = jax.jit(task.update)
    results = update(state, BATCH, KEY), update(state, dense, KEY)
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_a_warmup_that_is_none():
    with pytest.raises(ConfigError, match=r"warmup_epochs=-1\.0: valid are 0 or more"):
        build(PGD, warmup_epochs=-1.0)


@pytest.mark.parametrize(
    ("adversary", "message"),
    [
        (dict(name="pdg", epsilon=0.1), "unknown adversary 'pdg': did you mean 'pgd'"),
        (dict(name="fgsm", epsilon=0.1, steps=2), "adversary 'fgsm' takes no 'steps'"),
        (dict(name="fgsm"), "adversary 'fgsm' needs 'epsilon'"),
        (dict(name="fgsm", epsilon=8.0), r"epsilon=8\.0: valid are 0 to 1"),
        (dict(name="pgd", epsilon=0.1, steps=0), "steps=0"),
        (dict(name="pgd", epsilon=0.1, norm="l1"), "norm='l1'"),
        (dict(name="pgd", epsilon=0.1, step_size=-1.0), r"step_size=-1\.0"),
        ({}, "a adversary needs a name"),
    ],
)
def test_refused(adversary, message):
    with pytest.raises(ConfigError, match=message):
        build(adversary)


@pytest.mark.full
def test_devices_parts_and_strategies_agree(monkeypatch):
    """Starts are drawn by example; a recipe's units reach the task."""
    tiny.serve(monkeypatch, train=tiny.arrays(48))
    changes = dict(
        task=dict(name="adversarial_training", adversary=PGD),
        normalize=dict(mean=[0.4], std=[0.25]),
    )
    alone = tiny.take_steps(tiny.plan_on(1, **changes), 2).losses
    for devices, more in ((8, dict(accumulate=2)), (8, dict(parallel=dict(strategy="pmap")))):
        other = tiny.take_steps(tiny.plan_on(devices, **changes, **more), 2).losses
        np.testing.assert_allclose(other, alone, rtol=2e-5)
    clean = tiny.take_steps(tiny.plan_on(1), 1).losses
    assert alone[0] > clean[0] + 0.05


def test_adversaries_are_those_of_the_package():
    package = "library.adversarial_examples.adversaries"
    assert config.available(package) == ["fgsm", "pgd"]
