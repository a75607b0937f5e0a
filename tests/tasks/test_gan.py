"""The game of two players: losses and penalties by hand, who moves what, devices, bad input."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import rng, task
from library.config import ConfigError
from library.models.generative import dcgan
from library.run.feed import Feed
from library.summaries import summarize
from library.tasks import gan as game
from tests import often, tiny

SHAPE = (4, 4, 1)
NUM = 6
GRADIENT_PENALTY = dict(loss="wasserstein", penalty="interpolates", penalty_weight=10.0)


class Linear(nn.Module):
    """Scores by one weight a pixel."""

    @nn.compact
    def __call__(self, image, label=None, train=False):
        return nn.Dense(1, name="head")(image.reshape(len(image), -1))[:, 0]


class Squared(nn.Module):
    """Scores whose gradient is the image."""

    @nn.compact
    def __call__(self, image, label=None, train=False):
        self.param("unused", nn.initializers.zeros, ())
        return jnp.sum(jnp.square(image), axis=(1, 2, 3)) / 2


class Tanh(nn.Module):
    """Makes images of one layer."""

    @nn.compact
    def __call__(self, latent, label=None, train=False):
        return jnp.tanh(nn.Dense(16, name="output")(latent)).reshape(-1, *SHAPE)


def captured(discriminator, **options):
    """Builds the task; returns the players' losses and the params that it starts from."""
    kept = {}

    def alternate(losses, **spread):
        kept.update(losses)
        return task.alternate(losses, optimizers=optax.sgd(0.1), **spread)

    players = dict(generator=Tanh(), discriminator=discriminator)
    options = dict(latent_size=5, image_shape=SHAPE) | options
    built = game.gan(players, alternate, **options)
    return kept, built.init(jax.random.key(0), batch()).params


def batch(num=NUM, **changes):
    image = np.random.default_rng(0).random((num, *SHAPE)).astype(np.float32)
    index = jnp.arange(10, 10 + num, dtype=jnp.uint32)
    values = dict(image=jnp.array(image), index=index, mask=jnp.ones(num))
    return values | changes


def fake_by_hand(params, key, index, uniform=False):
    draw = functools.partial(jax.random.uniform, minval=-1.0) if uniform else jax.random.normal
    keys = [jax.random.fold_in(rng.purpose(key, "latent"), i) for i in index]
    latent = np.stack([draw(k, (5,)) for k in keys])
    output = params["generator"]["output"]
    return np.tanh(latent @ np.asarray(output["kernel"]) + np.asarray(output["bias"]))


def scores_by_hand(params, flat):
    head = params["discriminator"]["head"]
    return flat @ np.asarray(head["kernel"])[:, 0] + float(head["bias"][0])


def log_sigmoid(s):
    return -np.log1p(np.exp(-np.asarray(s, np.float64)))


def log_not(s):
    return np.log(1 - np.exp(log_sigmoid(s)))


# The discriminator's losses of a real and of a generated image, and the generator's.
BY_HAND = {
    "saturating": ((lambda r: -log_sigmoid(r), lambda f: -log_not(f)), log_not),
    "non_saturating": (
        (lambda r: -log_sigmoid(r), lambda f: -log_not(f)),
        lambda f: -log_sigmoid(f),
    ),
    "hinge": (
        (lambda r: np.maximum(0, 1 - r), lambda f: np.maximum(0, 1 + f)),
        lambda f: -f,
    ),
    "least_squares": (
        (lambda r: (r - 1) ** 2 / 2, lambda f: f**2 / 2),
        lambda f: (f - 1) ** 2 / 2,
    ),
    "wasserstein": ((lambda r: -r, lambda f: f), lambda f: -f),
}


