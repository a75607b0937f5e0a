import functools
import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.special import ndtr
from scipy import integrate, stats

from library import config, rng
from library.config import ConfigError
from library.gaussians import divergence_from_standard
from library.models.generative import vae
from library.task import minimize
from library.tasks import variational as module
from library.tasks.variational import variational
from tests import often, tiny

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(0.1))
RANDOM = np.random.default_rng(0)
NOISE = 0.5
# Orthogonal columns make the exact posterior diagonal.
LOADINGS = np.linalg.qr(RANDOM.normal(size=(6, 2)))[0] * [1.5, 0.7]
CENTER = RANDOM.normal(size=6)


class PCA(nn.Module):
    """Probabilistic principal components (Tipping & Bishop 1999) with its exact posterior."""

    image_shape = (2, 3, 1)
    latent_dim = 2
    condition = 0
    learned_scale = True
    shift: float = 0.0

    @nn.compact
    def __call__(self, image, train=False, label=None):
        self.param("unused", nn.initializers.zeros, ())
        return image

    def encode(self, image, label=None):
        precision = (LOADINGS**2).sum(0) + NOISE**2
        mean = (image.reshape(-1, 6) - CENTER) @ LOADINGS / precision + self.shift
        return mean, jnp.broadcast_to(np.log(NOISE**2 / precision), mean.shape)

    def decode(self, z, label=None):
        return (z @ LOADINGS.T + CENTER).reshape(-1, 2, 3, 1), jnp.full(1, math.log(NOISE))


def make_batch(size=8, image=None, seed=1):
    image = jax.random.uniform(jax.random.key(seed), (size, 2, 3, 1)) if image is None else image
    place = jnp.arange(size, dtype=jnp.uint32)
    mask = (place % 4 != 1).astype(jnp.float32)
    label = (place % 3).astype(jnp.int32)
    return {"image": image, "index": place + 40, "row": place, "mask": mask, "label": label}


def tiny_vae(shape=(2, 3, 1), **arguments):
    return vae.dense(shape, **{"num_classes": 3, "hidden": (5,), "latent_dim": 2, **arguments})


def log_density(image):
    covariance = LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(6)
    return stats.multivariate_normal(CENTER, covariance).logpdf(np.asarray(image).reshape(-1, 6))


@pytest.mark.full
def test_with_the_exact_posterior_every_weight_is_the_likelihood():
    task, batch = variational(PCA(), SGD, likelihood="gaussian"), make_batch()
    state = task.init(KEY, batch)
    for seed in range(3):
        found = task.outputs["log_weights"](state, batch, jax.random.key(seed))
        np.testing.assert_allclose(found, log_density(batch["image"]), rtol=2e-6)


def test_the_bound_in_closed_form():
    # The posterior moved by s has KL(q || p(z | x)) = sum_j s^2 / (2 v_j): what the bound lacks.
    model, batch = PCA(shift=0.3), make_batch(4096)
    task = variational(model, SGD, likelihood="gaussian")
    found = task.evaluate(task.init(KEY, batch), batch, KEY)
    precision = ((LOADINGS**2).sum(0) + NOISE**2) / NOISE**2
    gap = (0.3**2 * precision / 2).sum()
    mask = np.asarray(batch["mask"])
    count = mask.sum()
    assert found["elbo"][1] == count
    # One draw an example: E log p(x | z) is quadratic in z, its error that of the mean of 3072.
    expected = mask @ log_density(batch["image"]) / count - gap
    spread = np.sqrt(2 + (precision * 0.3**2).sum() * 2 + 6)
    assert found["elbo"][0] / count == pytest.approx(expected, abs=5 * spread / math.sqrt(count))
    assert found["elbo"][0] == pytest.approx(-(found["reconstruction"][0] + found["kl"][0]))
    mean, log_variance = (np.asarray(x) for x in model.encode(batch["image"]))
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(-1)
    assert found["kl"][0] == pytest.approx(mask @ kl, rel=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.3, 0.4), (-0.5, 2.0)])
def test_divergence_by_numerical_integration(mean, deviation):
    q, p = stats.norm(mean, deviation), stats.norm()
    expected = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -15, 15)[0]
    log_variance = jnp.full((1, 1), 2 * math.log(deviation))
    found = divergence_from_standard(jnp.full((1, 1), mean), log_variance)
    np.testing.assert_allclose(found, [[expected]], atol=1e-6)


