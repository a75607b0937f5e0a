"""The echo state network: its equations, its radius, and its readout in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence import echo_state as network
from library.summaries import summarize
from library.tasks.echo_state import echo_state
from tests import tiny

KEY = jax.random.key(0)
MODEL = network.echo_state(units=6, density=0.5, segments=2)


def batch_of(num, seed=0, mask=None):
    random = np.random.default_rng(seed)
    counts = random.integers(4, 10, num)
    place = jnp.arange(num, dtype=jnp.uint32)
    return dict(
        audio=jnp.asarray(random.normal(size=(num, 9, 3)), jnp.float32),
        audio_mask=jnp.asarray(np.arange(9) < counts[:, None], jnp.float32),
        label=jnp.asarray(random.integers(0, 3, num), jnp.int32),
        mask=jnp.ones(num) if mask is None else jnp.float32(mask),
        index=place,
        row=place,
    )


def part(batch, rows):
    return {name: x[rows] for name, x in batch.items()}


def test_a_state_follows_its_equation():
    batch = batch_of(3)
    variables = jax.jit(MODEL.init)(KEY, batch["audio"], batch["audio_mask"])
    V, W = (np.asarray(variables["params"][name], np.float64) for name in ("input", "recurrent"))
    found = jax.jit(MODEL.apply)(variables, batch["audio"], batch["audio_mask"])
    for row in range(3):
        count, x, states = int(batch["audio_mask"][row].sum()), np.zeros(6), []
        for t in range(count):
            u = np.asarray(batch["audio"][row, t], np.float64)
            x = 0.7 * x + 0.3 * np.tanh(u @ V + x @ W)
            states.append(x)
        halves = [[s for t, s in enumerate(states) if t * 2 // count == half] for half in (0, 1)]
        expected = np.concatenate([np.mean(half, axis=0) for half in halves])
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-6)


def test_what_is_in_the_padding_changes_no_bit():
    batch = batch_of(3)
    variables = jax.jit(MODEL.init)(KEY, batch["audio"], batch["audio_mask"])
    other = jnp.where(batch["audio_mask"][..., None] > 0, batch["audio"], 5.0)
    apply = jax.jit(MODEL.apply)
    found = (apply(variables, x, batch["audio_mask"]) for x in (batch["audio"], other))
    np.testing.assert_array_equal(*found)


def test_the_reservoir_has_its_spectral_radius():
    model = network.echo_state(units=40, radius=0.8, density=0.3)
    batch = batch_of(1)
    params = jax.jit(model.init)(KEY, batch["audio"], batch["audio_mask"])["params"]
    W = np.asarray(params["recurrent"], np.float64)
    assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(0.8, rel=2e-3)
    assert 0.2 < np.mean(W != 0) < 0.4


def test_the_readout_is_that_of_the_whole_set_in_any_order():
    task = tiny.compiled(echo_state(MODEL, num_classes=3, ridge=0.5))
    whole = batch_of(21, mask=[1] * 18 + [0] * 3)
    # Examples without a weight may hold anything.
    whole["audio"] = whole["audio"].at[18:].set(jnp.nan)
    start = task.init(KEY, part(whole, slice(0, 7)))
    state = start
    for rows in (slice(14, 21), slice(0, 7), slice(7, 14)):
        state, _ = task.update(state, part(whole, rows), KEY)
    features = np.asarray(task.outputs["features"](state, whole, KEY), np.float64)[:18]
    x = np.concatenate([features, np.ones((18, 1))], axis=1)
    y = np.eye(3)[np.asarray(whole["label"])[:18]]
    readout = np.linalg.solve(x.T @ x + 0.5 * np.eye(13), x.T @ y)
    np.testing.assert_allclose(state.params["readout"], readout, rtol=1e-3, atol=1e-4)
    found = summarize(jax.device_get(task.evaluate(state, whole, KEY)))
    scores = x @ readout
    assert found["loss"] == pytest.approx(np.square(scores - y).sum(1).mean(), rel=1e-3)
    for name in ("input", "recurrent"):
        kept = [s.params["reservoir"][name] for s in (start, state)]
        np.testing.assert_array_equal(*kept)
    assert int(state.step) == 3


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"ridge=0\.0: it must be above 0"):
        echo_state(MODEL, num_classes=3, ridge=0.0)
    with pytest.raises(ConfigError, match=r"leak=0\.0: valid are above 0, up to 1"):
        network.echo_state(leak=0.0)
    with pytest.raises(ConfigError, match=r"radius=-0\.9: valid are numbers above 0"):
        network.echo_state(radius=-0.9)
