import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import config, rng
from library.config import ConfigError
from library.models.image.mae import mae
from library.models.image.vit import vit
from library.task import minimize
from library.tasks import mae as module
from tests import tiny

KEY = jax.random.key(5)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))
SIZES = dict(width=8, depth=1, num_heads=2, patch_size=4)
DECODER = dict(decoder_width=8, decoder_depth=1, decoder_heads=2)


class Guess(nn.Module):
    """Predicts the same for every image: a param for each pixel of each patch."""

    patch_size: int = 2

    @nn.compact
    def __call__(self, image, order, num_visible, train=False):
        size = self.patch_size**2 * image.shape[3]
        init = nn.initializers.normal(1.0)
        table = self.param("table", init, (order.shape[1], size))
        return jnp.broadcast_to(table, (len(image), *table.shape))

    def features(self, image):
        return image.mean(axis=(1, 2))


def make_batch(shape=(6, 4, 6, 3), mask=None, seed=0):
    random = np.random.default_rng(seed)
    size = shape[0]
    return {
        "image": jnp.asarray(random.normal(size=shape), jnp.float32),
        "index": jnp.arange(100, 100 + size, dtype=jnp.uint32),
        "row": jnp.arange(40, 40 + size, dtype=jnp.uint32),
        "mask": jnp.ones(size) if mask is None else jnp.asarray(mask, jnp.float32),
    }


def hidden_by_hand(key, numbers, num, count):
    """Which of `num` patches have the highest noise, for each example (b, num)."""
    keys = rng.per_example(rng.purpose(key, "mask"), numbers)
    noise = np.stack([jax.random.uniform(k, (num,)) for k in keys])
    return noise.argsort(axis=1).argsort(axis=1) >= num - count


def cut(image, patch):
    rows, columns = image.shape[1] // patch, image.shape[2] // patch
    return np.stack(
        [
            image[:, i * patch : (i + 1) * patch, j * patch : (j + 1) * patch].reshape(
                len(image), -1
            )
            for i in range(rows)
            for j in range(columns)
        ],
        axis=1,
    ).astype(np.float64)


def statistics(patches):
    mean = patches.mean(axis=-1, keepdims=True)
    squares = np.square(patches - mean).sum(axis=-1, keepdims=True)
    return mean, np.sqrt(squares / (patches.shape[-1] - 1) + 1e-6)


@pytest.mark.parametrize("norm_pix", [True, False])
def test_loss_and_gradient_are_those_of_the_hidden_patches(norm_pix):
    task = module.mae(Guess(), SGD, mask_ratio=0.7, norm_pix=norm_pix)
    mask = np.array([1, 1, 0, 1, 1, 0])
    batch = make_batch(mask=mask)
    state = task.init(KEY, batch)
    moved, metrics = jax.jit(task.update)(state, batch, KEY)
    # 0.7 of 2 by 3 patches are 4.2.
    hidden = hidden_by_hand(KEY, batch["index"], 6, 4)
    patches = cut(np.asarray(batch["image"]), 2)
    mean, deviation = statistics(patches)
    target = (patches - mean) / deviation if norm_pix else patches
    difference = np.float64(state.params["table"]) - target
    losses = [np.square(difference[i][hidden[i]]).mean() for i in range(6)]
    np.testing.assert_allclose(metrics["loss"][0], mask @ losses, rtol=1e-5)
    assert metrics["loss"][1] == 4
    slopes = 2 * difference * hidden[:, :, None] / (4 * 12)
    gradient = np.tensordot(mask, slopes, 1) / 4
    moved_by = np.asarray(state.params["table"] - moved.params["table"])
    np.testing.assert_allclose(moved_by, gradient, rtol=1e-4, atol=1e-6)


def test_patches_that_no_example_hides_get_no_gradient():
    task = module.mae(Guess(), SGD, mask_ratio=0.5)
    batch = make_batch((1, 4, 6, 3))
    state = task.init(KEY, batch)
    moved, _ = task.update(state, batch, KEY)
    still = np.all(moved.params["table"] == state.params["table"], axis=-1)
    np.testing.assert_array_equal(still, ~hidden_by_hand(KEY, batch["index"], 6, 3)[0])


def test_every_example_hides_as_many_patches_each_its_own():
    keys = rng.per_example(KEY, jnp.arange(64, dtype=jnp.uint32))
    order = np.asarray(module._shuffles(keys, 16))
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(16), (64, 1)))
    hidden = order.argsort(axis=1) >= 4
    np.testing.assert_array_equal(hidden.sum(axis=1), 12)
    assert len({row.tobytes() for row in hidden}) > 60
    # Each patch is hidden in 48 of 64 examples, give or take 3.5.
    assert np.all(abs(hidden.sum(axis=0) - 48) < 14)


def test_an_examples_mask_follows_its_index_and_its_row():
    task = module.mae(Guess(), SGD, mask_ratio=0.5)
    batch = make_batch()
    state = task.init(KEY, batch)
    backwards = {name: value[::-1] for name, value in batch.items()}
    train = [task.update(state, b, KEY)[1]["loss"][0] for b in (batch, backwards)]
    np.testing.assert_allclose(*train, rtol=1e-6)
    other = {**batch, "index": batch["index"] + 1}
    assert abs(task.update(state, other, KEY)[1]["loss"][0] - train[0]) > 1e-3
    one = task.evaluate(state, batch, KEY)["loss"]
    two = task.evaluate(state, other, jax.random.key(9))["loss"]
    np.testing.assert_array_equal(one, two)
    moved = task.evaluate(state, {**batch, "row": batch["row"] + 1}, KEY)["loss"]
    assert abs(moved[0] - one[0]) > 1e-3


