import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy.stats import norm

from library import rng
from library.config import ConfigError
from library.diffusion.bound import step_bits
from library.diffusion.process import PREDICTIONS, at, loss_weights, make_process, noised, posterior
from library.diffusion.samplers import ancestral, ddim, dpm_solver
from library.run.feed import Feed
from library.task import minimize
from library.tasks.diffusion import diffusion
from tests import often, tiny

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(0.1))
MEAN, DEVIATION = 0.1, 0.2


class Optimal(nn.Module):
    """The best prediction where the pixels of images are N(MEAN, DEVIATION^2)."""

    prediction: str = "epsilon"
    timesteps: int = 1000
    raw: float | None = None

    @nn.compact
    def __call__(self, x, time, label=None, train=False):
        self.param("nothing", nn.initializers.zeros, ())
        process = make_process("linear", self.timesteps)
        time = jnp.round(time * self.timesteps / 1000).astype(jnp.int32)
        alpha, sigma = at(process.alpha, time), at(process.sigma, time)
        variance = alpha**2 * DEVIATION**2 + sigma**2
        x0 = MEAN + alpha * DEVIATION**2 / variance * (x - alpha * MEAN)
        # Not as x - alpha x_0: at time 0 that is a small difference of large numbers.
        noise = sigma / variance * (x - alpha * MEAN)
        out = PREDICTIONS[self.prediction][1](x0, noise, alpha, sigma)
        return out if self.raw is None else jnp.concatenate([out, jnp.full_like(x, self.raw)], -1)


class Linear(nn.Module):
    """A prediction linear in the image, the time and an embedding of the class."""

    num_classes: int = 3
    num_out: int = 1

    @nn.compact
    def __call__(self, x, time, label=None, train=False):
        small = nn.initializers.normal(0.15)
        y = x @ self.param("image", small, (x.shape[-1], self.num_out))
        y = y + self.param("time", small, (self.num_out,)) * time[:, None, None, None] / 1000
        if label is not None:
            classes = nn.Embed(self.num_classes + 1, self.num_out, embedding_init=small)
            y = y + classes(label)[:, None, None]
        return y


def make_batch(size=6, side=2, channels=1, seed=0):
    random = np.random.default_rng(seed)
    return {
        "image": jnp.asarray(
            random.integers(0, 256, (size, side, side, channels)) / 255, "float32"
        ),
        "label": jnp.arange(size) % 3,
        "index": jnp.arange(size, dtype=jnp.uint32) + 5,
        "row": jnp.arange(size, dtype=jnp.uint32),
        "mask": jnp.asarray(np.arange(size) != 2, jnp.float32),
    }


def drawn(size):
    """What samplers are handed."""
    place = jnp.arange(size, dtype=jnp.uint32)
    return {"index": place, "row": place, "mask": jnp.ones(size), "label": jnp.arange(size) % 3}


def make(model, shape=(2, 2, 1), **arguments):
    task = diffusion(model, SGD, image_shape=shape, **{"num_classes": 3, **arguments})
    batch = make_batch(side=shape[0], channels=shape[-1])
    return task, task.init(KEY, batch), batch


def normal(keys, i, shape):
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, i), shape))(keys)


# The loss.


@pytest.mark.parametrize("min_snr", [None, 5.0])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_loss_by_hand(prediction, min_snr):
    model, timesteps = Linear(), 40
    task, state, batch = make(
        model, prediction=prediction, min_snr=min_snr, timesteps=timesteps, schedule="cosine"
    )
    found = jax.jit(task.evaluate)(state, batch, KEY)
    process = make_process("cosine", timesteps)
    keys = rng.per_example(rng.purpose(rng.root(0), "diffusion"), batch["row"])
    pairs = [jax.random.split(key) for key in keys]
    time = np.array([jax.random.randint(t, (), 0, timesteps) for t, _ in pairs])
    noise = np.stack([jax.random.normal(n, (2, 2, 1)) for _, n in pairs])
    x0 = 2 * np.asarray(batch["image"]) - 1
    alpha, sigma = (t[time].reshape(-1, 1, 1, 1) for t in (process.alpha, process.sigma))
    scaled = jnp.asarray(time * 1000 / timesteps, jnp.float32)
    x = jnp.asarray(alpha * x0 + sigma * noise, jnp.float32)
    output = model.apply({"params": state.params}, x, scaled)
    target = {"epsilon": noise, "x0": x0, "v": alpha * noise - sigma * x0}[prediction]
    errors = np.square(output - target).mean((1, 2, 3))
    weights = loss_weights(process, prediction, min_snr)[time]
    mask = np.asarray(batch["mask"])
    np.testing.assert_allclose(found["loss"][0], (mask * weights * errors).sum(), rtol=2e-5)
    np.testing.assert_allclose(found["squared_error"][0], (mask * errors).sum(), rtol=2e-5)
    assert found["loss"][1] == 5


