"""NT-Xent by hand, its gradient, and that no device sees other negatives than one alone would."""

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
from library.tasks.contrastive import contrastive, nt_xent
from tests import tiny

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))
RANDOM = np.random.default_rng(0)
MASK = np.array([1, 1, 0, 1, 1], np.float32)
SIMCLR = dict(
    name="simclr",
    encoder=dict(name="cnn.small", widths=(8,), norm="group"),
    width=8,
    norm="none",
)
VIEWS = dict(
    model=SIMCLR,
    task=dict(name="contrastive", temperature=0.5),
    views=2,
    augment=[dict(name="random_crop", padding=2)],
    optimizer=dict(name="sgd", learning_rate=0.1),
)


class Echo(nn.Module):
    """Projects an image (1, 1, c) to its channels times a param, so that a test can choose them."""

    features: bool = True

    @nn.compact
    def __call__(self, image, train=False):
        scale = self.param("scale", nn.initializers.ones, image.shape[-1:])
        if self.features:
            self.sow("intermediates", "features", image[:, 0, 0], reduce_fn=lambda _, new: new)
        return image[:, 0, 0] * scale


def on_sphere(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_hand(z, mask, temperature):
    """Equation 1 for each view i of each image, in loops."""
    images, views, _ = z.shape
    real = [(i, v) for i in range(images) for v in range(views) if mask[i]]
    losses, correct = np.zeros((images, views)), np.zeros((images, views))
    for i, v in real:
        logits = {pair: z[i, v] @ z[pair] / temperature for pair in real if pair != (i, v)}
        positive = logits[i, 1 - v]
        losses[i, v] = np.log(sum(np.exp(s) for s in logits.values())) - positive
        negatives = [s for pair, s in logits.items() if pair != (i, 1 - v)]
        correct[i, v] = positive > max(negatives)
    return losses, correct


def batch_of(z, mask=None):
    return {
        "image": jnp.asarray(z, jnp.float32)[..., None, None, :],
        "index": jnp.arange(len(z), dtype=jnp.uint32),
        "mask": jnp.ones(len(z)) if mask is None else jnp.asarray(mask, jnp.float32),
    }


def make(**arguments):
    task = contrastive(Echo(), SGD, **arguments)
    return task, task.init(KEY, batch_of(np.ones((2, 3))))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_loss_is_equation_1_without_padding(temperature):
    draw = np.random.default_rng(1)
    z = on_sphere(draw.normal(size=(5, 1, 3)) + 0.5 * draw.normal(size=(5, 2, 3)))
    # Padding that would be the nearest of all, were it counted.
    z[2] = z[0]
    losses, correct = jax.jit(nt_xent)(jnp.float32(z), jnp.asarray(MASK), temperature)
    expected, hits = by_hand(z, MASK, temperature)
    real = MASK > 0
    np.testing.assert_allclose(losses[real], expected[real], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(correct[real], hits[real])
    assert np.isfinite(losses).all()
    assert 0 < hits[real].mean() < 1


def test_identical_projections_lose_the_logarithm_of_what_they_are_compared_with():
    z = jnp.ones((4, 2, 1))
    losses, correct = nt_xent(z, jnp.ones(4), 0.1)
    np.testing.assert_allclose(losses, np.log(2 * 4 - 1), rtol=1e-6)
    np.testing.assert_array_equal(correct, 0)


def test_gradient_is_the_same_whichever_view_is_first_and_nothing_of_padding():
    z = jnp.float32(on_sphere(RANDOM.normal(size=(5, 2, 3))))

    def total(z):
        return jnp.sum(nt_xent(z, jnp.asarray(MASK), 0.5)[0] * MASK[:, None])

    slope = np.asarray(jax.grad(total)(z))
    swapped = np.asarray(jax.grad(total)(z[:, ::-1]))
    np.testing.assert_allclose(swapped, slope[:, ::-1], atol=1e-6)
    np.testing.assert_array_equal(slope[2], 0)
    step, direction = 1e-3, RANDOM.normal(size=z.shape)
    z = np.float64(z)
    rise = [by_hand(z + s * step * direction, MASK, 0.5)[0].sum() for s in (1, -1)]
    assert np.sum(slope * direction) == pytest.approx((rise[0] - rise[1]) / (2 * step), rel=1e-4)


def test_metrics_of_training_by_hand():
    raw = RANDOM.normal(size=(5, 2, 3)) * 3
    task, state = make(temperature=0.5)
    metrics = jax.device_get(jax.jit(task.update)(state, batch_of(raw, MASK), KEY)[1])
    z, real = on_sphere(raw), MASK > 0
    losses, correct = by_hand(z, MASK, 0.5)
    assert metrics["loss"][1] == metrics["accuracy"][1] == 2 * MASK.sum()
    got = summarize(metrics)
    assert got["loss"] == pytest.approx(losses[real].mean(), rel=1e-5)
    assert got["accuracy"] == pytest.approx(correct[real].mean())
    distance = ((z[real, 0] - z[real, 1]) ** 2).sum(-1)
    assert got["alignment"] == pytest.approx(distance.mean(), rel=1e-5)
    assert got["uniformity"] == pytest.approx(uniformity(z[real]), rel=1e-5)


def uniformity(z):
    kernels = [
        np.exp(-2 * ((z[i, v] - z[j, w]) ** 2).sum())
        for i, j, v, w in np.ndindex(len(z), len(z), z.shape[1], z.shape[1])
        if i != j
    ]
    return np.log(np.mean(kernels))


def test_an_evaluation_sees_each_image_once():
    raw = RANDOM.normal(size=(5, 3))
    task, state = make()
    batch = batch_of(raw, MASK)
    got = summarize(jax.device_get(task.evaluate(state, batch, KEY)))
    assert set(got) == {"uniformity"}
    expected = uniformity(on_sphere(raw)[MASK > 0][:, None])
    assert got["uniformity"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(task.outputs["features"](state, batch, KEY), raw, rtol=1e-6)
    projections = task.outputs["projections"](state, batch, KEY)
    np.testing.assert_allclose(projections, on_sphere(raw), rtol=1e-5)


def test_a_blank_batch_is_finite():
    task, state = make()
    moved, metrics = jax.jit(task.update)(state, batch_of(np.zeros((4, 2, 3))), KEY)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((moved.params, metrics)))
    empty = batch_of(np.zeros((4, 2, 3)), np.zeros(4))
    assert summarize(jax.jit(task.update)(state, empty, KEY)[1])["gradient_norm"] == 0


@pytest.fixture(scope="module")
def tiny_data():
    with pytest.MonkeyPatch.context() as patch:
        tiny.serve(patch, train=tiny.arrays(45), test=tiny.arrays(16))
        yield


@pytest.fixture(scope="module")
def alone(tiny_data):
    return tiny.take_steps(tiny.plan_on(1, **VIEWS), 4)


@pytest.mark.full
@pytest.mark.parametrize("strategy", ["jit", "pmap"])
def test_eight_devices_have_the_negatives_of_one(tiny_data, alone, strategy):
    """A model without batch statistics, whose only company are the negatives."""
    found = tiny.take_steps(tiny.plan_on(8, **VIEWS, parallel=dict(strategy=strategy)), 4)
    for one, eight in zip(alone.sums, found.sums):
        found_one, found_eight = summarize(one), summarize(eight)
        for name in ("loss", "alignment", "gradient_norm"):
            assert found_eight[name] == pytest.approx(found_one[name], rel=1e-5), name
        # The logarithm of a mean near one, of 24 roundings of float32 after four steps.
        assert found_eight["uniformity"] == pytest.approx(found_one["uniformity"], abs=3e-6)
        assert summarize(eight)["accuracy"] == summarize(one)["accuracy"]
        assert eight["loss"][1] == one["loss"][1] == 32
    for one, eight in zip(*(jax.tree.leaves(x.carry.state.params) for x in (alone, found))):
        np.testing.assert_allclose(eight, one, rtol=1e-4, atol=1e-6)
    assert alone.losses[0] != alone.losses[1]


@pytest.mark.parametrize("axis_name", [None, "data"])
def test_padding_on_a_device_of_its_own_is_no_negative(axis_name):
    z = jnp.float32(on_sphere(RANDOM.normal(size=(8, 2, 3))))
    mask = jnp.float32(np.arange(8) != 5)
    loss = functools.partial(nt_xent, temperature=0.5, axis_name=axis_name)
    if axis_name:
        split = jax.pmap(loss, axis_name)(z[:, None], mask[:, None])
        losses, correct = (x.reshape(8, 2) for x in split)
    else:
        losses, correct = loss(z, mask)
    expected, hits = by_hand(np.float64(z), mask, 0.5)
    real = np.asarray(mask) > 0
    np.testing.assert_allclose(losses[real], expected[real], rtol=1e-5)
    np.testing.assert_array_equal(correct[real], hits[real])


@pytest.mark.full
def test_accumulated_parts_are_problems_of_their_own(tiny_data, alone):
    parts = tiny.take_steps(tiny.plan_on(1, **VIEWS, accumulate=2), 1)
    assert parts.losses[0] < alone.losses[0]
    assert parts.sums[0]["loss"][1] == 32


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan"), float("inf")])
def test_temperatures_are_positive(temperature):
    with pytest.raises(ConfigError, match="temperature="):
        contrastive(Echo(), SGD, temperature=temperature)


def test_a_model_without_features_is_refused():
    task = contrastive(Echo(features=False), SGD)
    with pytest.raises(ConfigError, match="Echo records no 'features'"):
        task.init(KEY, batch_of(np.ones((2, 3))))


@pytest.mark.parametrize("views", [1, 3])
def test_images_come_in_two_views(tiny_data, views):
    with pytest.raises(ConfigError, match="views=2"):
        tiny.plan_on(1, **VIEWS | dict(views=views))
