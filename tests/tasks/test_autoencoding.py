import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict
from rich.console import Console
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from library import config, rng
from library.config import ConfigError
from library.models.generative import autoencoder
from library.optim.optimizers import make_optimizer
from library.run import checkpoints, evaluating, fine_tuning, stepping
from library.run.feed import Feed
from library.task import Average, minimize
from library.tasks import autoencoding as module
from library.tasks.autoencoding import autoencoding
from tests import often, tiny

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
        *("encode", "decode", "reconstruct", "comparison", "error", "sample", "denoise"),
        *("features", "intermediates"),
    }
    np.testing.assert_array_equal(found["encode"], found["features"])
    logits = model.apply({"params": state.params}, batch["image"])
    np.testing.assert_allclose(found["reconstruct"], logistic(logits), atol=1e-6)
    np.testing.assert_array_equal(found["comparison"][:, 0], batch["image"])
    np.testing.assert_array_equal(found["comparison"][:, 1], found["reconstruct"])
    assert found["comparison"].shape == (8, 2, *SHAPE)
    expected = squared_error(logits, np.asarray(batch["image"]))
    np.testing.assert_allclose(found["error"], expected, rtol=1e-5)
    again = task.outputs["decode"](state, {"code": found["encode"]}, KEY)
    np.testing.assert_array_equal(again, found["reconstruct"])
    assert found["denoise"].shape == (8, 3, *SHAPE)
    np.testing.assert_array_equal(found["denoise"][:, 0], batch["image"])
    assert np.all((found["denoise"][:, 1] == 0).sum((1, 2, 3)) == 3)
    seen = task.outputs["reconstruct"](state, {**batch, "image": found["denoise"][:, 1]}, KEY)
    np.testing.assert_allclose(found["denoise"][:, 2], seen, atol=1e-6)


@pytest.mark.full
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
    noisy_logits = model.apply({"params": state.params}, noisy)
    expected = np.asarray(batch["mask"]) @ cross_entropy(noisy_logits, batch["image"])
    found = task.update(state, batch, KEY)[1]["loss"][0]
    assert found == pytest.approx(expected, rel=1e-5)
    other = task.update(state, batch, jax.random.key(1))[1]["loss"][0]
    assert found != other
    clean = model.apply({"params": state.params}, batch["image"])
    mask = np.asarray(batch["mask"])
    measured = task.evaluate(state, batch, KEY)
    assert measured["loss"][0] == pytest.approx(mask @ cross_entropy(clean, batch["image"]), 1e-5)
    # Whether it denoises: the corrupted image's reconstruction against the clean one.
    image = np.asarray(batch["image"])
    for logits, name in ((noisy_logits, "denoised_error"), (clean, "squared_error")):
        assert measured[name][0] == pytest.approx(mask @ squared_error(logits, image), rel=1e-5)
        assert measured[name][1] == mask.sum()
    assert abs(measured["denoised_error"][0] - measured["squared_error"][0]) > 0.01
    assert "denoised_error" not in autoencoding(model, SGD).evaluate(state, batch, KEY)


def test_an_example_is_corrupted_alike_in_any_batch_of_an_evaluation():
    model, batch = small(), make_batch()
    task = autoencoding(model, SGD, corruption="gaussian", corruption_level=0.5)
    state = task.init(KEY, batch)
    whole = task.evaluate(state, batch, KEY)["denoised_error"][0]
    parts = [jax.tree.map(lambda x, at=at: x[at], batch) for at in (slice(3), slice(3, None))]
    summed = sum(float(task.evaluate(state, part, KEY)["denoised_error"][0]) for part in parts)
    assert summed == pytest.approx(float(whole), rel=1e-5)


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
        target = dict(sparsity_target=0.1) if kind == "kl" else {}
        task = autoencoding(model, SGD, sparsity=kind, sparsity_weight=0.7, **target)
        found = task.update(state, batch, KEY)[1]
        assert found["sparsity"][0] == pytest.approx(penalty, rel=1e-5)
        assert found["loss"][0] == pytest.approx(float(base) + penalty, rel=1e-5)
        assert "sparsity" not in task.evaluate(state, batch, KEY)


