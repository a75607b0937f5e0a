"""A linear autoencoder is principal component analysis, by either way."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.config import ConfigError
from library.models.generative import autoencoder
from library.summaries import summarize
from library.task import minimize
from library.tasks.autoencoding import autoencoding
from library.tasks.principal_components import principal_components

KEY = jax.random.key(0)
SHAPE = (2, 3, 1)
LINEAR = autoencoder.dense(SHAPE, latent_dim=2, code_activation="linear")
RANDOM = np.random.default_rng(0)
AXES = np.linalg.qr(RANDOM.normal(size=(6, 6)))[0]
X = 0.5 + RANDOM.normal(size=(40, 6)) * [1.0, 0.7, 0.2, 0.1, 0.05, 0.02] @ AXES.T
MEAN = X.mean(0)
VARIANCES, VECTORS = np.linalg.eigh(np.cov(X.T, bias=True))
VARIANCES, VECTORS = VARIANCES[::-1], VECTORS[:, ::-1]
BEST = VARIANCES[2:].sum()
SPAN = VECTORS[:, :2] @ VECTORS[:, :2].T


def batch_of(rows):
    place = jnp.asarray(rows, jnp.uint32)
    image = jnp.asarray(X[rows], jnp.float32).reshape(-1, *SHAPE)
    return {"image": image, "mask": jnp.ones(len(rows)), "index": place, "row": place}


def error_of(task, state):
    return summarize(jax.device_get(jax.jit(task.evaluate)(state, batch_of(range(40)), KEY)))


def span_of(params):
    """Returns the map from an image less the mean image to its reconstruction less it."""
    kernels = (params["encoder"]["code"]["kernel"], params["decoder"]["image"]["kernel"])
    return np.asarray(kernels[0], float) @ np.asarray(kernels[1], float)


def test_the_closed_form_is_that_of_the_whole_set():
    task = principal_components(LINEAR, total_steps=2)
    state, update = jax.jit(task.init)(KEY, batch_of(range(20))), jax.jit(task.update)
    before = state.params
    for rows in (range(20, 40), range(20)):
        state, _ = update(state, batch_of(rows), KEY)
        unmoved = np.array_equal(*(p["decoder"]["image"]["bias"] for p in (before, state.params)))
        assert unmoved == (int(state.step) == 1)
    assert error_of(task, state)["squared_error"] == pytest.approx(BEST, rel=1e-3)
    np.testing.assert_allclose(span_of(state.params), SPAN, atol=1e-4)
    np.testing.assert_allclose(state.params["decoder"]["image"]["bias"], MEAN, rtol=1e-5)
    codes = np.asarray(jax.jit(task.outputs["encode"])(state, batch_of(range(40)), KEY), float)
    np.testing.assert_allclose(codes.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(codes.T, bias=True), np.diag(VARIANCES[:2]), atol=1e-4)
    statistics = state.variables["code_statistics"]
    np.testing.assert_allclose(statistics["square"], VARIANCES[:2], rtol=1e-4)


@pytest.mark.full
def test_gradient_descent_finds_the_same_span():
    adam = functools.partial(
        minimize, optimizer=optax.adam(optax.cosine_decay_schedule(0.02, 1500))
    )
    task = autoencoding(LINEAR, adam, loss="squared_error", pixels="linear")
    batch = batch_of(range(40))

    def steps(state):
        return jax.lax.scan(lambda s, _: (task.update(s, batch, KEY)[0], ()), state, None, 1500)[0]

    state = jax.jit(lambda: steps(task.init(KEY, batch)))()
    found = error_of(task, state)
    assert found["loss"] == found["squared_error"]
    assert BEST * (1 - 1e-3) < found["squared_error"] < BEST * (1 + 1e-2)
    axes = np.linalg.qr(np.asarray(state.params["decoder"]["image"]["kernel"], float).T)[0]
    np.testing.assert_allclose(axes @ axes.T, SPAN, atol=0.05)


def test_models_that_are_not_linear_are_refused():
    for model in (
        autoencoder.dense(SHAPE, latent_dim=2),
        autoencoder.dense(SHAPE, hidden=(4,), latent_dim=2, code_activation="linear"),
        autoencoder.convolutional((4, 4, 1), channels=(2,), latent_dim=2),
    ):
        with pytest.raises(ConfigError, match="principal components need a linear autoencoder"):
            principal_components(model)
    wide = autoencoder.dense(SHAPE, latent_dim=7, code_activation="linear")
    with pytest.raises(ConfigError, match="latent_dim=7: images of 6 pixels"):
        principal_components(wide)
    with pytest.raises(ConfigError, match="pixels='linear' needs loss='squared_error'"):
        autoencoding(LINEAR, minimize, pixels="linear")