@pytest.mark.parametrize("mean", [-0.2, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("log_scale", [-7.0, -2.0, 1.0])
def test_the_discretized_logistic_sums_to_one(mean, log_scale):
    values = jnp.arange(256)[:, None, None, None] / 255.0
    logs = module._discretized_logistic(
        values, jnp.full((256, 1, 1, 1), mean), jnp.array([log_scale])
    )
    assert np.all(np.isfinite(logs))
    assert np.exp(np.asarray(logs, np.float64)).sum() == pytest.approx(1.0, abs=2e-5)


def test_the_discretized_logistic_by_scipy():
    values, means = RANDOM.integers(1, 255, (5, 2, 2, 3)) / 255, RANDOM.uniform(size=(5, 2, 2, 3))
    scale = np.array([0.05, 0.1, 0.3])
    logistic = stats.logistic(means, scale)
    mass = logistic.cdf(values + 0.5 / 255) - logistic.cdf(values - 0.5 / 255)
    found = module._discretized_logistic(
        jnp.float32(values), jnp.float32(means), jnp.float32(np.log(scale))
    )
    np.testing.assert_allclose(found, np.log(mass).sum((1, 2, 3)), rtol=2e-5)


def test_bernoulli_and_gaussian_by_scipy():
    binary, logits = RANDOM.integers(0, 2, (4, 2, 3, 1)), RANDOM.normal(size=(4, 2, 3, 1)) * 5
    expected = stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(binary).sum((1, 2, 3))
    found = module._bernoulli(jnp.float32(binary), jnp.float32(logits), None)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    expected = stats.norm(logits, 0.3).logpdf(binary).sum((1, 2, 3))
    found = module._gaussian(jnp.float32(binary), jnp.float32(logits), jnp.float32([np.log(0.3)]))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("beta", "free_bits"),
    often.only(
        [(4.0, 0.4)],
        itertools.product([0.0, 1.0, 4.0], [0.0, 0.05, 0.4]),
    ),
)
def test_the_loss_is_made_of_its_terms(beta, free_bits):
    model, batch = tiny_vae(), make_batch()
    task = variational(model, SGD, beta=beta, free_bits=free_bits)
    state = task.init(KEY, batch)
    _, found = task.update(state, batch, KEY)
    mean, log_variance = (
        np.asarray(x, np.float64)
        for x in model.apply({"params": state.params}, batch["image"], method="encode")
    )
    each = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)
    mask = np.asarray(batch["mask"])
    average = mask @ each / mask.sum()
    penalty = mask.sum() * np.maximum(free_bits, average).sum()
    assert found["kl"][0] == pytest.approx(mask @ each.sum(-1), rel=1e-5)
    expected = found["reconstruction"][0] + beta * penalty
    assert found["loss"][0] == pytest.approx(float(expected), rel=1e-5)
    assert found["loss"][1] == mask.sum()


def test_latents_in_their_free_bits_have_no_gradient_from_the_penalty():
    model, batch = tiny_vae(), make_batch()

    def gradient(free_bits):
        task = variational(model, SGD, beta=1e3, free_bits=free_bits)
        state = task.init(KEY, batch)
        moved, _ = task.update(state, batch, KEY)
        change = jax.tree.map(jnp.subtract, moved.params, state.params)
        return float(optax.tree.norm(change["encoder"]))

    assert gradient(free_bits=100.0) < 0.05 * gradient(free_bits=0.0)


