"""Colourization: the bins, their soft encoding, weights, the annealed mean, and the losses."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import colour_bins, colour_spaces
from library.config import ConfigError, build
from library.models.dense.colourful import colourful
from library.summaries import summarize
from library.task import minimize
from library.tasks.colourization import averaged, colourization

KEY = jax.random.key(0)


class Same(nn.Module):
    """Gives the same logits for every square of `factor` pixels."""

    num_classes: int = 313
    factor: int = 2

    @nn.compact
    def __call__(self, light, train=False):
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
        batch, height, width, _ = light.shape
        shape = (batch, height // self.factor, width // self.factor, self.num_classes)
        return jnp.broadcast_to(bias, shape)


def built(model=None, **arguments):
    def learn(loss):
        return minimize(loss, optax.sgd(1.0))

    return colourization(model or Same(), learn, **arguments)


def batch_of(num=2, side=4, **more):
    image = np.random.default_rng(0).random((num, side, side, 3)).astype(np.float32)
    place = jnp.arange(num, dtype=jnp.uint32)
    return dict(image=jnp.asarray(image), mask=jnp.ones(num), index=place, row=place, **more)


def measured(task, batch, state=None):
    state = jax.jit(task.init)(KEY, batch) if state is None else state
    return summarize(jax.device_get(jax.jit(task.evaluate)(state, batch, KEY)), task.summaries)


def number_of(bin):
    return int(np.flatnonzero((colour_bins.bins() == bin).all(axis=1))[0])


def test_there_are_313_bins_and_every_colour_lies_between_four():
    bins = colour_bins.bins()
    assert bins.shape == (313, 2)
    # The lowest values of a are very green.
    assert bins[:5].tolist() == [[-90, b] for b in (50, 60, 70, 80, 90)]
    colours = np.random.default_rng(0).random((2000, 3)).astype(np.float32)
    ab = np.asarray(colour_spaces.to_lab(jnp.asarray(colours)))[:, 1:]
    held = {tuple(each) for each in bins.astype(int).tolist()}
    low = np.floor(ab / 10).astype(int) * 10
    assert {(a + i, b + j) for a, b in low for i in (0, 10) for j in (0, 10)} <= held
    apart = np.square(ab[:, None] - bins).sum(axis=-1)
    np.testing.assert_array_equal(colour_bins.nearest(ab), apart.argmin(axis=-1))


def test_a_colour_is_encoded_by_its_five_nearest_bins():
    ab = np.array([[3.0, -4.0], [20.0, 20.0]], np.float32)
    place, share = (np.asarray(x) for x in colour_bins.encoded(jnp.asarray(ab)))
    apart = np.square(ab[:, None].astype(np.float64) - colour_bins.bins()).sum(axis=-1)
    for i in range(2):
        least = np.sort(apart[i])[:5]
        np.testing.assert_allclose(apart[i][place[i]], least, rtol=1e-5)
        expected = np.exp(-least / 50)
        np.testing.assert_allclose(share[i], expected / expected.sum(), rtol=1e-5)


def test_the_annealed_mean_lies_between_the_mean_and_the_likeliest_bin():
    share = np.zeros(313)
    first, second = (number_of(x) for x in ([0, 0], [40, 0]))
    share[[first, second]] = 0.25, 0.75
    logits = jnp.log(jnp.asarray(share + 1e-30))
    for temperature in (1.0, 0.38, 0.05):
        weight = share[[first, second]] ** (1 / temperature)
        expected = 40 * weight[1] / weight.sum()
        found = colour_bins.decoded(logits, temperature)
        np.testing.assert_allclose(found, [expected, 0], atol=1e-3)


def test_rare_colours_weigh_more_and_all_weigh_one_on_average():
    share = np.full(313, 0.5 / 312)
    share[7] = 0.5
    weights = colour_bins.rebalancing(share, 0.5)
    assert share @ weights == pytest.approx(1)
    ratio = (0.5 * share[7] + 0.5 / 313) / (0.5 * share[0] + 0.5 / 313)
    assert weights[0] / weights[7] == pytest.approx(ratio)
    np.testing.assert_allclose(colour_bins.rebalancing(share, 1.0), 1)
    assert colour_bins.smoothed(np.eye(313)[9]).sum() == pytest.approx(1)


def test_weights_are_fitted_to_the_pixels_of_training_images():
    made = build(
        dict(name="colour_weights"), "library.data.preprocessing", "preprocessing", kinds={}
    )
    image = np.zeros((8, 8, 3), np.uint8)
    image[::4, ::4] = [[255, 0, 0], [0, 255, 0]]
    image[4, 0] = 128
    counts = np.zeros(313)
    red, green = ([80, 70], [-90, 80])
    for colour, count in ((red, 1), (green, 2), ([0, 0], 1)):
        counts[number_of(colour)] += count
    found = made.fitted(made.fit(iter([{"image": image}])))({"image": image}, None)
    expected = colour_bins.rebalancing(colour_bins.smoothed(counts), 0.5)
    np.testing.assert_allclose(found["colour_weights"], expected, rtol=1e-5)
    assert made.makes == {"colour_weights": "array"}
    with pytest.raises(ConfigError, match="needs colour images"):
        made.fit(iter([{"image": image[..., :1]}]))
    with pytest.raises(ConfigError, match="mix=0"):
        build(dict(name="colour_weights", mix=0.0), "library.data.preprocessing", "preprocessing")


def test_the_loss_by_classes_is_a_weighted_cross_entropy_with_soft_targets():
    weights = np.random.default_rng(1).random(313).astype(np.float32)
    batch = batch_of(colour_weights=jnp.asarray(np.stack([weights] * 2)))
    ab = averaged(colour_spaces.to_lab(batch["image"])[..., 1:], (2, 2, 2, 313))
    np.testing.assert_allclose(
        ab[0, 1, 0],
        colour_spaces.to_lab(batch["image"])[0, 2:, :2, 1:].mean(axis=(0, 1)),
        atol=1e-3,
    )
    place, share = (np.asarray(x) for x in colour_bins.encoded(ab))
    # All bins are equally likely at first.
    plain = measured(built(), batch)["loss"]
    assert plain == pytest.approx(np.log(313), rel=1e-5)
    balanced = measured(built(rebalance=True), batch)["loss"]
    assert balanced == pytest.approx(np.log(313) * weights[place[..., 0]].mean(), rel=1e-5)
    task = built()
    state = jax.jit(task.init)(KEY, batch)
    moved, _ = jax.jit(task.update)(state, batch, KEY)
    target = np.zeros(313)
    np.add.at(target, place.reshape(-1), share.reshape(-1) / share[..., 0].size)
    np.testing.assert_allclose(moved.params["bias"], target - 1 / 313, atol=1e-6)


def test_regression_of_no_colour_is_the_grey_image():
    batch = batch_of()
    task = built(Same(2, 1), objective="regression")
    found = measured(task, batch)
    lab = np.asarray(colour_spaces.to_lab(batch["image"]))
    assert found["loss"] == pytest.approx(np.square(lab[..., 1:] / 110).sum(-1).mean(), rel=1e-5)
    assert found["psnr"] == pytest.approx(found["grey_psnr"], abs=1e-4)
    assert found["colour_distance"] == pytest.approx(np.hypot(*lab[..., 1:].T).mean(), rel=1e-5)
    state = jax.jit(task.init)(KEY, batch)
    grey = np.asarray(jax.jit(task.outputs["grey"])(state, batch, KEY))
    assert np.abs(grey - grey[..., :1]).max() < 0.005
    error = np.mean(np.square(grey - np.asarray(batch["image"])), axis=(1, 2, 3))
    np.testing.assert_allclose(jax.jit(task.outputs["error"])(state, batch, KEY), error, rtol=1e-3)
    psnr = jax.jit(task.outputs["psnr"])(state, batch, KEY)
    np.testing.assert_allclose(psnr, -10 * np.log10(error), atol=0.1)


def test_the_network_has_a_quarter_of_the_size_and_its_params():
    image = jax.ShapeDtypeStruct((1, 16, 24, 1), jnp.float32)
    made, variables = jax.eval_shape(
        lambda x: colourful().init_with_output(jax.random.key(0), x), image
    )
    assert made.shape == (1, 4, 6, 313)
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 12
    convs = [9 * a * b + b for a, b in zip([1, *widths], widths)]
    norms = 2 * (64 + 128 + 256 + 4 * 512)
    last = 16 * 512 * 256 + 256 + 2 * (9 * 256**2 + 256) + 256 * 313 + 313
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert count == sum(convs) + norms + last
    with pytest.raises(ValueError, match="multiples of 8, not 12x24; nearest: 16x24"):
        jax.eval_shape(lambda: colourful().init(jax.random.key(0), jnp.zeros((1, 12, 24, 1))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(temperature=0.0), "temperature=0"),
        (dict(objective="regression", rebalance=True), "with objective='classes' only"),
        (dict(unnormalize=lambda x: x - 1), "leave config.normalize out"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        built(**arguments)


@pytest.mark.parametrize(
    ("model", "arguments", "change", "message"),
    [
        (Same(2), {}, {}, "num_classes=2, but this objective needs 313"),
        (Same(313), dict(objective="regression"), {}, "needs 2"),
        (Same(313), dict(rebalance=True), {}, "add dict.name='colour_weights'. to the"),
        (Same(), {}, dict(image=jnp.zeros((2, 5, 5, 3))), "makes 2x2 colours of an image of 5x5"),
        (Same(), {}, dict(image=jnp.zeros((2, 4, 4, 1))), "needs colour images"),
    ],
)
def test_models_and_batches_that_do_not_fit_are_refused(model, arguments, change, message):
    task, batch = built(model, **arguments), batch_of()
    state = jax.eval_shape(task.init, KEY, batch)
    with pytest.raises(ConfigError, match=message):
        jax.eval_shape(task.evaluate, state, {**batch, **change}, KEY)