def test_the_divergence_is_zero_at_its_target_and_finite_at_the_bounds():
    assert module._bernoulli_divergence(0.25, jnp.full(3, 0.25)) == pytest.approx(0, abs=1e-6)
    for value in (0.0, 1.0):
        slope = jax.grad(lambda x: module._bernoulli_divergence(0.05, x))(jnp.full(2, value))
        assert np.all(np.isfinite(slope))


@pytest.mark.full
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


LAYERS = [
    {"encoder/hidden1", "decoder/image"},
    {"encoder/hidden2", "decoder/hidden2"},
    {"encoder/code", "decoder/hidden1"},
]


def layer_by_layer(optimizer, total_steps, **arguments):
    """Returns a network of three layers, its task, a batch and the initial state."""
    model, batch = autoencoder.deep(SHAPE, hidden=(5, 4), latent_dim=2), make_batch()
    learner = functools.partial(minimize, optimizer=optimizer, **arguments)
    task = autoencoding(model, learner, objective="layerwise", total_steps=total_steps)
    state = task.init(KEY, batch)
    # Biases that are not 0, so that decay would move them.
    params = jax.tree.map(lambda x: x + 0.1, state.params)
    return model, task, batch, state.replace(params=params)


def moved_layers(before, after):
    pairs = zip(flatten_dict(before).items(), flatten_dict(after).values(), strict=True)
    return {"/".join(path[:-1]) for (path, x), y in pairs if not np.array_equal(x, y)}


@pytest.mark.full
def test_the_loss_of_a_step_is_that_of_its_layer():
    model, task, batch, state = layer_by_layer(optax.sgd(0.1), 6)
    pairs = model.apply({"params": state.params}, batch["image"], method="layerwise")
    mask = np.asarray(batch["mask"])
    losses = [mask @ cross_entropy(logits, target) for target, logits in pairs]
    logits = model.apply({"params": state.params}, batch["image"])
    error = mask @ squared_error(logits, np.asarray(batch["image"]))
    update, evaluate = jax.jit(task.update), jax.jit(task.evaluate)
    # Steps done, the layer that the next one moves, and the one that the last has moved.
    for done, following, last in ((0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 1), (6, 2, 2)):
        at = state.replace(step=jnp.int32(done))
        for layer, found in (
            (following, update(at, batch, KEY)[1]),
            (last, evaluate(at, batch, KEY)),
        ):
            assert found["loss"][0] == pytest.approx(losses[layer], rel=1e-5)
            for i, loss in enumerate(losses, 1):
                assert found[f"loss_layer{i}"][0] == pytest.approx(loss, rel=1e-5)
                assert found[f"loss_layer{i}"][1] == mask.sum()
            assert found["squared_error"][0] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adamw(0.02, weight_decay=0.1),
        pytest.param(optax.sgd(0.1, 0.9), marks=pytest.mark.full),
    ],
    ids=["adamw", "sgd"],
)
def test_a_step_moves_the_bits_of_its_layer_only(optimizer):
    _, task, batch, state = layer_by_layer(optimizer, 7, average=Average(0.5))
    update, moved, averages = jax.jit(task.update), [], []
    for _ in range(7):
        after, _ = update(state, batch, KEY)
        moved.append(moved_layers(state.params, after.params))
        averages.append(moved_layers(state.ema["params"], after.ema["params"]))
        state = after
    # Of seven steps for three layers the rounding gives the first one more.
    assert moved == averages == [LAYERS[layer] for layer in (0, 0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize("layer", often.only([1], [0, 1, 2]))
def test_the_gradient_of_a_layer_is_that_of_an_autoencoder_on_frozen_codes(layer):
    model, task, batch, state = layer_by_layer(optax.sgd(0.1), 3)
    image = batch["image"]
    x = model.apply({"params": state.params}, image, method="layerwise")[layer][0]
    names = [next(n for n in LAYERS[layer] if n.startswith(part)) for part in ("enc", "dec")]
    flat = flatten_dict(state.params, sep="/")
    own = {n: {leaf: flat[f"{n}/{leaf}"] for leaf in ("kernel", "bias")} for n in names}
    activation = (jax.nn.sigmoid, jax.nn.sigmoid, lambda x: x)[layer]

    def error(own):
        up, down = (own[name] for name in names)
        hidden = activation(x @ up["kernel"] + up["bias"])
        losses = optax.sigmoid_binary_cross_entropy(hidden @ down["kernel"] + down["bias"], x)
        return batch["mask"] @ losses.sum(1) / batch["mask"].sum()

    gradient = jax.jit(jax.grad(error))(own)
    after, found = jax.jit(task.update)(state.replace(step=jnp.int32(layer)), batch, KEY)
    # Of all leaves together, the other layers' included.
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))
    assert found["gradient_norm"][0] == pytest.approx(norm, rel=1e-5)
    new = flatten_dict(after.params, sep="/")
    for name in names:
        for leaf in ("kernel", "bias"):
            expected = own[name][leaf] - 0.1 * gradient[name][leaf]
            np.testing.assert_allclose(new[f"{name}/{leaf}"], expected, rtol=1e-5, atol=1e-7)


