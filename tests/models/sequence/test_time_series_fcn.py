import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.sequence.time_series_fcn import time_series_fcn
from tests import often

KEY = jax.random.key(0)
SMALL = dict(num_classes=3, widths=(4, 6, 5))


def test_params_are_those_of_the_paper():
    shapes = jax.eval_shape(time_series_fcn().init, KEY, jnp.zeros((1, 150, 1)))
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(shapes["params"])) == 264_962


@pytest.mark.parametrize("train", often.only([True], [False, True]))
def test_padding_changes_nothing_whatever_it_holds(train):
    model, random = time_series_fcn(**SMALL), np.random.default_rng(0)
    short = jnp.asarray(random.normal(size=(2, 9, 2)), jnp.float32)
    variables = jax.jit(model.init)(KEY, short)
    junk = jnp.full((2, 7, 2), jnp.nan)
    padded = jnp.concatenate([short, junk], axis=1)
    mask = jnp.asarray([[1.0] * 9 + [0.0] * 7] * 2)
    options = dict(train=train, mutable=["batch_stats", "intermediates"])
    apply = jax.jit(functools.partial(model.apply, **options))
    plain, moved = apply(variables, short)
    masked, others = apply(variables, padded, mask)
    np.testing.assert_allclose(masked, plain, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(*map(jax.tree.leaves, (moved["batch_stats"], others["batch_stats"]))):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)
    kept = others["intermediates"]
    assert kept["features"].shape == (2, 5)
    assert [kept[f"stage{i}"].shape for i in (1, 2, 3)] == [(2, 16, 4), (2, 16, 6), (2, 16, 5)]


def test_an_example_of_padding_alone_has_finite_logits():
    model = time_series_fcn(**SMALL)
    variables = jax.jit(model.init)(KEY, jnp.zeros((2, 9, 2)))
    logits = jax.jit(model.apply)(variables, jnp.zeros((2, 9, 2)), jnp.zeros((2, 9)))
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(sizes=(8, 5)), r"sizes=\(8, 5\): write 3, one for each of widths=\(128"),
        (dict(widths=(0,), sizes=(8,)), "widths"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="time_series_fcn", **arguments), "library.models", "model")
