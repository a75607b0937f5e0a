"""Schedules at their corners, with the ramps around them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.optim.learning_rate import make_schedule
from tests.optim.updates import TOTAL, steps

# Schedules: (spec, {step: rate as a fraction of the peak}), over 100 steps of which 20 warm up.
COS = np.cos
CORNERS = [
    (dict(name="constant"), {0: 1, 50: 1, 100: 1, 101: 1}),
    (dict(name="constant", warmup="2 epochs"), {0: 0, 1: 0.05, 19: 0.95, 20: 1, 100: 1}),
    (
        dict(name="constant", warmup="20%", warmup_from=0.1, cooldown="10 steps"),
        {0: 0.1, 10: 0.55, 20: 1, 90: 1, 91: 0.9, 99: 0.1, 100: 0, 150: 0},
    ),
    (dict(name="cosine"), {0: 1, 25: (1 + COS(np.pi / 4)) / 2, 50: 0.5, 100: 0, 120: 0}),
    (
        dict(name="cosine", warmup="2 epochs", final=0.1),
        {0: 0, 10: 0.5, 20: 1, 30: 0.1 + 0.45 * (1 + COS(np.pi / 8)), 60: 0.55, 100: 0.1, 200: 0.1},
    ),
    (dict(name="linear", warmup="20 steps"), {0: 0, 20: 1, 21: 79 / 80, 60: 0.5, 100: 0, 101: 0}),
    (dict(name="linear", final=0.2), {0: 1, 50: 0.6, 100: 0.2}),
    (
        dict(name="polynomial", power=0.9, warmup="20 steps"),
        {0: 0, 20: 1, 40: 0.75**0.9, 99: (1 / 80) ** 0.9, 100: 0},
    ),
    (
        dict(name="exponential", factor=0.97, every="2.4 epochs", warmup="2 epochs"),
        {0: 0, 10: 0.5, 20: 1, 32: 0.97**0.5, 44: 0.97, 100: 0.97 ** (80 / 24)},
    ),
    (
        dict(name="exponential", factor=0.5, every="10 steps", staircase=True),
        {0: 1, 9: 1, 10: 0.5, 19: 0.5, 20: 0.25, 100: 2**-10},
    ),
    (
        dict(
            name="exponential",
            factor=0.97,
            every="9 steps",
            staircase=True,
            warmup="2 epochs",
            since="start",
        ),
        {0: 0, 10: 0.5, 19: 0.95, 20: 0.97**2, 26: 0.97**2, 27: 0.97**3, 100: 0.97**11},
    ),
    (
        dict(name="step", boundaries=["5 epochs", "75%"], warmup="10 steps"),
        {0: 0, 5: 0.5, 10: 1, 49: 1, 50: 0.1, 74: 0.1, 75: 0.01, 100: 0.01, 200: 0.01},
    ),
    (dict(name="step", boundaries=["30 steps"], factor=0.2), {29: 1, 30: 0.2}),
    (
        dict(name="one_cycle", peak="23%", start=0.2, final=0.07),
        {0: 0.2, 11: 0.2 + 0.8 * 11 / 23, 23: 1, 50: 1 - 0.93 * 27 / 77, 100: 0.07, 120: 0.07},
    ),
    (
        dict(name="piecewise", boundaries=["4 steps", "75%"], fractions=[0.1, 1.0, 0.3]),
        {0: 0.1, 3: 0.1, 4: 1, 74: 1, 75: 0.3, 100: 0.3, 200: 0.3},
    ),
    (dict(name="one_cycle", peak="200 steps"), {0: 0, 100: 0.5}),
    (
        dict(name="rsqrt", timescale="40 steps", warmup="20 steps", cooldown="20 steps"),
        {0: 0, 20: 1, 60: 0.5**0.5, 80: 0.4**0.5, 90: 0.5 * (40 / 110) ** 0.5, 100: 0},
    ),
    # Vaswani et al.: the same numbers as min(step^-0.5, step * warmup^-1.5) * warmup^0.5.
    (dict(name="rsqrt", timescale="20 steps", warmup="20 steps"), {5: 0.25, 20: 1, 80: 0.5}),
]


@pytest.mark.parametrize(("spec", "corners"), CORNERS, ids=lambda v: v.get("name", ""))
def test_schedules_at_their_corners(spec, corners):
    peak = 0.3
    schedule = make_schedule(spec, peak=peak, total_steps=TOTAL, steps=steps)
    at = np.asarray(sorted(corners), np.int32)
    rates = jax.jit(jax.vmap(schedule))(at)
    assert rates.dtype == jnp.float32
    np.testing.assert_allclose(rates, [peak * corners[s] for s in at], 1e-6, 1e-8)
    full = [s for s in corners if corners[s] == 1]
    assert all(float(schedule(s)) == np.float32(peak) for s in full)


JUMPING = ("step", "constant", "piecewise")


@pytest.mark.parametrize("spec", [s for s, _ in CORNERS if s["name"] not in JUMPING])
def test_schedules_have_no_jumps(spec):
    if spec.get("staircase"):
        spec = {**spec, "staircase": False}
    schedule = make_schedule(spec, peak=1.0, total_steps=TOTAL, steps=steps)
    rates = jax.vmap(schedule)(jnp.arange(TOTAL + 20))
    assert np.all(np.isfinite(rates))
    assert np.max(np.abs(np.diff(rates))) < 0.0701


def test_a_schedule_longer_than_the_run_is_cut_short():
    spec = dict(name="cosine", warmup="20 steps")
    schedule = make_schedule(spec, peak=1.0, total_steps=5, steps=steps)
    np.testing.assert_allclose([schedule(s) for s in range(7)], np.minimum(range(7), 5) / 20, 1e-6)