def test_each_layer_is_trained_as_if_there_were_no_other():
    spec = dict(name="adam", learning_rate=0.03, schedule=dict(name="cosine"))
    sizes = dict(steps=int, batch_size=8)
    greedy, _ = make_optimizer({**spec, "phases": 2}, total_steps=20, **sizes)
    alone, _ = make_optimizer(spec, total_steps=10, **sizes)
    model, batch = autoencoder.deep(SHAPE, hidden=(5,), latent_dim=2), make_batch()
    task = autoencoding(
        model,
        functools.partial(minimize, optimizer=greedy),
        objective="layerwise",
        total_steps=20,
    )
    state, update = task.init(KEY, batch), jax.jit(task.update)
    x, codes = batch["image"], ("sigmoid", "linear")
    for i, (up, down) in enumerate((("hidden1", "image"), ("code", "hidden1"))):
        width = x.shape[1] if i else 6
        one = autoencoder.dense(
            (width, 1, 1) if i else SHAPE,
            latent_dim=(5, 2)[i],
            activation="sigmoid",
            code_activation=codes[i],
        )
        single = autoencoding(one, functools.partial(minimize, optimizer=alone))
        given = {**batch, "image": x.reshape(8, *one.image_shape)}
        params = {
            "encoder": {"code": state.params["encoder"][up]},
            "decoder": {"image": state.params["decoder"][down]},
        }
        trained = single.init(KEY, given).replace(params=params)
        step = jax.jit(single.update)
        for _ in range(10):
            state, found = update(state, batch, KEY)
            trained, expected = step(trained, given, KEY)
            assert found["loss"][0] == pytest.approx(float(expected["loss"][0]), rel=1e-5)
        after = state.params["encoder"][up], state.params["decoder"][down]
        parts = trained.params["encoder"]["code"], trained.params["decoder"]["image"]
        for ours, theirs in zip(after, parts, strict=True):
            for leaf in ours:
                np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-4, atol=1e-5)
        x = single.outputs["encode"](trained, given, KEY)


@pytest.mark.full
def test_layerwise_steps_lower_the_error_of_the_whole_network():
    model, batch = autoencoder.deep(SHAPE, hidden=(16, 12), latent_dim=4), make_batch(64)
    adam = functools.partial(minimize, optimizer=optax.adam(0.02))
    task = autoencoding(model, adam, objective="layerwise", total_steps=300)
    state, update = task.init(KEY, batch), jax.jit(task.update)
    before = task.evaluate(state, batch, KEY)["squared_error"][0]
    for _ in range(300):
        state, _ = update(state, batch, KEY)
    assert task.evaluate(state, batch, KEY)["squared_error"][0] < 0.8 * before


