"""Imputation: what is hidden is no input, and the errors are those of the hidden values."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.config import ConfigError
from library.models.image import mlp
from library.task import minimize
from library.tasks.imputation import imputation

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(0.1))
X = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
X[2, 1] = X[4, 0] = X[4, 3] = np.nan


class Echo(nn.Module):
    """Returns ten times each value that it sees, and 100 for others."""

    @nn.compact
    def __call__(self, x, train=False):
        self.param("unused", nn.initializers.zeros, ())
        value, seen = jnp.split(x, 2, axis=1)
        return jnp.where(seen > 0, 10 * value, 100.0)


def batch_of(x, mask=None):
    place = jnp.arange(len(x), dtype=jnp.uint32)
    mask = jnp.ones(len(x)) if mask is None else jnp.float32(mask)
    return {"features": jnp.asarray(x), "mask": mask, "index": place, "row": place}


def test_errors_are_those_of_hidden_values_alone():
    task = imputation(Echo(), SGD, hidden=0.4)
    batch = batch_of(X, mask=[1] * 8 + [0])
    state = jax.jit(task.init)(KEY, batch)
    found = jax.device_get(jax.jit(task.evaluate)(state, batch, KEY))
    known, x = ~np.isnan(X[:8]), np.nan_to_num(X[:8]).astype(float)
    # The error of a value tells whether it was hidden.
    shown = np.square(9 * x)[known].sum()
    total, count = found["loss"]
    assert count == known.sum() == 37
    hidden, number = found["squared_error"]
    assert 5 < number < 25
    assert found["mean_error"][1] == number
    # Sums over the hidden and the shown values make up the loss.
    assert hidden == pytest.approx(1e4 * number, rel=0.05)
    assert 0 < total - hidden < shown


def test_missing_values_are_filled_and_others_stay():
    model = mlp.mlp(num_classes=5, hidden=(6, 2, 6), activation="tanh")
    task, batch = imputation(model, SGD, code="stage2"), batch_of(X)
    state, metrics = jax.jit(task.update)(jax.jit(task.init)(KEY, batch), batch, KEY)
    assert all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves((state.params, metrics)))
    known = ~np.isnan(X)
    inputs = np.concatenate([np.nan_to_num(X), known], axis=1).astype(np.float32)
    predicted, recorded = jax.jit(
        lambda x: model.apply({"params": state.params}, x, mutable=["intermediates"])
    )(inputs)
    imputed, code = jax.jit(
        lambda: [task.outputs[name](state, batch, KEY) for name in ("imputed", "features")]
    )()
    np.testing.assert_array_equal(np.asarray(imputed)[known], X[known])
    np.testing.assert_allclose(imputed[~known], np.asarray(predicted)[~known], rtol=1e-5)
    np.testing.assert_allclose(code, recorded["intermediates"]["stage2"], rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"hidden=1\.0: valid are probabilities between 0 and 1"):
        imputation(Echo(), SGD, hidden=1.0)
    task = imputation(mlp.mlp(num_classes=3, hidden=(2,)), SGD)
    state = jax.eval_shape(task.init, KEY, batch_of(X))
    with pytest.raises(
        ConfigError, match=r"predicts 3 values of a row of 5: set model\.num_classes=5"
    ):
        jax.eval_shape(task.evaluate, state, batch_of(X), KEY)
