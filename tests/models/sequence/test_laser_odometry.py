import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.sequence.laser_odometry import laser_odometry

KEY = jax.random.key(0)
SMALL = dict(widths=(3, 4), sizes=(3, 3), hidden=5)


def test_kernels_go_round_the_ring():
    model = laser_odometry(**SMALL)
    scans = jax.random.uniform(KEY, (2, 12, 2))
    variables = jax.jit(model.init)(KEY, scans)
    apply = jax.jit(functools.partial(model.apply, mutable=["intermediates"]))
    made, recorded = apply(variables, scans)
    _, turned = apply(variables, jnp.roll(scans, 4, axis=1))
    recorded, turned = recorded["intermediates"], turned["intermediates"]
    assert made.shape == (2, 2)
    assert recorded["features"].shape == (2, 5)
    for stage, shift in (("stage1", 4), ("stage2", 2)):
        expected = jnp.roll(recorded[stage], shift, axis=1)
        np.testing.assert_allclose(turned[stage], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(sizes=(3,)), r"sizes=\(3,\): write 5"),
        (dict(unit=0.0), "unit=0.0"),
        (dict(hidden=0), "hidden=0"),
        (dict(num_outputs=0), "num_outputs=0"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="laser_odometry", **arguments), "library.models", "model")
