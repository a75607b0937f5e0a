import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from library import config, summaries
from library.config import ConfigError
from library.summaries import summarize
from library.task import minimize
from library.tasks.regression import regression

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))
RANDOM = np.random.default_rng(0)
OUTPUTS = RANDOM.normal(size=(12, 2)) * 2
TARGET = RANDOM.normal(loc=(3.0, -1.0), size=(12, 2))
MASK = (np.arange(12) % 4 != 1).astype(np.float64)


class Echo(nn.Module):
    """Outputs the image's channels plus a bias, so that a test can choose the outputs."""

    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
        x = image[:, 0, 0]
        self.sow("intermediates", "features", x, init_fn=lambda: None, reduce_fn=lambda _, new: new)
        return x + bias


SUMMARIES = {"regression": summaries.regression}


def make_batch(outputs, target, mask):
    return {
        "image": jnp.asarray(outputs, jnp.float32)[:, None, None, :],
        "target": jnp.asarray(target, jnp.float32),
        "index": jnp.arange(len(outputs), dtype=jnp.uint32),
        "mask": jnp.asarray(mask, jnp.float32),
    }


def run(batch, **arguments):
    task = regression(Echo(2), SGD, num_outputs=2, **arguments)
    state = task.init(KEY, batch)
    moved, trained = jax.jit(task.update)(state, batch, KEY)
    evaluated = jax.jit(task.evaluate)(state, batch, KEY)
    np.testing.assert_allclose(evaluated["loss"][0], trained["loss"][0], rtol=1e-6)
    return task, state, moved, jax.device_get(evaluated)


def elementwise(name, error, delta):
    if name == "mse":
        return error**2, 2 * error
    if name == "mae":
        return np.abs(error), np.sign(error)
    small = np.abs(error) <= delta
    loss = np.where(small, error**2 / 2, delta * np.abs(error) - delta**2 / 2)
    return loss, np.where(small, error, delta * np.sign(error))


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_loss_and_gradient_by_hand(loss):
    arguments = dict(huber_delta=0.7) if loss == "huber" else {}
    mean, scale = (3.0, -1.0), (0.5, 4.0)
    batch = make_batch(OUTPUTS, TARGET, MASK)
    task, state, moved, metrics = run(
        batch, loss=loss, target_mean=mean, target_scale=scale, **arguments
    )
    prediction = np.array(mean) + OUTPUTS * scale
    losses, slopes = elementwise(loss, (prediction - TARGET) / scale, 0.7)
    np.testing.assert_allclose(metrics["loss"][0], MASK @ losses.mean(-1), rtol=2e-6)
    assert metrics["loss"][1] == MASK.sum()
    gradient = MASK @ slopes / 2 / MASK.sum()
    np.testing.assert_allclose(moved.params["bias"], -gradient, rtol=1e-5, atol=1e-6)
    predicted = task.outputs["prediction"](state, batch, KEY)
    np.testing.assert_allclose(predicted, prediction, rtol=1e-6, atol=1e-6)


def test_bounds_hold_the_prediction():
    batch = make_batch(OUTPUTS * 20, TARGET, MASK)
    task, state, moved, metrics = run(batch, bounds=(-2.0, 5.0))
    prediction = -2 + 7 / (1 + np.exp(-OUTPUTS * 20))
    got = task.outputs["prediction"](state, batch, KEY)
    np.testing.assert_allclose(got, prediction, atol=5e-6)
    assert np.min(got) >= -2
    assert np.max(got) <= 5
    errors = prediction - TARGET
    np.testing.assert_allclose(metrics["loss"][0], MASK @ (errors**2).mean(-1), rtol=5e-6)
    share = (prediction + 2) / 7
    gradient = MASK @ (errors * 7 * share * (1 - share)) / MASK.sum()
    np.testing.assert_allclose(moved.params["bias"], -gradient, rtol=1e-4, atol=1e-5)