@pytest.mark.parametrize("latent", ["normal", "uniform"])
@pytest.mark.parametrize("loss", BY_HAND)
def test_losses_and_metrics_are_those_computed_by_hand(loss, latent):
    losses, params = captured(Linear(), loss=loss, latent=latent)
    key = jax.random.key(3)
    data = batch(mask=jnp.array([1.0, 1, 0, 1, 1, 1]))
    kept = np.array([0, 1, 3, 4, 5])
    flat = 2 * np.asarray(data["image"]).reshape(NUM, -1) - 1
    generated = fake_by_hand(params, key, data["index"], latent == "uniform")
    real, fake = (scores_by_hand(params, x)[kept] for x in (flat, generated))
    of_discriminator, of_generator = BY_HAND[loss]
    found, moved = losses["discriminator"](params, {}, data, key)
    found = summarize(found)
    assert moved == {}
    of_real, of_fake = of_discriminator
    assert found["loss_real"] == pytest.approx(of_real(real).mean(), rel=1e-5, abs=1e-6)
    assert found["loss_fake"] == pytest.approx(of_fake(fake).mean(), rel=1e-5, abs=1e-6)
    both = of_real(real) + of_fake(fake)
    assert found["loss"] == pytest.approx(both.mean(), rel=1e-5)
    if loss == "wasserstein":
        assert set(found) == {"loss", "loss_real", "loss_fake", "real", "fake"}
        assert found["real"] == pytest.approx(real.mean(), rel=1e-5, abs=1e-6)
    else:
        zero = 0.5 if loss == "least_squares" else 0.0
        assert found["accuracy_real"] == pytest.approx(np.mean(real > zero))
        assert found["accuracy_fake"] == pytest.approx(np.mean(fake < zero))
        assert 0 <= found["fake"] <= 1
    if "saturating" in loss:
        assert found["fake"] == pytest.approx(np.exp(log_sigmoid(fake)).mean(), rel=1e-5)
    found, _ = losses["generator"](params, {}, data, key)
    assert set(found) == {"loss"}
    assert summarize(found)["loss"] == pytest.approx(of_generator(fake).mean(), rel=1e-5)


def test_penalties_of_a_linear_critic_are_exact():
    for penalty, expected in (
        ("interpolates", lambda norm: (norm - 1) ** 2),
        ("r1", lambda norm: norm**2 / 2),
    ):
        losses, params = captured(Linear(), loss="wasserstein", penalty=penalty, penalty_weight=3.0)
        plain, _ = captured(Linear(), loss="wasserstein")
        arguments = params, {}, batch(), jax.random.key(1)
        found = summarize(losses["discriminator"](*arguments)[0])
        without = summarize(plain["discriminator"](*arguments)[0])
        norm = np.linalg.norm(params["discriminator"]["head"]["kernel"])
        assert found["penalty"] == pytest.approx(expected(norm), rel=1e-5)
        assert found["loss"] == pytest.approx(without["loss"] + 3 * expected(norm), rel=1e-5)
        parts = found["loss_real"] + found["loss_fake"] + 3 * found["penalty"]
        assert found["loss"] == pytest.approx(parts, rel=1e-5)


def test_r1_is_of_the_real_images():
    losses, params = captured(Squared(), penalty="r1", penalty_weight=10.0)
    data = batch(mask=jnp.array([1.0, 1, 0, 1, 1, 1]))
    found = summarize(losses["discriminator"](params, {}, data, jax.random.key(1))[0])
    real = 2 * np.asarray(data["image"]).reshape(NUM, -1) - 1
    # The gradient of half of an image's square is the image.
    expected = np.mean(np.delete(np.sum(real**2, axis=1), 2)) / 2
    assert found["penalty"] == pytest.approx(expected, rel=1e-5)


def test_interpolates_lie_on_each_pairs_line_at_its_own_place():
    losses, params = captured(Squared(), **GRADIENT_PENALTY)
    key, data = jax.random.key(1), batch()
    found = summarize(losses["discriminator"](params, {}, data, key)[0])
    real = 2 * np.asarray(data["image"]).reshape(NUM, -1) - 1
    fake = fake_by_hand(params, key, data["index"])
    purpose = rng.purpose(key, "interpolates")
    keys = [jax.random.fold_in(purpose, i) for i in data["index"]]
    share = np.stack([jax.random.uniform(k, (1, 1, 1)) for k in keys]).reshape(-1, 1)
    assert len(np.unique(share)) == NUM
    norm = np.linalg.norm(share * real + (1 - share) * fake, axis=1)
    assert found["penalty"] == pytest.approx(np.mean((norm - 1) ** 2), rel=1e-5)


