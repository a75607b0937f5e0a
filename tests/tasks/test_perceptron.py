"""The perceptron against a loop over examples, and its bound on mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image import mlp
from library.summaries import summarize
from library.tasks.perceptron import perceptron

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
# Whole numbers: sums are exact, and so is each comparison with 0.
X, LABEL = RANDOM.integers(-3, 4, (12, 4)), RANDOM.integers(0, 3, 12)


def batch_of(x, label, mask=None):
    place = jnp.arange(len(x), dtype=jnp.uint32)
    mask = jnp.ones(len(x)) if mask is None else jnp.float32(mask)
    found = dict(image=jnp.asarray(x, jnp.float32), label=jnp.asarray(label, jnp.int32))
    return {**found, "mask": mask, "index": place, "row": place}


def looped(x, label, classes):
    """Returns the weights before the first example and after each, with the bias, and mistakes."""
    x1, weights, mistakes = np.pad(x, ((0, 0), (0, 1)), constant_values=1), [], 0
    weights = [np.zeros((x.shape[1] + 1, classes))]
    for one, own in zip(x1, label):
        y = 2 * np.eye(classes)[own] - 1
        wrong = y * (one @ weights[-1]) <= 0
        weights.append(weights[-1] + np.outer(one, y * wrong))
        mistakes += wrong.sum()
    return np.array(weights), mistakes


@pytest.mark.parametrize("averaged", [True, pytest.param(False, marks=pytest.mark.full)])
def test_it_learns_example_by_example(averaged):
    task = perceptron(mlp.perceptron(num_classes=3), num_classes=3, averaged=averaged)
    update = jax.jit(task.update)
    padded = batch_of(X[6:], LABEL[6:], mask=[1] * 4 + [0] * 2)
    padded["image"] = padded["image"].at[4:].set(jnp.nan)
    state = jax.jit(task.init)(KEY, padded)
    for batch in (batch_of(X[:6], LABEL[:6]), padded):
        state, metrics = update(state, batch, KEY)
    weights, mistakes = looped(X[:10], LABEL[:10], 3)
    expected = weights.mean(0) if averaged else weights[-1]
    found = state.params["head"]
    np.testing.assert_allclose(found["kernel"], expected[:-1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["bias"], expected[-1], rtol=1e-6, atol=1e-6)
    assert summarize(jax.device_get(metrics))["total_mistakes"] == mistakes
    units = X @ expected[:-1] + expected[-1]
    measured = summarize(jax.device_get(jax.jit(task.evaluate)(state, batch_of(X, LABEL), KEY)))
    margins = units * (2 * np.eye(3)[LABEL] - 1)
    assert measured["loss"] == pytest.approx(np.maximum(-margins, 0).sum(1).mean(), rel=1e-5)
    assert measured["accuracy"] == pytest.approx(np.mean(units.argmax(1) == LABEL))


def test_mistakes_on_separable_examples_are_bounded():
    normal, x = np.array([0.6, -0.8]), RANDOM.normal(size=(200, 2))
    distance = x @ normal + 0.1
    x, distance = x[abs(distance) > 0.2], distance[abs(distance) > 0.2]
    task = perceptron(mlp.perceptron(num_classes=2), num_classes=2, averaged=False)
    batch, update = batch_of(x, distance > 0), jax.jit(task.update)
    state, last = jax.jit(task.init)(KEY, batch), None
    for _ in range(40):
        state, metrics = update(state, batch, KEY)
        last = float(metrics["mistakes"][0])
    # The bias is a weight of an input that is 1.
    radius = 1 + np.square(x).sum(1).max()
    margin = np.abs(distance).min() / np.sqrt(1 + 0.1**2)
    mistakes = np.asarray(state.variables["perceptron"]["mistakes"])
    assert last == 0
    assert (mistakes > 0).all()
    assert (mistakes <= radius / margin**2).all()
    # The units of two classes mirror each other.
    assert mistakes[0] == mistakes[1]
    assert float(jax.jit(task.evaluate)(state, batch, KEY)["mistakes"][0]) == 0


def test_a_model_without_a_head_is_refused():
    class Bare(mlp.nn.Module):
        @mlp.nn.compact
        def __call__(self, image, train=False):
            return mlp.nn.Dense(3, name="other")(image)

    task = perceptron(Bare(), num_classes=3)
    with pytest.raises(ConfigError, match=r"'head' of a model.* has the layers other"):
        task.init(KEY, batch_of(X, LABEL))