def test_both_stages_have_the_same_leaves():
    model, batch = autoencoder.deep(SHAPE, hidden=(5, 4), latent_dim=2), make_batch()
    states = [
        autoencoding(model, SGD, objective=objective, total_steps=3).init(KEY, batch)
        for objective in ("layerwise", "reconstruction")
    ]
    assert flatten_dict(states[0].params).keys() == flatten_dict(states[1].params).keys()
    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.full
@pytest.mark.parametrize("corruption", often.only(["masking"], ["none", "masking"]))
def test_layers_are_corrupted_each_by_itself(corruption):
    level = {} if corruption == "none" else dict(corruption_level=0.5)
    model, batch = autoencoder.deep(SHAPE, hidden=(6,), latent_dim=2), make_batch()
    task = autoencoding(
        model, SGD, objective="layerwise", total_steps=2, corruption=corruption, **level
    )
    state = task.init(KEY, batch)
    found = [task.update(state, batch, jax.random.key(i))[1] for i in (0, 1)]
    for name in ("loss", "loss_layer1", "loss_layer2"):
        assert (found[0][name][0] == found[1][name][0]) == (corruption == "none")


CONFIG = dict(
    normalize=None,
    model=dict(name="autoencoder.dense", latent_dim=4, code_activation="sigmoid"),
    optimizer=dict(name="adam", learning_rate=1e-2),
)
SPARSE = dict(
    name="autoencoding", corruption="masking", corruption_level=0.25, sparsity="kl"
) | dict(sparsity_weight=2.0)
LAYERWISE = dict(name="autoencoding", objective="layerwise", corruption="gaussian") | dict(
    corruption_level=0.2
)


@pytest.mark.full
@pytest.mark.parametrize(
    ("devices", "task", "changes"),
    [
        (8, SPARSE, {}),
        (8, SPARSE, dict(parallel=dict(strategy="pmap"))),
        (1, {**SPARSE, "sparsity": "l1"}, dict(accumulate=2)),
        (1, LAYERWISE, dict(accumulate=2)),
    ],
)
def test_devices_strategies_and_parts_agree(monkeypatch, devices, task, changes):
    tiny.serve(monkeypatch, train=tiny.arrays(64), test=tiny.arrays(16, seed=1))
    values = {**CONFIG, "task": task}
    if task == LAYERWISE:
        # The second of three steps is the last of the first layer.
        values["model"] = dict(name="autoencoder.deep", hidden=(5,), latent_dim=4)
        values["total"] = "3 steps"
    alone = tiny.take_steps(tiny.plan_on(1, **values), 3)
    other = tiny.take_steps(tiny.plan_on(devices, **values, **changes), 3)
    np.testing.assert_allclose(other.losses, alone.losses, rtol=3e-6)


STACK = dict(
    normalize=None,
    model=dict(name="autoencoder.deep", hidden=(5,), latent_dim=4),
    evaluate=dict(test=dict(kind="metrics")),
)


@pytest.mark.full
def test_fine_tuning_begins_where_the_layers_end(monkeypatch, tmp_path):
    tiny.serve(monkeypatch, train=tiny.arrays(64), test=tiny.arrays(24, seed=1))
    adam = dict(name="adam", learning_rate=0.05)
    layers = tiny.plan_on(
        1, **STACK, task=LAYERWISE, optimizer={**adam, "phases": 2}, total="10 steps"
    )
    ended = tiny.run(layers, tmp_path)["metrics"]
    whole = tiny.plan_on(1, **STACK, task=dict(name="autoencoding"), optimizer=adam)
    feed, shown = Feed(whole), io.StringIO()
    fresh = stepping.initial_carry(whole, feed).state
    spec = dict(workdir=str(tmp_path))
    state = fine_tuning.initialise(spec, fresh, Console(file=shown, soft_wrap=True))
    # Kernels and biases of two layers and their mirrors, and the two moments of the codes.
    assert shown.getvalue().splitlines() == [f"started from {tmp_path}: 10 of 10 leaves"]
    measure = evaluating.evaluations(whole, feed)["test"].measure
    begins = measure(state)["squared_error"]
    assert begins == pytest.approx(ended["test/squared_error"], rel=1e-6)
    assert begins < 0.99 * measure(fresh)["squared_error"]


