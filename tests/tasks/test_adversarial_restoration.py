"""The game of a network that restores and one that judges: losses by hand, who moves, bad input."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import bicubic, task
from library.config import ConfigError
from library.summaries import summarize
from library.tasks.adversarial_restoration import adversarial_restoration
from library.tasks.restoration import restoration

KEY = jax.random.key(0)
HALF = dict(name="downscale", factor=2)
HOLE = dict(name="erase", area=0.25)


class Larger(nn.Module):
    """Enlarges by bicubic interpolation, and adds a bias."""

    scale: int = 2

    @nn.compact
    def __call__(self, image, train=False):
        bias = self.param("bias", nn.initializers.constant(0.1), ())
        return bicubic.resized(image, tuple(self.scale * s for s in image.shape[1:3])) + bias


class Mean(nn.Module):
    """Scores by the mean of an image, three times."""

    @nn.compact
    def __call__(self, image, label=None, train=False):
        return self.param("weight", nn.initializers.constant(3.0), ()) * jnp.mean(image, (1, 2, 3))


def built(scale=2, **options):
    def alternate(losses, **spread):
        return task.alternate(losses, optimizers=optax.sgd(0.1), **spread)

    players = dict(generator=Larger(scale), discriminator=Mean())
    return adversarial_restoration(players, alternate, **options)


def batch_of(num=3):
    image = np.random.default_rng(0).random((num, 8, 8, 1)).astype(np.float32)
    place = jnp.arange(num, dtype=jnp.uint32)
    return dict(image=jnp.asarray(image), mask=jnp.float32([1, 1, 0]), index=place, row=place)


def softplus(x):
    return np.log1p(np.exp(x))


def test_both_players_lose_what_is_computed_by_hand():
    made, batch = built(degradation=HALF, adversarial_weight=0.5), batch_of()
    state = jax.jit(made.init)(KEY, batch)
    moved, metrics = jax.jit(made.update)(state, batch, KEY)
    found = summarize({k: v for k, v in jax.device_get(metrics).items() if k != "nonfinite"})
    true = np.asarray(batch["image"], np.float64)[:2]
    small = bicubic.resized(batch["image"], (4, 4))
    fake = np.asarray(bicubic.resized(small, (8, 8)), np.float64)[:2] + 0.1
    means = [np.mean(2 * x - 1, axis=(1, 2, 3)) for x in (true, fake)]
    real, false = (3 * mean for mean in means)
    loss = softplus(-real) + softplus(false)
    assert found["discriminator_loss"] == pytest.approx(loss.mean(), rel=1e-5)
    assert found["discriminator_real"] == pytest.approx((1 / (1 + np.exp(-real))).mean(), rel=1e-5)
    # The discriminator moves first: the slope of softplus is the logistic function.
    slope = -means[0] / (1 + np.exp(real)) + means[1] / (1 + np.exp(-false))
    weight = 3 - 0.1 * slope.mean()
    assert moved.params["discriminator"]["weight"] == pytest.approx(weight, rel=1e-5)
    content = np.mean((fake - true) ** 2, axis=(1, 2, 3))
    adversarial = softplus(-weight * means[1])
    assert found["generator_content"] == pytest.approx(content.mean(), rel=1e-5)
    assert found["generator_adversarial"] == pytest.approx(adversarial.mean(), rel=1e-5)
    total = content + 0.5 * adversarial
    assert found["generator_loss"] == pytest.approx(total.mean(), rel=1e-5)


def test_evaluation_is_that_of_restoration():
    batch = batch_of()
    ours = built(degradation=HALF)
    state = jax.jit(ours.init)(KEY, batch)
    theirs = restoration(
        Larger(), lambda loss: task.minimize(loss, optax.sgd(0.1)), degradation=HALF, loss="l2"
    )
    alone = theirs.init(KEY, batch).replace(params=state.params["generator"])
    found, expected = (
        summarize(jax.device_get(jax.jit(made.evaluate)(held, batch, KEY)))
        for made, held in ((ours, state), (theirs, alone))
    )
    assert found == expected
    assert set(ours.outputs) == set(theirs.outputs)
    for name in ("triplet",):
        results = [
            jax.jit(m.outputs[name])(s, batch, KEY) for m, s in ((ours, state), (theirs, alone))
        ]
        np.testing.assert_array_equal(*results)


def test_the_discriminator_sees_known_pixels_around_a_hole():
    made, batch = built(1, degradation=HOLE), batch_of()
    state = jax.jit(made.init)(KEY, batch)
    _, metrics = jax.jit(made.update)(state, batch, KEY)
    image = np.asarray(batch["image"], np.float64)[:2]
    image[:, 2:6, 2:6] = 0.6
    expected = 1 / (1 + np.exp(-3 * np.mean(2 * image - 1, axis=(1, 2, 3))))
    found = metrics["discriminator_fake"]
    assert float(found[0] / found[1]) == pytest.approx(expected.mean(), rel=1e-5)


def test_the_pixels_around_a_hole_count_by_their_weight():
    made, batch = built(1, degradation=HOLE, context=0.5, adversarial_weight=0.0), batch_of()
    state = jax.jit(made.init)(KEY, batch)
    _, metrics = jax.jit(made.update)(state, batch, KEY)
    image = np.asarray(batch["image"], np.float64)[:2]
    in_hole = np.square(0.6 - image[:, 2:6, 2:6]).mean()
    found = metrics["generator_content"]
    # Around the hole the generator adds 0.1.
    expected = (16 * in_hole + 0.5 * 48 * 0.01) / (16 + 0.5 * 48)
    assert float(found[0] / found[1]) == pytest.approx(expected, rel=1e-5)


def test_features_of_a_finished_network_are_compared():
    asked = []

    def teaching(folder, output):
        asked.append((folder, output))
        return {"factor": jnp.float32(2.0)}, lambda state, image: state["factor"] * image

    perceptual = dict(teacher="runs/teacher", weight=0.25)
    made = built(degradation=HALF, perceptual=perceptual, teaching=teaching, adversarial_weight=0.0)
    batch = batch_of()
    state = jax.jit(made.init)(KEY, batch)
    moved, metrics = jax.jit(made.update)(state, batch, KEY)
    found = summarize({k: v for k, v in jax.device_get(metrics).items() if k != "nonfinite"})
    assert asked == [("runs/teacher", "features")]
    # Twice the image has four times the squared error.
    assert found["generator_perceptual"] == pytest.approx(4 * found["generator_content"], rel=1e-5)
    assert found["generator_loss"] == pytest.approx(2 * found["generator_content"], rel=1e-5)
    assert moved.variables["teacher"]["factor"] == 2
    with pytest.raises(ConfigError, match="weight=0"):
        built(degradation=HALF, perceptual=dict(perceptual, weight=0.0), teaching=teaching)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(degradation=HALF, adversarial_weight=-1.0), "valid are numbers from 0"),
        ({}, "write one of them"),
        (dict(degradation=HALF, perceptual=dict(weight=1.0)), "needs 'teacher'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        built(**options)


def test_other_players_are_refused():
    with pytest.raises(ConfigError, match="is only one player"):
        adversarial_restoration(Larger(), task.alternate, degradation=HALF)
    with pytest.raises(ConfigError, match="model has no 'discriminator'"):
        adversarial_restoration(dict(generator=Larger()), task.alternate, degradation=HALF)