def test_pixels_are_drawn_anew_in_training_and_once_in_evaluation():
    image = jnp.full((8, 2, 3, 1), 0.5)
    batch = make_batch(image=image)
    task = variational(tiny_vae(), SGD, binarize=True)
    state = task.init(KEY, batch)
    seen = [np.asarray(module._as_evaluated(batch, True)) for _ in range(2)]
    np.testing.assert_array_equal(*seen)
    assert set(np.unique(seen[0])) == {0.0, 1.0}
    # By row alone: neither the order of a run nor its key counts.
    moved = {**batch, "index": batch["index"] + 7}
    codes = [
        task.outputs["encode"](state, b, jax.random.key(seed))
        for b, seed in ((batch, 0), (moved, 1))
    ]
    np.testing.assert_array_equal(*codes)
    # The picture shows the image that is encoded.
    compared = task.outputs["comparison"](state, moved, KEY)
    np.testing.assert_array_equal(compared[:, 0], seen[0])
    halves = jax.tree.map(lambda x: x[4:], batch)
    np.testing.assert_array_equal(module._as_evaluated(halves, True), seen[0][4:])
    losses = [
        float(task.update(state, b, key)[1]["loss"][0])
        for b, key in ((batch, KEY), (batch, KEY), (batch, jax.random.key(1)), (moved, KEY))
    ]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_the_share_of_ones_is_the_value_of_the_pixel():
    image = jnp.broadcast_to(jnp.array([0.0, 0.3, 1.0])[None, None, :, None], (4000, 2, 3, 1))
    batch = make_batch(4000, image)
    share = np.asarray(module._as_evaluated(batch, True)).mean((0, 1, 3))
    assert share[0] == 0
    assert share[2] == 1
    # Four standard deviations of 8000 tosses.
    assert share[1] == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 8000))


@pytest.mark.parametrize("conditional", often.only([True], [False, True]))
def test_outputs(conditional):
    model = tiny_vae(conditional=conditional)
    task = variational(model, SGD, interpolation_steps=4, manifold_size=3)
    batch = make_batch()
    state = task.init(KEY, batch)
    drawn = {k: v for k, v in batch.items() if k != "image" and (conditional or k != "label")}
    for name, shape in (
        ("sample", (8, 2, 3, 1)),
        ("interpolate", (8, 4, 2, 3, 1)),
        ("manifold", (8, 3, 2, 3, 1)),
    ):
        made = task.outputs[name](state, drawn, KEY)
        assert made.shape == shape
        assert np.all((made >= 0) & (made <= 1))
    code = task.outputs["encode"](state, batch, KEY)
    np.testing.assert_array_equal(code, task.outputs["features"](state, batch, KEY))
    decoded = task.outputs["decode"](state, {**batch, "code": code}, KEY)
    np.testing.assert_array_equal(decoded, task.outputs["reconstruct"](state, batch, KEY))
    compared = task.outputs["comparison"](state, batch, KEY)
    np.testing.assert_array_equal(compared, np.stack([batch["image"], decoded], axis=1))
    if conditional:
        with pytest.raises(KeyError, match="label"):
            task.outputs["sample"](state, {k: drawn[k] for k in ("index", "row", "mask")}, KEY)


def test_rows_go_from_one_latent_to_another_and_over_the_grid():
    model = tiny_vae()
    task = variational(model, SGD, interpolation_steps=3, manifold_size=4)
    batch = make_batch()
    batch["index"] = jnp.arange(8, dtype=jnp.uint32)
    state = task.init(KEY, batch)

    def decoded(z):
        return task.outputs["decode"](state, {"code": jnp.asarray(z, jnp.float32)}, KEY)

    row = task.outputs["interpolate"](state, batch, KEY)
    np.testing.assert_allclose(row[:, 0], task.outputs["sample"](state, batch, KEY), atol=1e-6)
    keys = [rng.per_example(rng.purpose(KEY, n), batch["index"]) for n in ("prior", "prior end")]
    start, end = (jax.vmap(lambda k: jax.random.normal(k, (2,)))(k) for k in keys)
    np.testing.assert_allclose(row[:, 1], decoded((start + end) / 2), atol=1e-6)
    np.testing.assert_allclose(row[:, 2], decoded(end), atol=1e-6)
    grid = stats.norm.ppf([1 / 8, 3 / 8, 5 / 8, 7 / 8])
    np.testing.assert_allclose(ndtr(grid), [1 / 8, 3 / 8, 5 / 8, 7 / 8], atol=1e-6)
    made = task.outputs["manifold"](state, batch, KEY)
    for i in range(8):
        expected = decoded([(x, -grid[i % 4]) for x in grid])
        np.testing.assert_allclose(made[i], expected, atol=1e-5)


def test_no_manifold_but_of_two_latents():
    assert "manifold" not in variational(tiny_vae(latent_dim=3), SGD).outputs