@pytest.mark.full
def test_codes_are_the_features_of_a_classifier(monkeypatch, tmp_path):
    splits = dict(train=tiny.arrays(96), test=tiny.arrays(64, seed=1))
    tiny.serve(monkeypatch, **splits)
    evaluate = dict(probe=dict(kind="linear_probe"))
    plan = tiny.plan_on(1, **{**STACK, "evaluate": evaluate}, task=dict(name="autoencoding"))
    found = tiny.run(plan, tmp_path)["metrics"]
    leaves = checkpoints.load(tmp_path)[1]

    def codes(split):
        # Images as the network is given them: between 0 and 1, and not normalized.
        x = splits[split]["image"].reshape(-1, 64) / 255
        for name, function in (("hidden1", logistic), ("code", np.asarray)):
            layer = {k: leaves[f"state/params/encoder/{name}/{k}"] for k in ("kernel", "bias")}
            x = function(x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]))
        return x

    scaler = StandardScaler().fit(codes("train"))
    x = {split: scaler.transform(codes(split)) for split in splits}
    probe = LogisticRegression(C=1 / (1e-4 * 96), max_iter=10_000)
    probe.fit(x["train"], splits["train"]["label"])
    for split, name in (("train", "probe/train_accuracy"), ("test", "probe/accuracy")):
        expected = probe.score(x[split], splits[split]["label"])
        # An example or two may lie on the border.
        assert found[name] == pytest.approx(expected, abs=2 / 64)
    assert found["probe/train_accuracy"] > 0.5


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ({}, dict(loss="mse"), "valid: cross_entropy, squared_error"),
        ({}, dict(corruption="mask", corruption_level=0.5), "did you mean 'masking'"),
        ({}, dict(corruption="masking"), "corruption_level=0.0: valid are shares above 0"),
        ({}, dict(corruption="masking", corruption_level=1.5), "corruption_level=1.5"),
        ({}, dict(corruption="gaussian", corruption_level=-1.0), "valid are finite deviations"),
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
        (
            {},
            dict(sparsity="l1", sparsity_weight=1.0, sparsity_target=0.05),
            "sparsity_target=0.05 is read with sparsity='kl' only, not 'l1'",
        ),
        ({}, dict(sparsity_target=0.1), "is read with sparsity='kl' only, not 'none'"),
        ({}, dict(held_out=3), "held_out=3: labels are 0 to 2"),
        ({}, dict(held_out=-1), "held_out=-1"),
        ({}, dict(objective="greedy"), "valid: reconstruction, layerwise"),
        ({}, dict(objective="layerwise"), "activation='sigmoid', not DenseStack with 'relu'"),
        (
            dict(activation="sigmoid"),
            dict(objective="layerwise", loss="squared_error"),
            "not 'squared_error' and 'none'",
        ),
        (
            dict(activation="sigmoid"),
            dict(objective="layerwise"),
            "total_steps=None: objective='layerwise' needs a step for each of its 2 layers",
        ),
        (
            dict(activation="sigmoid"),
            dict(objective="layerwise", total_steps=1),
            "total_steps=1: objective='layerwise' needs a step for each of its 2 layers",
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
    with pytest.raises(ValueError, match="codes have 4 elements, but the model has 3"):
        task.outputs["decode"](task.init(KEY, batch), {"code": jnp.zeros((8, 4))}, KEY)