def test_a_critic_that_is_flat_has_a_finite_gradient():
    losses, params = captured(Linear(), **GRADIENT_PENALTY)
    params = jax.tree.map(jnp.zeros_like, params)

    def lost(own):
        held = {**params, "discriminator": own}
        return losses["discriminator"](held, {}, batch(), jax.random.key(0))[0]["loss"][0]

    gradient = jax.grad(lost)(params["discriminator"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


# The step of both players.


def trained(updates=1, steps=1, rates=(0.1, 0.1), **options):
    """Runs the game with two normalized players under SGD; returns losses, start and end."""
    kept = {}
    players = ("discriminator", "generator")

    def alternate(losses, **spread):
        kept.update(losses)
        return task.alternate(
            losses,
            **spread,
            optimizers={player: optax.sgd(rate) for player, rate in zip(players, rates)},
            updates={"discriminator": updates},
        )

    shape = (16, 16, 1)
    model = dict(
        generator=dcgan.generator(shape, num_classes=4, width=4),
        discriminator=dcgan.discriminator(num_classes=4, width=4),
    )
    built = game.gan(model, alternate, latent_size=3, image_shape=shape, num_classes=4, **options)
    image = jax.random.uniform(jax.random.key(5), (8, *shape))
    data = batch(8, image=image, label=jnp.arange(8) % 4)
    start = built.init(jax.random.key(0), data)
    end, metrics = start, None
    update = jax.jit(built.update)
    for step in range(steps):
        end, metrics = update(end, data, jax.random.key(step))
    return kept, data, start, end, metrics, built


def assert_close(found, expected):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-6), found, expected
    )


@pytest.mark.full
def test_the_discriminator_moves_first_each_time_on_another_part_then_the_generator():
    losses, data, start, end, metrics, _ = trained(updates=2, conditional=True)
    params, variables, key = start.params, start.variables, jax.random.key(0)
    moves = [("discriminator", 0), ("discriminator", 1), ("generator", 0)]

    @functools.partial(jax.jit, static_argnames="player")
    def move(player, params, variables, part):
        def lost(own):
            held = {**params, player: own}
            metrics, moved = losses[player](held, variables, part, rng.purpose(key, player))
            return metrics["loss"][0] / metrics["loss"][1], moved

        gradient, moved = jax.grad(lost, has_aux=True)(params[player])
        new = jax.tree.map(lambda p, g: p - 0.1 * g, params[player], gradient)
        return {**params, player: new}, moved

    for player, j in moves:
        part = {name: value[j::2] for name, value in data.items()}
        params, variables = move(player, params, variables, part)
    assert_close(end.params, params)
    assert_close(end.variables, variables)
    names = ("loss", "loss_real", "loss_fake", "real", "fake", "accuracy_real", "accuracy_fake")
    assert {f"discriminator_{name}" for name in names} | {"generator_loss"} <= set(metrics)
    assert float(metrics["discriminator_loss"][1]) == 8
    assert float(metrics["generator_loss"][1]) == 4