def test_samples_belong_to_their_index():
    task = variational(tiny_vae(), SGD)
    batch = make_batch()
    state = task.init(KEY, batch)
    whole = task.outputs["sample"](state, batch, KEY)
    part = jax.tree.map(lambda x: x[3:], batch)
    np.testing.assert_allclose(task.outputs["sample"](state, part, KEY), whole[3:], atol=1e-6)


def test_bits_of_an_element():
    task = variational(tiny_vae(learned_scale=True), SGD, likelihood="discretized_logistic")
    batch = make_batch()
    found = task.evaluate(task.init(KEY, batch), batch, KEY)
    expected = -found["elbo"][0] / 6 / math.log(2)
    assert found["bits_per_dim"][0] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.full
@pytest.mark.parametrize(
    "likelihood", often.first(1, ["bernoulli", "gaussian", "discretized_logistic"])
)
def test_a_few_steps_lower_the_loss(likelihood):
    model = tiny_vae((4, 4, 1), learned_scale=likelihood != "bernoulli")
    adam = functools.partial(minimize, optimizer=optax.adam(3e-3))
    task = variational(model, adam, likelihood=likelihood)
    image = jnp.round(jax.random.uniform(KEY, (16, 4, 4, 1))) * 0.8
    batch = make_batch(16, image)
    state, update = task.init(KEY, batch), jax.jit(task.update)
    losses = []
    for step in range(60):
        state, found = update(state, batch, jax.random.fold_in(KEY, step))
        losses.append(float(found["loss"][0]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


CONFIG = dict(
    normalize=None,
    model=dict(name="vae.dense", hidden=(6,), latent_dim=2),
    task=dict(name="variational", binarize=True, free_bits=0.01, beta=2.0),
    optimizer=dict(name="adam", learning_rate=1e-2),
)


@pytest.mark.full
@pytest.mark.parametrize(
    ("devices", "changes"),
    [(8, {}), (8, dict(parallel=dict(strategy="pmap"))), (1, dict(accumulate=2))],
)
def test_devices_strategies_and_parts_agree(monkeypatch, devices, changes):
    tiny.serve(monkeypatch, train=tiny.arrays(64), test=tiny.arrays(16, seed=1))
    settings = dict(CONFIG)
    if "accumulate" in changes:
        # The average of the free bits is that of a part.
        settings["task"] = dict(name="variational", binarize=True, beta=2.0)
    alone = tiny.take_steps(tiny.plan_on(1, **settings), 3)
    other = tiny.take_steps(tiny.plan_on(devices, **settings, **changes), 3)
    np.testing.assert_allclose(other.losses, alone.losses, rtol=3e-6)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ({}, dict(likelihood="bernouli"), "did you mean 'bernoulli'"),
        ({}, dict(likelihood="gaussian"), "needs a model with learned_scale=True, not False"),
        (dict(learned_scale=True), {}, "learned_scale=False, not True"),
        ({}, dict(beta=-0.5), "beta=-0.5: valid are 0 and more"),
        ({}, dict(beta=float("nan")), "beta=nan"),
        ({}, dict(free_bits=-1.0), "free_bits=-1.0"),
        ({}, dict(interpolation_steps=1), "interpolation_steps=1: valid are 2 and more"),
        ({}, dict(manifold_size=0), "manifold_size=0"),
    ],
)
def test_requests_that_do_not_fit(model, arguments, message):
    spec, module = dict(name="variational", **arguments), tiny_vae(**model)
    with pytest.raises(ConfigError, match=message):
        config.build(spec, "library.tasks", "task", model=module, minimize=SGD)


def test_codes_and_labels_of_another_shape_are_errors():
    task, batch = variational(tiny_vae(conditional=True), SGD), make_batch()
    state = task.init(KEY, batch)
    with pytest.raises(ValueError, match="codes have 5 elements, but the model has 2"):
        task.outputs["decode"](state, {**batch, "code": jnp.zeros((8, 5))}, KEY)
    with pytest.raises(ValueError, match="takes one class per example"):
        task.evaluate(state, {**batch, "label": jnp.zeros((8, 3))}, KEY)


def test_built_by_name():
    spec = dict(name="variational", beta=1, binarize=True)
    task = config.build(spec, "library.tasks", "task", model=tiny_vae(), minimize=SGD)
    batch = make_batch()
    state = jax.eval_shape(task.init, KEY, batch)
    assert jax.eval_shape(task.update, state, batch, KEY)[0] == state
