"""What a hidden layer can that one layer cannot: exclusive or, three units for eight patterns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.data import point_sets
from library.models.generative import autoencoder
from library.models.image import mlp
from library.summaries import summarize
from library.task import minimize
from library.tasks.autoencoding import autoencoding
from library.tasks.classification import classification

KEY = jax.random.key(0)


def batch_of(problem):
    found = {
        key: jnp.asarray(x) for key, x in point_sets.arrays(f"points/{problem}", "train").items()
    }
    count = len(found["label"])
    if "image" in found:
        found["image"] = found["image"] / 255
    place = jnp.arange(count, dtype=jnp.uint32)
    return {**found, "mask": jnp.ones(count), "index": place, "row": place}


def trained(task, batch, count):
    def steps(state):
        return jax.lax.scan(lambda s, _: (task.update(s, batch, KEY)[0], ()), state, None, count)[0]

    return jax.jit(lambda: steps(task.init(KEY, batch)))()


def classifier(hidden, optimizer):
    network = mlp.mlp(num_classes=2, hidden=hidden, activation="tanh")
    minimized = functools.partial(minimize, optimizer=optimizer)
    return classification(network, minimized, num_classes=2, inputs=("features",))


def test_one_layer_has_its_least_loss_where_it_knows_nothing():
    task, batch = classifier((), optax.sgd(1.0)), batch_of("xor")
    start = jax.jit(task.init)(KEY, batch)
    # The loss is convex, so a slope of 0 is its minimum.
    start = start.replace(params=jax.tree.map(jnp.zeros_like, start.params))
    state, metrics = jax.jit(task.update)(start, batch, KEY)
    jax.tree.map(functools.partial(np.testing.assert_allclose, desired=0, atol=1e-7), state.params)
    assert summarize(jax.device_get(metrics))["loss"] == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.full
def test_two_layers_learn_exclusive_or():
    task, batch = classifier((4,), optax.adam(0.05)), batch_of("xor")
    state = trained(task, batch, 400)
    found = summarize(jax.device_get(jax.jit(task.evaluate)(state, batch, KEY)), task.summaries)
    assert found["accuracy"] == 1
    assert found["loss"] < 0.05


@pytest.mark.full
def test_three_units_hold_eight_patterns():
    model = autoencoder.dense((1, 8, 1), latent_dim=3, code_activation="sigmoid")
    sgd = functools.partial(minimize, optimizer=optax.sgd(0.5, momentum=0.9))
    task, batch = autoencoding(model, sgd, loss="squared_error"), batch_of("encoder")
    state = trained(task, batch, 4000)
    rebuilt, code = jax.jit(
        lambda: [task.outputs[name](state, batch, KEY) for name in ("reconstruct", "encode")]
    )()
    np.testing.assert_array_equal(np.asarray(rebuilt)[:, 0, :, 0].argmax(1), np.arange(8))
    distances = np.linalg.norm(code[:, None] - code[None], axis=-1) + 9 * np.eye(8)
    assert distances.min() > 0.3