def test_evaluation_depends_on_the_row_only():
    task, state, batch = make(Linear(), timesteps=40)
    first = task.evaluate(state, batch, KEY)
    moved = {**batch, "index": batch["index"] + 7}
    again = task.evaluate(state, moved, jax.random.key(1))
    other = task.evaluate(state, {**batch, "row": batch["row"] + 7}, KEY)
    assert first["loss"][0] == again["loss"][0] != other["loss"][0]


def test_training_draws_a_time_and_noise_for_each_index_and_step():
    task, state, batch = make(Linear(), timesteps=40)

    def loss(batch, key):
        return float(task.update(state, batch, key)[1]["loss"][0])

    same = loss(batch, KEY)
    assert same == loss({**batch, "row": batch["row"] + 1}, KEY)
    assert same != loss({**batch, "index": batch["index"] + 1}, KEY)
    assert same != loss(batch, jax.random.key(1))


def test_learned_variances_add_the_bound_that_moves_only_them():
    model, timesteps = Linear(num_out=2), 40
    task, state, batch = make(model, variance="learned", timesteps=timesteps)
    plain, _, _ = make(Linear(), timesteps=timesteps)
    found = jax.jit(task.evaluate)(state, batch, KEY)
    bound, squared = found["bits_per_dim"][0], found["squared_error"][0]
    np.testing.assert_allclose(found["loss"][0], squared + 0.001 * bound, rtol=1e-5)
    moved, _ = jax.jit(task.update)(state, batch, KEY)
    means = jax.tree.map(lambda p: p[..., :1], state.params)
    expected, _ = jax.jit(plain.update)(state.replace(params=means), batch, KEY)
    for name in ("image", "time"):
        np.testing.assert_allclose(
            moved.params[name][..., :1], expected.params[name], rtol=1e-5, atol=1e-6
        )
        assert np.abs(moved.params[name] - state.params[name])[..., 1:].max() > 1e-6


@pytest.mark.full
def test_the_bound_of_a_step_estimates_that_of_the_chain():
    task, state, batch = make(Linear(num_out=2), variance="learned", timesteps=30)
    found = jax.jit(task.evaluate)(state, batch, KEY)["bits_per_dim"]
    process = make_process("linear", 30)
    keys = rng.per_example(rng.purpose(rng.root(0), "diffusion"), batch["row"])
    time = jnp.array([jax.random.randint(jax.random.split(k)[0], (), 0, 30) for k in keys])
    noise = jnp.stack([jax.random.normal(jax.random.split(k)[1], (2, 2, 1)) for k in keys])
    x0 = 2 * batch["image"] - 1
    x = noised(process, x0, time, noise)
    out = Linear(num_out=2).apply({"params": state.params}, x, time * 1000 / 30)
    alpha, sigma = at(process.alpha, time), at(process.sigma, time)
    predicted = (x - sigma * out[..., :1]) / alpha
    bits = step_bits(process, "learned", x0, x, time, predicted, out[..., 1:])
    np.testing.assert_allclose(found[0], 30 * (bits * batch["mask"]).sum(), rtol=1e-4)