@pytest.mark.parametrize(
    ("player", "other", "rates"),
    [
        ("generator", "discriminator", (0.0, 0.1)),
        ("discriminator", "generator", (0.1, 0.0)),
    ],
)
def test_a_move_changes_what_is_its_own_players_and_nothing_else(player, other, rates):
    losses, data, start, end, _, _ = trained(rates=rates)
    moved = losses[player](start.params, start.variables, data, jax.random.key(0))[1]
    held, after = start.variables["batch_stats"], moved["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, after[other], held[other])
    differing = jax.tree.map(lambda a, b: not np.array_equal(a, b), after[player], held[player])
    assert all(jax.tree.leaves(differing))
    jax.tree.map(np.testing.assert_array_equal, end.params[other], start.params[other])
    kernels = jax.tree.leaves(
        jax.tree.map(lambda a, b: not np.array_equal(a, b), end.params, start.params)[player]
    )
    assert all(kernels)


def test_outputs_and_evaluation():
    _, data, _, state, _, built = trained(conditional=True)
    key = jax.random.key(9)
    found = {name: output(state, data, key) for name, output in built.outputs.items()}
    assert set(found) == {"sample", "score", "probability", "signal", "features"}
    assert found["sample"].shape == (8, 16, 16, 1)
    assert 0 <= found["sample"].min() < found["sample"].max() <= 1
    assert found["features"].shape == (8, 4 * 4 * 8)
    np.testing.assert_allclose(found["probability"], jax.nn.sigmoid(found["score"]), rtol=1e-6)
    scored = found["features"] @ state.params["discriminator"]["head"]["kernel"]
    np.testing.assert_allclose(scored[:, 0], found["score"], rtol=1e-5, atol=1e-6)
    # The gradient of -log sigmoid(s) is that of s times sigmoid(s) - 1.
    score = lambda x: built.outputs["score"](state, {**data, "image": x}, key)  # noqa: E731
    jacobian = jax.jacobian(score)(data["image"])
    own = np.stack([np.asarray(jacobian[i, i]).ravel() for i in range(8)])
    expected = np.linalg.norm(own, axis=1) * (1 - np.asarray(found["probability"]))
    np.testing.assert_allclose(found["signal"], expected, rtol=1e-4, atol=1e-6)
    measured = summarize(built.evaluate(state, data, key))
    fakes = built.outputs["probability"](state, {**data, "image": found["sample"]}, key)
    assert measured["discriminator_fake"] == pytest.approx(float(fakes.mean()), rel=1e-4)
    assert measured["discriminator_real"] == pytest.approx(
        float(found["probability"].mean()), rel=1e-5
    )
    assert measured["generator_loss"] == pytest.approx(float(-jnp.log(fakes).mean()), rel=1e-4)


def test_samples_are_of_their_index_and_label_alone():
    _, data, _, state, _, built = trained(conditional=True)
    asked = {name: data[name] for name in ("index", "label", "mask")}
    key = jax.random.key(9)
    sample = built.outputs["sample"]
    whole = sample(state, asked, key)
    part = sample(state, {name: value[3:5] for name, value in asked.items()}, key)
    np.testing.assert_allclose(whole[3:5], part, atol=1e-6)
    other = sample(state, {**asked, "label": (asked["label"] + 1) % 4}, key)
    assert np.abs(np.asarray(other - whole)).max(axis=(1, 2, 3)).min() > 1e-6


def test_an_unknown_label_is_a_loss_that_is_not_finite_unless_it_is_padding():
    losses, data, start, _, _, built = trained(conditional=True)
    wrong = {**data, "label": data["label"].at[2].set(4)}
    padding = {**wrong, "mask": data["mask"].at[2].set(0)}
    for values, finite in ((wrong, False), (padding, True)):
        for loss in losses.values():
            metrics, _ = loss(start.params, start.variables, values, jax.random.key(0))
            assert np.isfinite(float(metrics["loss"][0])) == finite
    sample = built.outputs["sample"](start, wrong, jax.random.key(0))
    assert np.isnan(sample[2]).all()
    assert np.isfinite(np.delete(sample, 2, axis=0)).all()


# Devices.

PLAYERS = dict(
    generator=dict(name="dcgan.generator", width=4),
    discriminator=dict(name="dcgan.discriminator", width=4),
)
PERCEPTRONS = dict(
    generator=dict(name="gan.generator", hidden=(8,)),
    discriminator=dict(
        name="gan.discriminator", hidden=(8,), pieces=2, dropout=0.0, input_dropout=0.0
    ),
)
SGD = dict(
    discriminator=dict(name="sgd", learning_rate=0.05, updates=2),
    generator=dict(name="sgd", learning_rate=0.05),
)


def plan_on(devices, task=None, model=PLAYERS, **changes):
    settings = dict(name="gan", latent_size=3) | (task or {})
    changes = dict(normalize=None, model=model, task=settings, optimizer=SGD) | changes
    return tiny.plan_on(devices, **changes)


@pytest.fixture
def _data(monkeypatch):
    sizes = dict(size=16)
    tiny.serve(monkeypatch, train=tiny.arrays(50, **sizes), test=tiny.arrays(21, seed=1, **sizes))


@pytest.mark.full
@pytest.mark.usefixtures("_data")
@pytest.mark.parametrize(
    "changes",
    often.first(
        1,
        [
            dict(task=dict(conditional=True), ema=dict(decay=0.5)),
            dict(
                task=GRADIENT_PENALTY,
                model=PERCEPTRONS,
                parallel=dict(strategy="pmap"),
            ),
        ],
    ),
    ids=["jit", "pmap"],
)
def test_eight_devices_learn_and_draw_what_one_does(changes):
    ends, drawn = [], []
    for devices in (1, 8):
        plan = plan_on(devices, **changes)
        steps = tiny.take_steps(plan, 3)
        context = Feed(plan).context()
        sample = plan.task.outputs["sample"]
        collect = context.collect(lambda *of, sample=sample: {"image": sample(*of)})
        state = steps.carry.state
        drawn.append(np.concatenate([collect(state, b)["image"] for b in context.draws(20, 16)]))
        losses = [[row[f"{p}_loss"][0] for p in game.PLAYERS] for row in steps.sums]
        ends.append((losses, jax.device_get((state.params, state.ema))))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-5), *ends)
    np.testing.assert_allclose(*drawn, atol=2e-5)