@pytest.mark.parametrize("norm_pix", [True, False])
def test_reconstructions_by_hand(norm_pix):
    task = module.mae(Guess(), SGD, mask_ratio=0.5, norm_pix=norm_pix)
    batch = make_batch()
    state = task.init(KEY, batch)
    panels = jax.jit(task.outputs["masked_reconstruct"])(state, batch, KEY)
    assert panels.shape == (6, 3, 4, 6, 3)
    image = np.asarray(batch["image"])
    np.testing.assert_array_equal(panels[:, 0], image)
    hidden = hidden_by_hand(rng.root(0), batch["row"], 6, 3)[:, :, None]
    patches = cut(image, 2)
    mean, deviation = statistics(patches)
    guess = np.float64(state.params["table"]) * np.ones_like(patches)
    guess = guess * deviation + mean if norm_pix else guess
    np.testing.assert_array_equal(cut(panels[:, 1], 2), np.where(hidden, 0, patches))
    whole = np.where(hidden, guess, patches)
    np.testing.assert_allclose(cut(panels[:, 2], 2), whole, rtol=1e-5, atol=1e-5)
    alone = task.outputs["reconstruct"](state, batch, KEY)
    np.testing.assert_allclose(alone, panels[:, 2], atol=1e-6)


def test_a_perfect_guess_of_normalized_pixels_gives_the_image_back():
    task = module.mae(Guess(), SGD, mask_ratio=0.5)
    batch = make_batch((1, 4, 6, 3))
    patches = cut(np.asarray(batch["image"]), 2)
    mean, deviation = statistics(patches)
    table = jnp.asarray(((patches - mean) / deviation)[0], jnp.float32)
    state = task.init(KEY, batch).replace(params={"table": table})
    assert task.evaluate(state, batch, KEY)["loss"][0] < 1e-12
    whole = task.outputs["reconstruct"](state, batch, KEY)
    np.testing.assert_allclose(whole, batch["image"], atol=1e-5)


def test_features_are_those_of_the_vit_to_fine_tune():
    task = module.mae(mae(**SIZES, **DECODER), SGD)
    batch = make_batch((3, 8, 8, 3))
    state = jax.jit(task.init)(KEY, batch)
    twin = vit(num_classes=8, **SIZES, positions="sincos2d")
    params = {**state.params["encoder"], "head": {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}}
    features = task.outputs["features"](state, batch, KEY)
    np.testing.assert_allclose(features, twin.apply({"params": params}, batch["image"]), atol=2e-6)


@pytest.mark.full
def test_devices_and_parts_agree(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(16, seed=1))
    changes = dict(
        model=dict(name="mae", **SIZES | dict(patch_size=2), **DECODER),
        task=dict(name="mae", mask_ratio=0.75),
    )
    pmap = dict(strategy="pmap", mesh=dict(data=8))
    plans = [
        tiny.plan_on(1, **changes),
        tiny.plan_on(8, **changes),
        tiny.plan_on(8, parallel=pmap, **changes),
        tiny.plan_on(1, accumulate=4, **changes),
    ]
    losses = [tiny.take_steps(plan, 3).losses for plan in plans]
    assert losses[0][0] != losses[0][2]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=2e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(mask_ratio=0.0), "mask_ratio=0.0: valid are shares above 0 and below 1"),
        (dict(mask_ratio=1.0), "mask_ratio=1.0: valid"),
        (dict(mask_ratio=float("nan")), "mask_ratio=nan"),
    ],
)
def test_requests_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        module.mae(Guess(), SGD, **arguments)


@pytest.mark.parametrize(
    ("ratio", "shape", "message"),
    [
        (0.05, (1, 4, 6, 3), "mask_ratio=0.05 hides 0 of 6 patches: valid are 0.167 to 0.833"),
        (0.95, (1, 4, 6, 3), "mask_ratio=0.95 hides 6 of 6 patches"),
        (0.5, (1, 2, 2, 3), "hides 0 of 1 patches: no ratio is valid"),
        (0.5, (1, 5, 6, 3), "a 5x6 image does not divide into 2x2 patches; nearest: 4x6"),
    ],
)
def test_images_that_do_not_fit(ratio, shape, message):
    task = module.mae(Guess(), SGD, mask_ratio=ratio)
    with pytest.raises(ConfigError, match=message):
        jax.eval_shape(task.init, KEY, make_batch(shape))


def test_a_patch_of_one_number_has_no_variance():
    task = module.mae(Guess(1), SGD)
    batch = make_batch((1, 4, 6, 1))
    state = task.init(KEY, batch)
    with pytest.raises(ConfigError, match="patches of one number"):
        jax.eval_shape(task.update, state, batch, KEY)


def test_another_kind_of_model_is_an_error():
    with pytest.raises(ConfigError, match=r"needs a model of library/.*/mae\.py, not Vision"):
        module.mae(vit(num_classes=3, **SIZES), SGD)


def test_built_by_name():
    spec = dict(name="mae", mask_ratio=0.5, norm_pix=False)
    task = config.build(spec, "library.tasks", "task", model=Guess(), minimize=SGD, num_classes=3)
    batch = make_batch()
    state = jax.eval_shape(task.init, KEY, batch)
    assert jax.eval_shape(task.update, state, batch, KEY)[0] == state
    assert set(task.outputs) == {"features", "reconstruct", "masked_reconstruct"}
