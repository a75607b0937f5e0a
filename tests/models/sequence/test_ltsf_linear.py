"""Linear forecasters against their equations in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence import ltsf_linear

BATCH, KNOWN, CHANNELS, AHEAD, WINDOW = 2, 7, 3, 4, 5


def series():
    draw = np.random.default_rng(0)
    return jnp.asarray(draw.normal(2, 1, (BATCH, KNOWN, CHANNELS)), jnp.float32)


def averaged(x):
    """Returns the mean of the steps around each of x (t,); the ends are repeated."""
    reach, last = WINDOW // 2, len(x) - 1
    steps = [np.clip(np.arange(t - reach, t + reach + 1), 0, last) for t in range(len(x))]
    return np.array([x[each].mean() for each in steps])


def by_hand(form, params, x):
    """Returns the forecast of one channel, (t,) -> (ahead,)."""
    steps = params["steps"]
    if form == "plain":
        return x @ steps["kernel"] + steps["bias"]
    if form == "last":
        return (x - x[-1]) @ steps["kernel"] + steps["bias"] + x[-1]
    trend, more = averaged(x), params["trend"]
    rest = (x - trend) @ steps["kernel"] + steps["bias"]
    return rest + trend @ more["kernel"] + more["bias"]


@pytest.mark.parametrize("form", ltsf_linear.FORMS)
def test_forecasts_follow_their_equations(form):
    window = WINDOW if form == "decomposed" else None
    model = ltsf_linear.LinearForecaster(AHEAD * CHANNELS, form=form, window=window)
    shapes = jax.eval_shape(model.init, jax.random.key(0), series())["params"]
    draw = np.random.default_rng(1)
    params = jax.tree.map(lambda p: jnp.asarray(draw.normal(size=p.shape), p.dtype), shapes)
    found = np.asarray(model.apply({"params": params}, series())).reshape(BATCH, AHEAD, CHANNELS)
    wide = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    for row, values in enumerate(np.asarray(series(), np.float64)):
        for channel in range(CHANNELS):
            expected = by_hand(form, wide, values[:, channel])
            np.testing.assert_allclose(found[row, :, channel], expected, rtol=1e-4, atol=1e-5)


def test_the_start_of_dlinear_forecasts_the_mean():
    model = ltsf_linear.dlinear(AHEAD * CHANNELS, window=WINDOW)
    params = model.init(jax.random.key(0), series())["params"]
    params = {name: layer | {"bias": 0 * layer["bias"]} for name, layer in params.items()}
    found = model.apply({"params": params}, series()).reshape(BATCH, AHEAD, CHANNELS)
    expected = np.repeat(np.asarray(series()).mean(1, keepdims=True), AHEAD, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="window=4: valid are odd numbers; nearest: 5"):
        ltsf_linear.dlinear(6, window=4)
    with pytest.raises(ConfigError, match="window=None with form='decomposed'; nearest: 25"):
        ltsf_linear.LinearForecaster(6, form="decomposed")
    with pytest.raises(ConfigError, match="num_outputs=7 are no whole steps of 3 channels"):
        ltsf_linear.nlinear(7).init(jax.random.key(0), series())
