"""Forecasts with intervals: both losses by hand, what the interval covers, and the skill."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from library.config import ConfigError
from library.evaluation.forecasts import joined
from library.reporting import series_figures
from library.summaries import summarize
from library.task import minimize
from library.tasks.forecasting import LEAST_SCALE, forecasting

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))
LEVELS = (0.1, 0.5, 0.8)


class Fixed(nn.Module):
    """Gives the numbers of its input "given", plus a bias."""

    @nn.compact
    def __call__(self, series, given, train=False):
        return given + self.param("bias", nn.initializers.zeros, given.shape[1:])


def batch_of(given, target, known):
    mask = np.ones(len(given), np.float32)
    mask[-1] = 0
    values = dict(given=given, target=target, series=known, mask=mask)
    index = jnp.arange(len(given), dtype=jnp.uint32)
    return {k: jnp.asarray(x, jnp.float32) for k, x in values.items()} | {"index": index}


def run(parts, **options):
    """Returns the task, its batch of 7 windows of one channel, 3 steps ahead, and its metrics."""
    random = np.random.default_rng(0)
    given = random.normal(size=(7, parts * 3)).astype(np.float32)
    target, known = random.normal(size=(7, 3)), random.normal(size=(7, 5, 1))
    batch = batch_of(given, target, known)
    task = forecasting(
        Fixed(), SGD, num_outputs=3, levels=LEVELS, inputs=("series", "given"), **options
    )
    state = task.init(KEY, batch)
    moved, trained = jax.jit(task.update)(state, batch, KEY)
    found = jax.device_get(jax.jit(task.evaluate)(state, batch, KEY))
    np.testing.assert_allclose(trained["loss"][0], found["loss"][0], rtol=1e-6)
    numbers = {k: np.asarray(v, np.float64) for k, v in batch.items()}
    return task, state, moved, numbers, found


def test_the_pinball_loss_and_its_gradient_by_hand():
    task, state, moved, batch, found = run(3)
    z, y = batch["given"].reshape(7, 3, 3), batch["target"][:, None]
    level = np.array(LEVELS)[:, None]
    loss = np.where(y > z, level * (y - z), (1 - level) * (z - y)).mean((1, 2))
    np.testing.assert_allclose(found["loss"][0], loss[:6].sum(), rtol=1e-5)
    assert found["loss"][1] == 6
    slope = np.where(y > z, -level, 1 - level)[:6].sum(0).ravel() / 9 / 6
    np.testing.assert_allclose(moved.params["bias"], -slope, rtol=1e-5, atol=1e-7)
    ordered = np.sort(z, axis=1)
    got = task.outputs["quantiles"](state, jax.tree.map(jnp.float32, batch), KEY)
    np.testing.assert_allclose(got, ordered, rtol=1e-6)
    check_interval(found, ordered, batch)


def test_the_gaussian_is_that_of_scipy():
    task, state, _, batch, found = run(2, output="gaussian")
    z = batch["given"].reshape(7, 2, 3)
    normal = stats.norm(z[:, 0], LEAST_SCALE + np.log1p(np.exp(z[:, 1])))
    loss = -normal.logpdf(batch["target"]).mean(-1)
    np.testing.assert_allclose(found["loss"][0], loss[:6].sum(), rtol=1e-5)
    quantiles = np.stack([normal.ppf(level) for level in LEVELS], axis=1)
    got = task.outputs["quantiles"](state, jax.tree.map(jnp.float32, batch), KEY)
    np.testing.assert_allclose(got, quantiles, rtol=1e-5, atol=1e-6)
    check_interval(found, quantiles, batch)


def check_interval(found, quantiles, batch):
    """Compares coverage, width, errors and skill with those of the first six windows."""
    low, median, high = quantiles[:6].swapaxes(0, 1)
    y, last = batch["target"][:6], batch["series"][:6, -1]
    summary = summarize(found, forecasting(Fixed(), SGD, num_outputs=3).summaries)
    inside = (low <= y) & (y <= high)
    np.testing.assert_allclose(summary["coverage"], inside.mean(), rtol=1e-6)
    np.testing.assert_allclose(summary["width"], (high - low).mean(), rtol=1e-5)
    mse = np.mean((median - y) ** 2)
    np.testing.assert_allclose(summary["mse"], mse, rtol=1e-5)
    np.testing.assert_allclose(summary["mae"], np.abs(median - y).mean(), rtol=1e-5)
    np.testing.assert_allclose(summary["skill"], 1 - mse / np.mean((last - y) ** 2), rtol=1e-4)


def test_learnt_quantiles_cover_what_their_levels_say():
    """The loss is least where a tenth of the targets is below the first quantile."""
    target = np.random.default_rng(0).normal(size=(1000, 1)).astype(np.float32)
    batch = batch_of(np.zeros((1000, 3)), target, np.zeros((1000, 2, 1)))
    task = forecasting(
        Fixed(),
        functools.partial(minimize, optimizer=optax.sgd(0.5)),
        num_outputs=1,
        levels=(0.1, 0.5, 0.9),
        inputs=("series", "given"),
    )
    state, update = task.init(KEY, batch), jax.jit(task.update)
    for _ in range(200):
        state, _ = update(state, batch, KEY)
    # A step of 0.5 / 3 times a thousandth part moves by what the share differs.
    shares = (target[:-1] <= np.asarray(state.params["bias"])).mean(0)
    np.testing.assert_allclose(shares, [0.1, 0.5, 0.9], atol=0.02)


def test_two_channels_repeat_their_last_step():
    random = np.random.default_rng(0)
    known, target = random.normal(size=(3, 4, 2)), random.normal(size=(3, 6))
    batch = batch_of(np.tile(known[:, -1], (1, 9)), target, known)
    task = forecasting(Fixed(), SGD, num_outputs=6, inputs=("series", "given"))
    found = summarize(
        jax.device_get(task.evaluate(task.init(KEY, batch), batch, KEY)), task.summaries
    )
    # The model repeats it, too: three steps of two channels, for each of three quantiles.
    assert found["skill"] == 0


@pytest.mark.parametrize(
    "levels", [[0.5, 0.6, 0.7], [0.1, 0.9], [0.9, 0.5, 0.1], [0.0, 0.5, 1.0], [0.5]]
)
def test_levels_rise_about_the_median(levels):
    with pytest.raises(ConfigError, match="valid are increasing numbers between 0 and 1"):
        forecasting(Fixed(), SGD, num_outputs=1, levels=tuple(levels))


def test_a_model_of_another_size_is_refused():
    batch = batch_of(np.zeros((2, 4)), np.zeros((2, 2)), np.zeros((2, 3, 1)))
    task = forecasting(Fixed(), SGD, num_outputs=2, inputs=("series", "given"))
    with pytest.raises(ConfigError, match="gives 4 numbers, expected 3 for each of 2: 6"):
        task.evaluate(task.init(KEY, batch), batch, KEY)


def test_the_figure_has_the_series_and_its_interval():
    known, target = np.arange(6.0).reshape(2, 3), np.array([[3.0, 4], [6, 7]])
    quantiles = target[:, None] + np.array([-1.0, 0, 1])[:, None]
    values = joined(known, target, quantiles)
    assert values.shape == (2, 4, 5)
    np.testing.assert_array_equal(values[0, 0], np.arange(5))
    np.testing.assert_array_equal(values[1, 3], [np.nan, np.nan, np.nan, 7, 8])
    assert series_figures.is_forecast("shown/forecast", values)
    assert not series_figures.is_forecast("shown/values", values)
    figure = series_figures.forecast(values)
    assert len(figure.axes) == 2
    median, series = figure.axes[1].lines
    np.testing.assert_array_equal(series.get_ydata(), [3, 4, 5, 6, 7])
    np.testing.assert_array_equal(median.get_ydata()[3:], [6, 7])
    np.testing.assert_array_equal(series.get_xdata(), [-2, -1, 0, 1, 2])