def test_metrics_agree_with_scikit_learn():
    _, _, _, metrics = run(make_batch(OUTPUTS, TARGET, MASK))
    got = summarize(metrics, SUMMARIES)
    truth, prediction = TARGET[MASK > 0], OUTPUTS[MASK > 0]
    assert set(got) == {"loss", "mse", "rmse", "mae", "r2"}
    mse = mean_squared_error(truth, prediction)
    np.testing.assert_allclose(got["mse"], mse, rtol=1e-6)
    np.testing.assert_allclose(got["loss"], mse, rtol=1e-6)
    np.testing.assert_allclose(got["rmse"], np.sqrt(mse), rtol=1e-6)
    np.testing.assert_allclose(got["mae"], mean_absolute_error(truth, prediction), rtol=1e-6)
    np.testing.assert_allclose(got["r2"], r2_score(truth, prediction), rtol=1e-5)


def test_the_mean_keeps_r2_exact_far_from_zero():
    years = np.float32(1990 + np.round(RANDOM.normal(size=(4096, 1)) * 10))
    outputs = (years - 1990 + np.round(RANDOM.normal(size=(4096, 1)) * 5)) / 10
    batch = make_batch(outputs, years, np.ones(4096))
    task = regression(Echo(1), SGD, num_outputs=1, target_mean=(1990.0,), target_scale=(10.0,))
    got = summarize(jax.device_get(task.evaluate(task.init(KEY, batch), batch, KEY)), SUMMARIES)
    np.testing.assert_allclose(got["r2"], r2_score(years, outputs * 10 + 1990), atol=1e-5)


def test_outputs_are_the_records_of_the_model():
    batch = make_batch(OUTPUTS, TARGET, MASK)
    task, state, _, _ = run(batch)
    assert set(task.outputs) == {"prediction", "error", "features", "intermediates"}
    error = np.abs(OUTPUTS - TARGET).mean(-1)
    np.testing.assert_allclose(task.outputs["error"](state, batch, KEY), error, rtol=1e-5)
    np.testing.assert_allclose(task.outputs["features"](state, batch, KEY), OUTPUTS, rtol=1e-6)


def test_each_output_with_a_name_has_its_own_error():
    batch = make_batch(OUTPUTS, TARGET, MASK)
    task, state, _, metrics = run(batch, output_names=("speed", "turn"))
    got = summarize(metrics, SUMMARIES)
    errors = np.abs(OUTPUTS - TARGET)
    np.testing.assert_allclose(got["speed_mae"], errors[MASK > 0, 0].mean(), rtol=1e-6)
    np.testing.assert_allclose(got["turn_mae"], errors[MASK > 0, 1].mean(), rtol=1e-6)
    found = task.outputs["turn_error"](state, batch, KEY)
    np.testing.assert_allclose(found, errors[:, 1], rtol=1e-5)


def test_a_target_of_another_shape_is_an_error():
    task = regression(Echo(2), SGD, num_outputs=2)
    batch = make_batch(OUTPUTS, TARGET[:, :1], MASK)
    with pytest.raises(ValueError, match=r"targets have shape \(12, 1\), predictions \(12, 2\)"):
        task.evaluate(task.init(KEY, batch), batch, KEY)


def test_built_by_name():
    spec = dict(name="regression", num_outputs=2, bounds=[0, 1])
    task = config.build(spec, "library.tasks", "task", model=Echo(2), minimize=SGD, num_classes=9)
    batch = make_batch(OUTPUTS, TARGET, MASK)
    state = jax.eval_shape(task.init, KEY, batch)
    assert jax.eval_shape(task.update, state, batch, KEY)[0] == state


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_outputs=3), "Echo has num_classes=2, but the task has num_outputs=3"),
        (dict(bounds=(1.0, 1.0)), "two numbers, the first below the second"),
        (dict(bounds=(0.0, float("inf"))), "two numbers, the first below the second"),
        (dict(huber_delta=0.5), "huber_delta=0.5 is read with loss='huber' only, not 'mse'"),
        (dict(loss="huber", huber_delta=0.0), "numbers above 0"),
        (dict(target_mean=(1.0,)), "target_mean has 1 values for 2 outputs"),
        (dict(target_scale=(1.0, 0.0)), "target_scale"),
        (dict(output_names=("speed",)), "output_names has 1 values for 2 outputs"),
    ],
)
def test_requests_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        regression(Echo(2), SGD, **{"num_outputs": 2, **arguments})
