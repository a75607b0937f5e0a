import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict
from scipy import stats

from library import config, rng
from library.config import ConfigError
from library.models import autoencoder
from library.task import minimize
from library.tasks import autoencoding as module
from library.tasks.autoencoding import autoencoding
from tests import tiny

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(0.1))
SHAPE = (2, 3, 1)


def make_batch(size=8, shape=SHAPE):
    place = jnp.arange(size, dtype=jnp.uint32)
    return {
        "image": jax.random.uniform(jax.random.key(1), (size, *shape)),
        "index": place + 40,
        "row": place,
        "mask": (place % 4 != 1).astype(jnp.float32),
        "label": (place % 3).astype(jnp.int32),
    }


def small(**arguments):
    return autoencoder.dense(SHAPE, **{"hidden": (5,), "latent_dim": 3, **arguments})


def logistic(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def cross_entropy(logits, target):
    p, target = logistic(logits), np.asarray(target, np.float64)
    losses = -(target * np.log(p) + (1 - target) * np.log1p(-p))
    return losses.reshape(len(losses), -1).sum(-1)


def squared_error(logits, target):
    return np.square(logistic(logits) - target).reshape(len(target), -1).sum(-1)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_losses_by_hand_over_pixels_that_count(loss):
    model, batch = small(), make_batch()
    task = autoencoding(model, SGD, loss=loss)
    state = task.init(KEY, batch)
    logits = model.apply({"params": state.params}, batch["image"])
    by_hand = {"cross_entropy": cross_entropy, "squared_error": squared_error}
    mask = np.asarray(batch["mask"])
    for found in (task.evaluate(state, batch, KEY), task.update(state, batch, KEY)[1]):
        for name, function in (("loss", by_hand[loss]), ("squared_error", squared_error)):
            expected = mask @ function(logits, batch["image"])
            assert found[name][0] == pytest.approx(expected, rel=1e-5)
            assert found[name][1] == mask.sum()


def test_outputs():
    model, batch = small(), make_batch()
    task = autoencoding(model, SGD, corruption="masking", corruption_level=0.5)
    state = task.init(KEY, batch)
    found = {
        name: output(state, {**batch, "code": jnp.zeros((8, 3))}, KEY)
        for name, output in task.outputs.items()
    }
    assert set(found) == {
        *("encode", "decode", "reconstruct", "error", "sample", "denoise"),
        *("features", "intermediates"),
    }
    np.testing.assert_array_equal(found["encode"], found["features"])
    logits = model.apply({"params": state.params}, batch["image"])
    np.testing.assert_allclose(found["reconstruct"], logistic(logits), atol=1e-6)
    expected = squared_error(logits, np.asarray(batch["image"]))
    np.testing.assert_allclose(found["error"], expected, rtol=1e-5)
    again = task.outputs["decode"](state, {"code": found["encode"]}, KEY)
    np.testing.assert_array_equal(again, found["reconstruct"])
    assert found["denoise"].shape == (8, 3, *SHAPE)
    np.testing.assert_array_equal(found["denoise"][:, 0], batch["image"])
    assert np.all((found["denoise"][:, 1] == 0).sum((1, 2, 3)) == 3)
    seen = task.outputs["reconstruct"](state, {**batch, "image": found["denoise"][:, 1]}, KEY)
    np.testing.assert_allclose(found["denoise"][:, 2], seen, atol=1e-6)


def test_samples_have_the_moments_of_the_codes():
    model, batch = small(hidden=()), make_batch(64)
    task = autoencoding(model, SGD)
    state, codes = task.init(KEY, batch), []
    for step in range(3):
        codes.append(np.asarray(task.outputs["encode"](state, batch, KEY), np.float64))
        state, _ = task.update(state, batch, jax.random.fold_in(KEY, step))
    mask = np.asarray(batch["mask"])
    mean, square = np.zeros(3), np.ones(3)
    for code in codes:
        mean += 0.01 * (mask @ code / mask.sum() - mean)
        square += 0.01 * (mask @ code**2 / mask.sum() - square)
    kept = state.variables["code_statistics"]
    np.testing.assert_allclose(kept["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(kept["square"], square, rtol=1e-5)
    keys = rng.per_example(rng.purpose(KEY, "code"), batch["index"])
    noise = jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys)
    code = mean + np.sqrt(square - mean**2) * np.asarray(noise)
    expected = task.outputs["decode"](state, {"code": jnp.float32(code)}, KEY)
    drawn = {"index": batch["index"], "row": batch["row"], "mask": batch["mask"]}
    np.testing.assert_allclose(task.outputs["sample"](state, drawn, KEY), expected, atol=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 1.0])
def test_an_exact_share_is_masked(share):
    keys = rng.per_example(KEY, jnp.arange(16, dtype=jnp.uint32))
    x = jnp.ones((16, 5, 10, 1))
    masked = np.asarray(module._corruption("masking", share)(keys, x))
    np.testing.assert_array_equal((masked == 0).sum((1, 2, 3)), np.full(16, round(share * 50)))
    assert set(np.unique(masked)) <= {0.0, 1.0}
    if share < 1:
        assert len({row.tobytes() for row in masked}) > 8 * (share > 0.02)


def test_every_element_is_masked_alike():
    keys = rng.per_example(KEY, jnp.arange(4000, dtype=jnp.uint32))
    masked = module._corruption("masking", 0.3)(keys, jnp.ones((4000, 10)))
    counts = np.asarray(masked == 0).sum(0)
    # Five standard deviations of 4000 draws.
    np.testing.assert_allclose(counts, np.full(10, 1200), atol=5 * np.sqrt(4000 * 0.21))


def test_salt_and_pepper_is_a_fair_coin_on_an_exact_share():
    keys = rng.per_example(KEY, jnp.arange(500, dtype=jnp.uint32))
    x = jnp.full((500, 20), 0.5)
    made = np.asarray(module._corruption("salt_and_pepper", 0.4)(keys, x))
    np.testing.assert_array_equal((made != 0.5).sum(1), np.full(500, 8))
    salt = (made == 1).sum()
    assert salt + (made == 0).sum() == 4000
    assert stats.binomtest(int(salt), 4000).pvalue > 1e-4


def test_gaussian_noise_has_its_deviation():
    keys = rng.per_example(KEY, jnp.arange(500, dtype=jnp.uint32))
    noise = module._corruption("gaussian", 0.3)(keys, jnp.full((500, 20), 0.5)) - 0.5
    assert stats.kstest(np.asarray(noise).ravel() / 0.3, "norm").pvalue > 1e-4


def test_the_target_of_a_corrupted_image_is_the_clean_one():
    model, batch = small(), make_batch()
    task = autoencoding(model, SGD, corruption="masking", corruption_level=0.5)
    state = task.init(KEY, batch)
    noisy = task.outputs["denoise"](state, batch, KEY)[:, 1]
    logits = model.apply({"params": state.params}, noisy)
    expected = np.asarray(batch["mask"]) @ cross_entropy(logits, batch["image"])
    found = task.update(state, batch, KEY)[1]["loss"][0]
    assert found == pytest.approx(expected, rel=1e-5)
    other = task.update(state, batch, jax.random.key(1))[1]["loss"][0]
    assert found != other
    clean = model.apply({"params": state.params}, batch["image"])
    expected = np.asarray(batch["mask"]) @ cross_entropy(clean, batch["image"])
    assert task.evaluate(state, batch, KEY)["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_sparsity_by_hand():
    model, batch = small(code_activation="sigmoid"), make_batch()
    plain = autoencoding(model, SGD)
    state = plain.init(KEY, batch)
    base = plain.update(state, batch, KEY)[1]["loss"][0]
    code = np.asarray(plain.outputs["encode"](state, batch, KEY), np.float64)
    mask = np.asarray(batch["mask"])
    mean = mask @ code / mask.sum()
    expected = {
        "l1": 0.7 * (mask @ np.abs(code)).sum(),
        "kl": 0.7
        * mask.sum()
        * sum(stats.entropy([0.1, 0.9], [activation, 1 - activation]) for activation in mean),
    }
    for kind, penalty in expected.items():
        task = autoencoding(model, SGD, sparsity=kind, sparsity_weight=0.7, sparsity_target=0.1)
        found = task.update(state, batch, KEY)[1]
        assert found["sparsity"][0] == pytest.approx(penalty, rel=1e-5)
        assert found["loss"][0] == pytest.approx(float(base) + penalty, rel=1e-5)
        assert "sparsity" not in task.evaluate(state, batch, KEY)


def test_the_divergence_is_zero_at_its_target_and_finite_at_the_bounds():
    assert module._bernoulli_divergence(0.25, jnp.full(3, 0.25)) == pytest.approx(0, abs=1e-6)
    for value in (0.0, 1.0):
        slope = jax.grad(lambda x: module._bernoulli_divergence(0.05, x))(jnp.full(2, value))
        assert np.all(np.isfinite(slope))


def test_sparse_codes_come_from_the_penalty():
    model = small(code_activation="sigmoid")
    adam = functools.partial(minimize, optimizer=optax.adam(0.02))
    batch = make_batch(32)
    found = {}
    for kind in ("none", "kl"):
        weight = {} if kind == "none" else dict(sparsity_weight=10.0, sparsity_target=0.1)
        task = autoencoding(model, adam, sparsity=kind, **weight)
        state, update = task.init(KEY, batch), jax.jit(task.update)
        for _ in range(150):
            state, _ = update(state, batch, KEY)
        found[kind] = np.asarray(task.outputs["encode"](state, batch, KEY)).mean(0)
    np.testing.assert_allclose(found["kl"], np.full(3, 0.1), atol=0.05)
    assert np.abs(found["none"] - 0.1).max() > 0.1


def test_a_class_held_out_has_no_weight():
    model, batch = small(), make_batch()
    task = autoencoding(model, SGD, held_out=2, num_classes=3)
    without = {**batch, "mask": batch["mask"] * (batch["label"] != 2)}
    plain = autoencoding(model, SGD)
    state = task.init(KEY, batch)
    ours, theirs = task.update(state, batch, KEY), plain.update(state, without, KEY)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    evaluated = task.evaluate(state, batch, KEY), plain.evaluate(state, without, KEY)
    jax.tree.map(np.testing.assert_array_equal, *evaluated)
    only = {**batch, "label": jnp.full(8, 2)}
    moved, found = task.update(state, only, KEY)
    assert found["loss"][1] == 0
    jax.tree.map(np.testing.assert_array_equal, moved.params, state.params)
    jax.tree.map(np.testing.assert_array_equal, moved.variables, state.variables)


def test_the_layerwise_loss_is_the_sum_over_layers():
    model, batch = autoencoder.deep(SHAPE, hidden=(5, 4), latent_dim=2), make_batch()
    task = autoencoding(model, SGD, objective="layerwise")
    state = task.init(KEY, batch)
    found = task.evaluate(state, batch, KEY)
    pairs = model.apply({"params": state.params}, batch["image"], method="layerwise")
    mask = np.asarray(batch["mask"])
    expected = sum(mask @ cross_entropy(logits, target) for target, logits in pairs)
    assert found["loss"][0] == pytest.approx(expected, rel=1e-5)
    trained = task.update(state, batch, KEY)[1]
    assert trained["loss"][0] == pytest.approx(expected, rel=1e-5)
    logits = model.apply({"params": state.params}, batch["image"])
    error = mask @ squared_error(logits, np.asarray(batch["image"]))
    assert found["squared_error"][0] == pytest.approx(error, rel=1e-5)


def test_layerwise_steps_lower_the_error_of_the_whole_network():
    model, batch = autoencoder.deep(SHAPE, hidden=(16, 12), latent_dim=4), make_batch(64)
    adam = functools.partial(minimize, optimizer=optax.adam(0.02))
    task = autoencoding(model, adam, objective="layerwise")
    state, update = task.init(KEY, batch), jax.jit(task.update)
    before = task.evaluate(state, batch, KEY)["squared_error"][0]
    for _ in range(300):
        state, _ = update(state, batch, KEY)
    assert task.evaluate(state, batch, KEY)["squared_error"][0] < 0.8 * before


def test_both_stages_have_the_same_leaves():
    model, batch = autoencoder.deep(SHAPE, hidden=(5, 4), latent_dim=2), make_batch()
    states = [
        autoencoding(model, SGD, objective=objective).init(KEY, batch)
        for objective in ("layerwise", "reconstruction")
    ]
    assert flatten_dict(states[0].params).keys() == flatten_dict(states[1].params).keys()
    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.parametrize("corruption", ["none", "masking"])
def test_layers_are_corrupted_each_by_itself(corruption):
    level = {} if corruption == "none" else dict(corruption_level=0.5)
    model, batch = autoencoder.deep(SHAPE, hidden=(6,), latent_dim=2), make_batch()
    task = autoencoding(model, SGD, objective="layerwise", corruption=corruption, **level)
    state = task.init(KEY, batch)
    losses = [float(task.update(state, batch, jax.random.key(i))[1]["loss"][0]) for i in (0, 1)]
    assert (losses[0] == losses[1]) == (corruption == "none")


CONFIG = dict(
    normalize=None,
    model=dict(name="autoencoder.dense", latent_dim=4, code_activation="sigmoid"),
    optimizer=dict(name="adam", learning_rate=1e-2),
)
SPARSE = dict(
    name="autoencoding", corruption="masking", corruption_level=0.25, sparsity="kl"
) | dict(sparsity_weight=2.0)


@pytest.mark.parametrize(
    ("devices", "task", "changes"),
    [
        (8, SPARSE, {}),
        (8, SPARSE, dict(parallel=dict(strategy="pmap"))),
        (1, {**SPARSE, "sparsity": "l1"}, dict(accumulate=2)),
    ],
)
def test_devices_strategies_and_parts_agree(monkeypatch, devices, task, changes):
    tiny.serve(monkeypatch, train=tiny.arrays(64), test=tiny.arrays(16, seed=1))
    alone = tiny.take_steps(tiny.plan_on(1, **CONFIG, task=task), 3)
    other = tiny.take_steps(tiny.plan_on(devices, **CONFIG, task=task, **changes), 3)
    np.testing.assert_allclose(other.losses, alone.losses, rtol=3e-6)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ({}, dict(loss="mse"), "valid: cross_entropy, squared_error"),
        ({}, dict(corruption="mask", corruption_level=0.5), "did you mean 'masking'"),
        ({}, dict(corruption="masking"), "corruption_level=0.0: a share is above 0 and at most 1"),
        ({}, dict(corruption="masking", corruption_level=1.5), "corruption_level=1.5"),
        ({}, dict(corruption="gaussian", corruption_level=-1.0), "a deviation is above 0"),
        ({}, dict(corruption_level=0.5), "is read with a corruption only"),
        ({}, dict(sparsity="l2", sparsity_weight=1.0), "valid: none, l1, kl"),
        ({}, dict(sparsity="l1"), "sparsity_weight=0.0: valid are numbers above 0"),
        ({}, dict(sparsity_weight=1.0), "is read with a sparsity only"),
        ({}, dict(sparsity="kl", sparsity_weight=1.0), "code_activation='relu', not 'sigmoid'"),
        (
            dict(code_activation="sigmoid"),
            dict(sparsity="kl", sparsity_weight=1.0, sparsity_target=1.0),
            "sparsity_target=1.0: valid are numbers between 0 and 1",
        ),
        ({}, dict(held_out=3), "held_out=3: labels are 0 to 2"),
        ({}, dict(held_out=-1), "held_out=-1"),
        ({}, dict(objective="greedy"), "valid: reconstruction, layerwise"),
        ({}, dict(objective="layerwise"), "activation='sigmoid', not DenseStack with 'relu'"),
        (
            dict(activation="sigmoid"),
            dict(objective="layerwise", loss="squared_error"),
            "not 'squared_error' and 'none'",
        ),
    ],
)
def test_requests_that_do_not_fit(model, arguments, message):
    spec = dict(name="autoencoding", **arguments)
    with pytest.raises(ConfigError, match=message):
        config.build(
            spec, "library.tasks", "task", model=small(**model), minimize=SGD, num_classes=3
        )


def test_convolutions_have_no_layerwise_objective():
    model = autoencoder.convolutional((8, 8, 1), channels=(2,), activation="sigmoid")
    with pytest.raises(ConfigError, match="not ConvEncoder"):
        autoencoding(model, SGD, objective="layerwise")


def test_codes_of_another_length_are_an_error():
    task, batch = autoencoding(small(), SGD), make_batch()
    with pytest.raises(ValueError, match="codes have 4 elements, those of the model 3"):
        task.outputs["decode"](task.init(KEY, batch), {"code": jnp.zeros((8, 4))}, KEY)
