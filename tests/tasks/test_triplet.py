"""Triplets by hand, their gradient, and embeddings that learn to tell classes apart."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.config import ConfigError
from library.summaries import summarize
from library.task import minimize
from library.tasks.triplet import triplet, triplets

KEY = jax.random.key(0)
FOUND = jax.jit(functools.partial(triplets, margin=0.2))
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))
LABEL = np.array([0, 1, 0, 2, 1, 0, 1, 3])
MASK = np.array([1, 1, 1, 1, 0, 1, 1, 1], np.float32)


class Table(nn.Module):
    """Embeds an example by a param of its own, so that a test can choose it."""

    rows: tuple

    @nn.compact
    def __call__(self, image, train=False):
        return image @ self.param("rows", lambda key: jnp.asarray(self.rows))


def points(seed=0, count=8):
    x = np.random.default_rng(seed).normal(size=(count, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_hand(z, label, mask, margin):
    """Returns the loss of each pair of an anchor and a positive, and who has a near positive."""
    places, losses, nearest = [i for i in range(len(z)) if mask[i]], {}, {}
    for a in places:
        apart = {i: np.sum((z[a] - z[i]) ** 2) for i in places if i != a}
        negatives = [d for i, d in apart.items() if label[i] != label[a]]
        positives = {i: d for i, d in apart.items() if label[i] == label[a]}
        if not negatives or not positives:
            continue
        nearest[a] = min(positives.values()) < min(negatives)
        for p, d in positives.items():
            beyond = [n for n in negatives if n > d]
            losses[a, p] = max(0.0, d - (min(beyond) if beyond else max(negatives)) + margin)
    return losses, nearest


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_losses_are_those_of_semi_hard_negatives(seed):
    z = points(seed)
    # Padding that would be the nearest positive, were it counted.
    z[4] = z[1]
    found = jax.device_get(FOUND(jnp.float32(z), jnp.asarray(LABEL), jnp.asarray(MASK)))
    losses, nearest = by_hand(z, LABEL, MASK, 0.2)
    assert {(int(a), int(p)) for a, p in np.argwhere(found.counted)} == set(losses)
    for pair, value in losses.items():
        assert found.losses[pair] == pytest.approx(value, abs=2e-6)
    assert not found.losses[~found.counted].any()
    assert {a: bool(found.nearest[a]) for a in nearest} == nearest


def test_a_negative_beyond_the_positive_comes_before_a_nearer_one():
    # On a circle the squared distance grows with the angle.
    angles = np.array([0.0, 0.5, 0.4, 0.6, 2.0, 0.0, 0.0, 0.0])
    z = jnp.float32(np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1))
    apart, mask = 2 - 2 * np.cos(angles), jnp.float32(np.arange(8) < 5)
    found = FOUND(z, jnp.array([0, 0, 1, 1, 1, 0, 0, 0]), mask)
    assert found.losses[0, 1] == pytest.approx(apart[1] - apart[3] + 0.2, abs=1e-6)
    # Beyond the angle of 2 there is nothing: the farthest negative is taken.
    found = FOUND(z, jnp.array([0, 1, 1, 1, 0, 0, 0, 0]), mask)
    assert found.losses[0, 4] == pytest.approx(apart[4] - apart[3] + 0.2, abs=1e-6)


def test_a_batch_without_pairs_has_no_loss_and_no_slope():
    z = jnp.float32(points())

    @jax.jit
    @jax.value_and_grad
    def total(z, label):
        return jnp.sum(triplets(z, label, jnp.ones(8), 0.2).losses)

    for label in (np.arange(8), np.zeros(8, int)):
        value, slope = total(z, jnp.asarray(label))
        assert value == 0
        np.testing.assert_array_equal(slope, 0)


def test_metrics_and_the_step_by_hand():
    z = points(3) * np.linspace(0.5, 2, 8)[:, None]
    rows = tuple(map(tuple, z.tolist()))
    task = triplet(Table(rows), SGD, margin=0.5)
    place = jnp.arange(8, dtype=jnp.uint32)
    batch = {"image": jnp.eye(8), "label": jnp.asarray(LABEL), "mask": jnp.asarray(MASK)}
    batch |= {"index": place, "row": place}
    state = task.init(KEY, batch)

    def unit(z):
        return z / np.linalg.norm(z, axis=1, keepdims=True)

    def mean(z):
        return np.mean(list(by_hand(unit(z), LABEL, MASK, 0.5)[0].values()))

    moved, metrics = jax.jit(task.update)(state, batch, KEY)
    losses, nearest = by_hand(unit(z), LABEL, MASK, 0.5)
    found = summarize(jax.device_get({k: metrics[k] for k in ("loss", "active", "accuracy")}))
    assert found["loss"] == pytest.approx(mean(z), rel=1e-5)
    assert found["active"] == pytest.approx(np.mean([x > 0 for x in losses.values()]))
    assert found["accuracy"] == pytest.approx(np.mean(list(nearest.values())))
    evaluated = jax.jit(task.evaluate)(state, batch, KEY)
    assert summarize(jax.device_get(evaluated)) == pytest.approx(found)
    slope = np.asarray(state.params["rows"] - moved.params["rows"], np.float64)
    np.testing.assert_array_equal(slope[4], 0)
    step, along = 1e-5, np.random.default_rng(5).normal(size=z.shape)
    rise = (mean(z + step * along) - mean(z - step * along)) / (2 * step)
    assert np.sum(slope * along) == pytest.approx(rise, rel=1e-3)
    features = task.outputs["features"](state, batch, KEY)
    np.testing.assert_allclose(features, unit(z), atol=1e-6)


def test_what_has_no_triplets_is_refused():
    with pytest.raises(ConfigError, match=r"margin=0.0: squared distances .* 0 to 4"):
        triplet(Table(((1.0,),)), SGD, margin=0.0)
    task = triplet(Table(((1.0,),)), SGD)
    with pytest.raises(ConfigError, match=r"class of each example, label \(b,\); there are \['im"):
        task.init(KEY, {"image": jnp.ones((1, 1))})