@pytest.mark.full
def test_labels_are_dropped_by_example_at_the_rate():
    size, rate = 4000, 0.3

    class Seen(nn.Module):
        """Is wrong by 1 where there is no class, by 0 elsewhere."""

        @nn.compact
        def __call__(self, x, time, label=None, train=False):
            bias = self.param("bias", nn.initializers.zeros, ())
            return jnp.where(label == 3, 1.0, 0.0)[:, None, None, None] + 0 * x + bias

    # Images that x0 = 0 is right about.
    batch = {**make_batch(size), "image": jnp.full((size, 1, 1, 1), 0.5), "mask": jnp.ones(size)}
    arguments = dict(image_shape=(1, 1, 1), num_classes=3, prediction="x0", conditional=True)
    task = diffusion(Seen(), SGD, label_dropout=rate, **arguments)
    state = task.init(KEY, batch)
    _, metrics = jax.jit(task.update)(state, batch, KEY)
    dropped = float(metrics["loss"][0]) / size
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / size)
    assert task.evaluate(state, batch, KEY)["loss"][0] == 0
    half = jax.tree.map(lambda x: x[size // 2 :], batch)
    first = jax.tree.map(lambda x: x[: size // 2], batch)
    parts = [jax.jit(task.update)(state, part, KEY)[1]["loss"][0] for part in (first, half)]
    assert sum(map(float, parts)) == float(metrics["loss"][0])


# Sampling.


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
def test_samples_follow_the_table(sampler):
    steps, shape = 7, (2, 2, 1)
    spec = dict(name=sampler, steps=steps) | (dict(eta=0.4) if sampler == "ddim" else {})
    model = Optimal(timesteps=50)
    task, state, _ = make(model, timesteps=50, sampler=spec, clip=False)
    batch, process = drawn(3), make_process("linear", 50)
    table = {
        "ancestral": lambda: ancestral(process, "beta", steps=steps),
        "ddim": lambda: ddim(process, steps=steps, eta=0.4),
        "dpm_solver": lambda: dpm_solver(process, steps=steps),
    }[sampler]()
    keys = rng.per_example(rng.purpose(KEY, "sample"), batch["index"])
    x, last = np.float64(normal(keys, 0, shape)), 0.0
    for i in range(steps):
        a, s = table.alpha[i], table.sigma[i]
        x0 = MEAN + a * DEVIATION**2 / (a**2 * DEVIATION**2 + s**2) * (x - a * MEAN)
        noise = table.noise[i] * np.float64(normal(keys, i + 1, shape))
        x, last = table.on_x[i] * x + table.on_x0[i] * x0 + table.on_last[i] * last + noise, x0
    found = jax.jit(task.outputs["sample"])(state, batch, KEY)
    np.testing.assert_allclose(found, np.clip((x + 1) / 2, 0, 1), atol=2e-5)


@pytest.mark.parametrize(
    ("prediction", "sampler"),
    often.but(
        [("v", dict(name="ddim", steps=1000, eta=1.0)), ("x0", dict(name="dpm_solver", steps=20))],
        [
            ("epsilon", dict(name="ancestral")),
            ("epsilon", dict(name="ddim", steps=1000)),
            ("v", dict(name="ddim", steps=1000, eta=1.0)),
            ("epsilon", dict(name="dpm_solver", steps=20)),
            ("x0", dict(name="dpm_solver", steps=20)),
            ("v", dict(name="dpm_solver", steps=20)),
        ],
    ),
    ids=str,
)
def test_samples_have_the_moments_of_the_data(prediction, sampler):
    size = 1500
    task, state, _ = make(
        Optimal(prediction), prediction=prediction, sampler=sampler, variance="beta_tilde",
        clip=False,
    )  # fmt: skip
    found = 2 * np.float64(jax.jit(task.outputs["sample"])(state, drawn(size), KEY)) - 1
    error = DEVIATION / np.sqrt(4 * size)
    np.testing.assert_allclose(found.mean(), MEAN, atol=4 * error)
    np.testing.assert_allclose(found.std(), DEVIATION, rtol=4 / np.sqrt(8 * size) + 0.02)


@pytest.mark.parametrize(("raw", "variance"), often.first(1, [(-1.0, "beta_tilde"), (1.0, "beta")]))
def test_learned_variances_at_their_bounds_are_the_fixed_ones(raw, variance):
    sampler = dict(name="ancestral", steps=10)
    arguments = dict(timesteps=40, sampler=sampler, clip=False)
    learned, state, _ = make(Optimal(timesteps=40, raw=raw), variance="learned", **arguments)
    fixed, _, _ = make(Optimal(timesteps=40), variance=variance, **arguments)
    ours, theirs = (
        jax.jit(task.outputs["sample"])(state, drawn(4), KEY) for task in (learned, fixed)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_path_leads_from_noise_to_the_sample():
    task, state, _ = make(
        Optimal(timesteps=50), timesteps=50, num_snapshots=3, sampler=dict(name="ddim", steps=10)
    )
    path = jax.jit(task.outputs["path"])(state, drawn(4), KEY)
    assert path.shape == (4, 3, 2, 2, 1)
    keys = rng.per_example(rng.purpose(KEY, "sample"), drawn(4)["index"])
    noise = np.clip((normal(keys, 0, (2, 2, 1)) + 1) / 2, 0, 1)
    np.testing.assert_allclose(path[:, 0], noise, atol=1e-6)
    np.testing.assert_allclose(
        path[:, -1], jax.jit(task.outputs["sample"])(state, drawn(4), KEY), atol=1e-6
    )
    assert np.abs(path[:, 1] - path[:, 0]).max() > 0.01
    assert np.abs(path[:, 1] - path[:, 2]).max() > 0.01


def test_samples_are_those_of_their_index():
    task, state, _ = make(Optimal(timesteps=50), timesteps=50, sampler=dict(name="ddim", eta=1.0))
    batch = drawn(6)
    whole = task.outputs["sample"](state, batch, KEY)
    part = task.outputs["sample"](state, jax.tree.map(lambda x: x[4:], batch), KEY)
    np.testing.assert_allclose(whole[4:], part, atol=1e-6)
    assert len(np.unique(np.asarray(whole)[:, 0, 0, 0])) == 6


@pytest.mark.parametrize(("clip", "image"), [(True, 1.0), (False, 5.0)])
def test_predicted_images_are_clipped(clip, image):
    class Far(nn.Module):
        @nn.compact
        def __call__(self, x, time, label=None, train=False):
            return 5 + 0 * x + self.param("nothing", nn.initializers.zeros, ())

    sampler = dict(name="ddim", steps=10)
    task, state, _ = make(Far(), prediction="x0", sampler=sampler, clip=clip, num_snapshots=11)
    after_one = task.outputs["path"](state, drawn(8), KEY)[:, 1]
    table = ddim(make_process("linear", 1000), steps=10)
    keys = rng.per_example(rng.purpose(KEY, "sample"), drawn(8)["index"])
    x = table.on_x[0] * normal(keys, 0, (2, 2, 1)) + table.on_x0[0] * image
    np.testing.assert_allclose(after_one, np.clip((x + 1) / 2, 0, 1), atol=1e-5)


@pytest.mark.parametrize(("guidance", "factors"), [(None, (1, 0)), (1.0, (1, 0)), (0.0, (0, 1))])
def test_guidance_of_one_is_the_class_and_of_zero_is_none(guidance, factors):
    assert_guided(guidance, factors)


@pytest.mark.parametrize("guidance", [0.5, 3.0])
def test_guidance_mixes_both_predictions(guidance):
    assert_guided(guidance, (guidance, 1 - guidance))


def assert_guided(guidance, factors):
    sampler = dict(name="ddim", steps=1)
    task, state, _ = make(
        Linear(), conditional=True, label_dropout=0.1, guidance=guidance, sampler=sampler,
        prediction="x0", clip=False,
    )  # fmt: skip
    batch = drawn(6)
    keys = rng.per_example(rng.purpose(KEY, "sample"), batch["index"])
    x, time = normal(keys, 0, (2, 2, 1)), jnp.full(6, 999.0)
    known, unknown = (
        Linear().apply({"params": state.params}, x, time, label)
        for label in (batch["label"], jnp.full(6, 3))
    )
    expected = np.clip((factors[0] * known + factors[1] * unknown + 1) / 2, 0, 1)
    found = jax.jit(task.outputs["sample"])(state, batch, KEY)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.mean((expected > 0) & (expected < 1)) > 0.05


# The bound.


def expected_bound(timesteps):
    """The expected terms in bits where data are N(MEAN, DEVIATION^2) and the model is Optimal."""
    process = make_process("linear", timesteps)
    q, a, s = posterior(process), process.alpha, process.sigma
    left = DEVIATION**2 * s**2 / (a**2 * DEVIATION**2 + s**2)
    steps = q.on_x0**2 * left / np.exp(q.log_beta_tilde) / 2
    second = MEAN**2 + DEVIATION**2
    prior = 0.5 * (a[-1] ** 2 * second + s[-1] ** 2 - 1 - np.log(s[-1] ** 2))
    return prior / np.log(2), steps[1:].sum() / np.log(2)


@pytest.mark.parametrize("bound_steps", often.only([6], [None, 6]))
def test_bound_of_gaussian_data_in_closed_form(bound_steps):
    size, timesteps = 20_000, 30
    task, state, _ = make(
        Optimal(timesteps=timesteps), timesteps=timesteps, variance="beta_tilde", clip=False,
        bound_steps=bound_steps,
    )  # fmt: skip
    values = MEAN + DEVIATION * np.random.default_rng(0).normal(size=(size, 1, 1, 1))
    batch = {**drawn(size), "image": jnp.asarray((values + 1) / 2, jnp.float32)}
    bits = jax.jit(task.outputs["bits"])(state, batch, KEY)
    prior, denoising = expected_bound(timesteps)
    np.testing.assert_allclose(bits["prior"].mean(), prior, rtol=0.05, atol=1e-6)
    error = np.std(bits["denoising"]) / np.sqrt(size)
    assert error < 0.03 * denoising
    np.testing.assert_allclose(bits["denoising"].mean(), denoising, atol=4 * error)


def test_last_term_of_the_bound_by_integration():
    size, value = 4000, 140 / 255
    task, state, _ = make(Optimal(timesteps=30), timesteps=30, variance="beta_tilde", clip=False)
    batch = {**drawn(size), "image": jnp.full((size, 1, 1, 1), value)}
    found = jax.jit(task.outputs["bits"])(state, batch, KEY)["reconstruction"]
    process, x0 = make_process("linear", 30), 2 * value - 1
    a, s = process.alpha[0], process.sigma[0]
    noise, weight = np.polynomial.hermite_e.hermegauss(20)
    x = a * x0 + s * noise
    mean = MEAN + a * DEVIATION**2 / (a**2 * DEVIATION**2 + s**2) * (x - a * MEAN)
    scale = np.exp(posterior(process).log_beta_tilde[0] / 2)
    mass = norm.cdf((x0 + 1 / 255 - mean) / scale) - norm.cdf((x0 - 1 / 255 - mean) / scale)
    expected = -(weight @ np.log2(mass)) / weight.sum()
    error = np.std(found) / np.sqrt(size)
    np.testing.assert_allclose(found.mean(), expected, atol=4 * error + 1e-4)


# The whole, over devices.

UNET = dict(name="ddpm_unet", width=8, multipliers=(1,), num_blocks=1, attention=(), dropout=0.0)
RUN = dict(
    normalize=None,
    model=UNET,
    task=dict(
        name="diffusion", timesteps=20, conditional=True, label_dropout=0.2, guidance=2.0,
        sampler=dict(name="ddim", steps=3, eta=0.5),
    ),
    optimizer=dict(name="adam", learning_rate=0.01),
)  # fmt: skip
PMAP = dict(parallel=dict(strategy="pmap"))


@pytest.fixture
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


@pytest.mark.full
def test_devices_and_accumulation_agree_on_what_is_drawn():
    batch = {**make_batch(16), "mask": jnp.ones(16)}
    arguments = dict(image_shape=(2, 2, 1), num_classes=3, conditional=True, label_dropout=0.3)

    def task(**options):
        made = functools.partial(minimize, optimizer=optax.sgd(1.0), **options)
        return diffusion(Linear(num_out=2), made, variance="learned", **arguments)

    state = task().init(KEY, batch)
    expected, metrics = jax.jit(task().update)(state, batch, KEY)
    parts, _ = jax.jit(task(accumulate=2).update)(state, batch, KEY)
    split = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), batch)
    axes = dict(in_axes=(None, 0, None), out_axes=None)
    spread, sums = jax.pmap(task(axis_name="data").update, "data", **axes)(state, split, KEY)
    np.testing.assert_allclose(sums["loss"], metrics["loss"], rtol=1e-5)
    for other in (parts, spread):
        for ours, theirs in zip(jax.tree.leaves(other.params), jax.tree.leaves(expected.params)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
def test_devices_agree_on_samples(sampler):
    task, state, _ = make(
        Linear(), sampler=dict(name=sampler, steps=4), conditional=True, label_dropout=0.1,
        guidance=2.0, prediction="v",
    )  # fmt: skip
    sample, batch = jax.jit(task.outputs["sample"]), drawn(16)
    expected = sample(state, batch, KEY)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
    np.testing.assert_allclose(sample(state, spread, KEY), expected, atol=1e-6)
    assert np.std(expected) > 0.05


@pytest.mark.full
def test_strategies_agree_through_the_recipe(data):
    losses, images = [], []
    for devices, changes in ((1, {}), (8, PMAP)):
        plan = tiny.plan_on(devices, **RUN, **changes)
        context, steps = Feed(plan).context(), tiny.take_steps(plan, 2)

        def run(state, batch, key, plan=plan):
            return {"image": plan.task.outputs["sample"](state, batch, key)}

        collect = context.collect(run)
        losses.append(steps.losses)
        found = [collect(steps.carry.state, b)["image"] for b in context.draws(16, 16)]
        images.append(np.concatenate(found))
    assert images[0].shape == (16, 8, 8, 1)
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-5)
    np.testing.assert_allclose(images[1], images[0], atol=2e-4)


@pytest.mark.full
def test_evaluators_are_rehearsed_by_the_recipe(data):
    evaluate = dict(
        test=dict(kind="metrics"),
        bound=dict(kind="variational_bound", num_examples=5),
        path=dict(kind="samples", output="path", num=4),
    )
    reported = dict(metric="bound/bits_per_dim", value=3.75, source="the paper")
    assert tiny.plan_on(1, **RUN, evaluate=evaluate, reported=reported).total_steps == 12


# What is not understood.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(schedule="linaer"), "unknown noise schedule 'linaer': did you mean 'linear'"),
        (dict(prediction="noise"), "unknown prediction 'noise': (valid: epsilon, x0, v)"),
        (dict(variance="betas"), "unknown variance 'betas': did you mean 'beta'"),
        (dict(sampler=dict(name="dim")), "unknown sampler 'dim': did you mean 'ddim'"),
        (dict(sampler=dict(name="ddim", step=3)), "takes no 'step': did you mean 'steps'"),
        (
            dict(timesteps=100, sampler=dict(name="ddim", steps=250)),
            "steps=250: valid are 1 to 100",
        ),
        (dict(sampler=dict(name="ddim", steps=0)), "steps=0: valid are 1 to 1000"),
        (dict(guidance=2.0), "guidance=2.0 needs classes"),
        (dict(label_dropout=0.1), "label_dropout=0.1 needs classes"),
        (dict(conditional=True, guidance=2.0), "label_dropout=0 never trains"),
        (dict(conditional=True, label_dropout=1.0), "label_dropout=1.0: a rate"),
        (dict(conditional=True, label_dropout=-0.1), "label_dropout=-0.1: a rate"),
        (dict(conditional=True, num_classes=None), "has no classes"),
        (dict(timesteps=1), "timesteps=1"),
        (dict(min_snr=-1.0), "min_snr=-1.0"),
        (dict(num_snapshots=1), "num_snapshots=1: valid are 2 or more"),
        (dict(bound_steps=1000), "bound_steps=1000: valid are 1 to 999"),
    ],
    ids=str,
)
def test_bad_requests_name_what_is_valid(arguments, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        diffusion(Linear(), SGD, image_shape=(2, 2, 1), **{"num_classes": 3, **arguments})


def test_a_model_of_other_channels_is_named():
    for model, variance in ((Linear(num_out=1), "learned"), (Linear(num_out=2), "beta")):
        task = diffusion(model, SGD, image_shape=(2, 2, 1), variance=variance)
        with pytest.raises(ConfigError, match="channels are needed for images of 1"):
            task.init(KEY, make_batch())
