"""Restoration against what is computed by hand: damage, losses, decibels, what is kept."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import bicubic, colour_spaces, degradations
from library.config import ConfigError
from library.models.dense import espcn
from library.summaries import summarize
from library.task import minimize
from library.tasks.restoration import restoration

KEY = jax.random.key(0)
HALF = dict(name="downscale", factor=2)
CENTRE = dict(name="erase", area=0.25)


class Plain(nn.Module):
    """Enlarges by bicubic interpolation, the mean of several, and adds a bias."""

    scale: int = 1

    @nn.compact
    def __call__(self, *images, train=False):
        bias = self.param("bias", nn.initializers.zeros, ())
        mean = sum(images) / len(images)
        return bicubic.resized(mean, tuple(self.scale * s for s in mean.shape[1:3])) + bias


def build(model=None, **arguments):
    def learn(loss):
        return minimize(loss, optax.sgd(1.0))

    return restoration(model or Plain(), learn, **arguments)


def batch_of(num=3, side=12, channels=3, mask=(1, 1, 0), **more):
    image = np.random.default_rng(1).random((num, side, side, channels))
    place = jnp.arange(5, 5 + num, dtype=jnp.uint32)
    smooth = np.cumsum(image, axis=1) / np.arange(1, side + 1)[:, None, None]
    given = dict(image=jnp.asarray(smooth, jnp.float32), mask=jnp.float32(mask))
    return {**given, "index": place, "row": place, **more}


def measured(task, batch, state=None):
    state = jax.jit(task.init)(KEY, batch) if state is None else state
    return summarize(jax.device_get(jax.jit(task.evaluate)(state, batch, KEY)), task.summaries)


def decibels(error):
    return -10 * np.log10(np.mean(np.square(np.float64(error))))


def rounded(image):
    return np.round(np.clip(np.asarray(image), 0, 1) * 255) / 255


def test_evaluation_reads_decibels_of_rounded_luma_without_a_margin():
    task, batch = build(Plain(2), degradation=HALF), batch_of(side=16)
    found = measured(task, batch)
    each = []
    for image in np.asarray(batch["image"])[:2]:
        small = bicubic.weights(16, 8) @ np.moveaxis(image, 2, 0) @ bicubic.weights(16, 8).T
        large = bicubic.weights(8, 16) @ small @ bicubic.weights(8, 16).T
        weights = np.array([65.481, 128.553, 24.966]) / 255
        error = (rounded(np.moveaxis(large, 0, 2)) - rounded(image)) @ weights
        each.append(decibels(error[2:-2, 2:-2]))
    assert found["psnr"] == pytest.approx(np.mean(each), abs=1e-3)
    assert found["input_psnr"] == pytest.approx(found["psnr"], abs=1e-3)
    assert 0 < found["ssim"] <= 1


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("l1", 0.25), ("l2", 0.25**2), ("charbonnier", np.hypot(0.25, 1e-3))],
)
def test_the_loss_is_a_mean_and_a_step_follows_it(loss, expected):
    task = build(inputs=("damaged",), loss=loss)
    batch = batch_of()
    batch["damaged"] = batch["image"] + 0.25
    state = jax.jit(task.init)(KEY, batch)
    assert measured(task, batch, state)["loss"] == pytest.approx(expected, rel=1e-5)
    moved, metrics = jax.jit(task.update)(state, batch, KEY)
    slope = {"l1": 1, "l2": 0.5, "charbonnier": 0.25 / np.hypot(0.25, 1e-3)}[loss]
    assert float(moved.params["bias"]) == pytest.approx(-slope, rel=1e-4)
    assert float(metrics["loss"][1]) == 2


def test_pixels_of_the_canvas_do_not_count():
    size = jnp.array([[12, 12], [8, 11], [1, 1]])
    task, batch = build(inputs=("damaged",), margin=1), batch_of(image_size=size)
    damaged = batch["image"] + 0.1
    batch["damaged"] = damaged.at[1, 8:].set(5.0).at[1, :, 11:].set(5.0).at[1, 7].add(0.2)
    found = measured(task, batch)
    assert found["loss"] == pytest.approx((0.1 + (0.1 * 7 + 0.3) / 8) / 2, rel=1e-4)
    # The eighth row is the margin.
    clean = rounded(np.clip(batch["image"] + 0.1, 0, 1)) - rounded(batch["image"])
    luma = clean @ np.array([65.481, 128.553, 24.966]) / 255
    each = [decibels(luma[0, 1:11, 1:11]), decibels(luma[1, 1:7, 1:10])]
    assert found["psnr"] == pytest.approx(np.mean(each), abs=1e-3)


def test_lost_pixels_are_made_and_the_others_kept():
    task, batch = build(degradation=CENTRE, measure="all"), batch_of()
    state = jax.jit(task.init)(KEY, batch)
    made = np.asarray(jax.jit(task.outputs["restored"])(state, batch, KEY))
    image = np.asarray(batch["image"])
    hole = np.zeros((12, 12), bool)
    hole[3:9, 3:9] = True
    np.testing.assert_allclose(made[:, ~hole], rounded(image)[:, ~hole], atol=1e-6)
    np.testing.assert_allclose(made[:, hole], rounded(0.5), atol=1e-6)
    each = [decibels(made[i, hole] - rounded(image)[i, hole]) for i in range(2)]
    found = measured(task, batch, state)
    assert found["psnr"] == pytest.approx(np.mean(each), abs=1e-3)
    assert found["loss"] == pytest.approx(np.abs(0.5 - image[:2, hole]).mean(), rel=1e-5)
    # A weight of the pixels around is for the training alone.
    around = build(degradation=CENTRE, measure="all", context=1.0)
    assert measured(around, batch, state)["loss"] == found["loss"]


@pytest.mark.parametrize("context", [0.0, 0.5])
def test_the_pixels_around_a_hole_count_in_training_by_their_weight(context):
    task, batch = build(degradation=CENTRE, context=context, loss="l2"), batch_of()
    state = jax.jit(task.init)(KEY, batch)
    shifted = state.replace(params={"bias": jnp.float32(0.1)})
    _, metrics = jax.jit(task.update)(shifted, batch, KEY)
    image = np.asarray(batch["image"], np.float64)[:2]
    in_hole = np.square(0.6 - image[:, 3:9, 3:9]).mean()
    # Around the hole the network's image is wrong by the bias.
    expected = (36 * in_hole + context * 108 * 0.01) / (36 + context * 108)
    assert float(metrics["loss"][0] / metrics["loss"][1]) == pytest.approx(expected, rel=1e-5)


def test_an_image_on_a_canvas_that_lost_no_pixel_does_not_count():
    size = jnp.array([[12, 12], [3, 12], [12, 12]])
    task = build(degradation=CENTRE)
    whole, canvas = (batch_of(mask=mask, image_size=size) for mask in ((1, 0, 0), (1, 1, 0)))
    state = jax.jit(task.init)(KEY, whole)
    expected = measured(task, whole, state)
    assert np.isfinite(expected["psnr"])
    assert measured(task, canvas, state) == expected


def test_several_inputs_are_measured_by_their_mean():
    task, batch = build(inputs=("before", "after")), batch_of()
    batch["before"], batch["after"] = batch["image"] - 0.1, batch["image"] + 0.1
    assert measured(task, batch)["loss"] == pytest.approx(0, abs=1e-6)
    assert measured(task, batch)["input_psnr"] == pytest.approx(120, abs=1)


def test_luma_is_restored_and_colour_is_enlarged():
    model = espcn.espcn(scale=2, widths=(2, 2))
    task, batch = build(model, degradation=HALF, channels="luma"), batch_of()
    state = jax.jit(task.init)(KEY, batch)
    assert jax.jit(task.outputs["triplet"])(state, batch, KEY).shape == (3, 3, 12, 12, 1)
    made = np.asarray(jax.jit(task.outputs["restore"])(state, batch, KEY))
    assert made.shape == (3, 24, 24, 3)
    luma = model.apply({"params": state.params}, colour_spaces.to_ycbcr(batch["image"])[..., :1])
    inside = (made > 0).all(-1) & (made < 1).all(-1)
    found = np.asarray(colour_spaces.to_ycbcr(jnp.asarray(made)))
    np.testing.assert_allclose(found[inside][:, 0], np.asarray(luma)[inside][:, 0], atol=1e-5)
    chroma = bicubic.resized(colour_spaces.to_ycbcr(batch["image"])[..., 1:], (24, 24))
    np.testing.assert_allclose(found[inside][:, 1:], np.asarray(chroma)[inside], atol=1e-5)


def test_noise_follows_an_examples_place_and_has_the_stated_size():
    image = jnp.full((4, 40, 40, 1), 0.5)
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(4))
    noise = np.asarray(degradations.gaussian_noise(25.0).apply(image, keys).image - 0.5) * 255
    assert noise.std() == pytest.approx(25, rel=0.03)
    assert abs(noise.mean()) < 1.5
    again = degradations.gaussian_noise(25.0).apply(image[2:], keys[2:]).image
    np.testing.assert_array_equal(np.asarray(again - 0.5) * 255, noise[2:])
    blind = np.asarray(degradations.gaussian_noise(blind=(5.0, 50.0)).apply(image, keys).image)
    levels = (blind - 0.5).std(axis=(1, 2, 3)) * 255
    assert len(set(np.round(levels))) == 4
    assert (levels > 4).all()
    assert (levels < 52).all()


def test_a_random_hole_has_its_area_and_stays_inside():
    keys = jax.random.split(KEY, 20)
    image = jnp.zeros((20, 8, 12, 1))
    lost = np.asarray(degradations.erase(0.25, "random").apply(image, keys).lost)
    assert (lost.sum(axis=(1, 2)) == 4 * 6).all()
    assert len({x.tobytes() for x in lost}) > 5


def test_examples_rank_by_their_error():
    task, batch = build(inputs=("damaged",), measure="all"), batch_of(mask=(1, 1, 1))
    clear = batch["image"] * 0.5 + 0.2
    batch["image"] = clear
    batch["damaged"] = clear + jnp.array([0.1, 0.2, 0.05])[:, None, None, None]
    state = jax.jit(task.init)(KEY, batch)
    error = np.asarray(jax.jit(task.outputs["error"])(state, batch, KEY))
    np.testing.assert_allclose(error, [0.01, 0.04, 0.0025], rtol=1e-4)
    psnr = np.asarray(jax.jit(task.outputs["psnr"])(state, batch, KEY))
    np.testing.assert_allclose(psnr, -10 * np.log10(error), atol=0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "write one of them"),
        (dict(degradation=HALF, inputs=("damaged",)), "write one of them"),
        (dict(inputs=("damaged",), test_degradation=HALF), "needs a degradation"),
        (dict(degradation=HALF, test_degradation=CENTRE), "one factor"),
        (dict(degradation=dict(name="downscale", factor=1)), "valid are 2 or more"),
        (dict(degradation=dict(name="downscal", factor=2)), "did you mean 'downscale'"),
        (dict(degradation=dict(name="gaussian_noise")), "write one of them, such as sigma=25.0"),
        (dict(degradation=dict(name="gaussian_noise", sigma=-1.0)), "deviations above 0"),
        (dict(degradation=dict(name="erase", area=1.0)), "shares above 0"),
        (dict(degradation=dict(name="erase", fill=2.0)), "valid are 0"),
        (dict(degradation=HALF, unnormalize=lambda x: x * 0.5), "leave config.normalize out"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(**arguments)


def test_images_of_other_sizes_than_the_networks_are_refused():
    batch = batch_of(side=9)
    task = build(Plain(2), degradation=HALF)
    state = jax.jit(task.init)(KEY, batch)
    with pytest.raises(ConfigError, match="divide images of 9x9; nearest: 8x8"):
        task.evaluate(state, batch, KEY)
    task, batch = build(Plain(3), degradation=HALF), batch_of()
    state = jax.jit(task.init)(KEY, batch)
    with pytest.raises(ConfigError, match="its scale must be the enlargement"):
        task.evaluate(state, batch, KEY)