# Bad input.


@pytest.mark.usefixtures("_data")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(task=dict(loss="hing")), "unknown loss 'hing': did you mean 'hinge'"),
        (dict(task=dict(penalty="r2")), "unknown penalty 'r2': did you mean 'r1'"),
        (dict(task=dict(penalty_weight=3.0)), "penalty_weight=3.0 is read with a penalty only"),
        (dict(task=dict(penalty="r1")), "penalty_weight=0.0: valid are numbers above 0"),
        (
            dict(task=dict(penalty="r1", penalty_weight=-1.0)),
            "penalty_weight=-1.0: valid are numbers above 0",
        ),
        (dict(task=dict(latent="gauss")), "latent"),
        (
            dict(task=dict(penalty="r1", penalty_weight=1.0)),
            "batch normalization mixes: .* norm='layer'",
        ),
        (dict(model=dict(name="gan.generator")), "'?Generator'? is only one player: write dict"),
        (
            dict(model={k: v for k, v in PLAYERS.items() if k == "generator"}),
            "model has no 'discriminator', only",
        ),
        (
            dict(model=PLAYERS | dict(critic=PLAYERS["discriminator"])),
            "unknown player in model 'critic'",
        ),
        (
            dict(
                task=dict(conditional=True),
                model=PLAYERS | dict(generator=dict(PLAYERS["generator"], num_classes=7)),
            ),
            "Generator has num_classes=7, but the task has 4",
        ),
    ],
)
def test_what_is_not_understood_is_not_started(changes, message):
    with pytest.raises(ConfigError, match=message):
        plan_on(1, **changes)


def test_there_is_nothing_to_be_told_without_classes():
    with pytest.raises(ConfigError, match="num_classes=None"):
        captured(Linear(), conditional=True)
    with pytest.raises(ConfigError, match="one label per example, but there is none"):
        captured(Linear(), conditional=True, num_classes=4)


def test_labels_that_are_no_classes_are_refused_and_a_draw_says_that_it_has_none():
    losses, data, start, _, _, built = trained(conditional=True)
    mixed = {**data, "label": jax.nn.one_hot(data["label"], 4)}
    key = jax.random.key(0)
    with pytest.raises(ConfigError, match=r"one label per example, int \(b,\), not \(8, 4\)"):
        losses["discriminator"](start.params, start.variables, mixed, key)
    draw = {name: data[name] for name in ("index", "mask")}
    with pytest.raises(KeyError, match="label"):
        built.outputs["sample"](start, draw, key)
