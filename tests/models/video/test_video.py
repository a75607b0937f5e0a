"""C3D and R(2+1)D: their sizes, and that they see time."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.video.c3d import c3d
from library.models.video.r2plus1d import SplitConv, _middle_width, r2plus1d, r2plus1d_18

KEY = jax.random.key(0)


def traced(model, *shape):
    def init(clip):
        return model.init_with_output(KEY, clip, mutable=["params", "batch_stats", "intermediates"])

    logits, variables = jax.eval_shape(init, jnp.zeros((1, *shape)))
    count = sum(math.prod(x.shape) for x in jax.tree.leaves(variables["params"]))
    return logits.shape, count, variables


@pytest.mark.parametrize(
    ("model", "shape", "count"),
    [(c3d(), (16, 112, 112, 3), 78_409_573), (r2plus1d_18(), (16, 112, 112, 3), 31_505_325)],
    ids=["c3d", "r2plus1d"],
)
def test_params_are_as_many_as_published(model, shape, count):
    logits, found, _ = traced(model, *shape)
    assert found == count
    assert logits == (1, model.num_classes)


def test_stages_of_c3d_are_those_of_figure_3():
    _, _, variables = traced(c3d(), 16, 112, 112, 3)
    shapes = {name: x.shape[1:] for name, x in variables["intermediates"].items()}
    assert shapes == {
        "stage1": (16, 112, 112, 64),
        "stage2": (16, 56, 56, 128),
        "stage3": (8, 28, 28, 256),
        "stage4": (4, 14, 14, 512),
        "stage5": (2, 7, 7, 512),
        "features": (4096,),
    }
    assert variables["params"]["fc6"]["kernel"].shape == (8192, 4096)


def test_stages_of_r2plus1d_halve_time_and_space():
    _, _, variables = traced(r2plus1d(width=8), 8, 32, 32, 1)
    shapes = {name: x.shape[1:] for name, x in variables["intermediates"].items()}
    assert shapes == {
        "stage1": (8, 16, 16, 8),
        "stage2": (4, 8, 8, 16),
        "stage3": (2, 4, 4, 32),
        "features": (32,),
    }


def test_the_two_convolutions_have_the_weights_of_one():
    for width_in, width in ((64, 64), (64, 128), (256, 512)):
        middle = _middle_width(width_in, width)
        weights = middle * (9 * width_in + 3 * width)
        assert 0 <= 27 * width_in * width - weights < 9 * width_in + 3 * width


def test_a_split_convolution_by_hand():
    clip = jax.random.normal(KEY, (1, 4, 5, 5, 2))
    layer = SplitConv(3, 4)
    variables = layer.init(KEY, clip, False)
    apply = jax.jit(functools.partial(layer.apply, train=False))
    params = variables["params"]
    space, time = params["space"]["kernel"], params["time"]["kernel"]
    padded = np.pad(clip[0], ((0, 0), (1, 1), (1, 1), (0, 0)))
    middle = np.zeros((4, 5, 5, 4))
    for i, j in np.ndindex(3, 3):
        middle += padded[:, i : i + 5, j : j + 5] @ space[0, i, j]
    middle = np.maximum(middle / np.sqrt(1 + 1e-5), 0)
    later = np.pad(middle, ((1, 1), (0, 0), (0, 0), (0, 0)))
    expected = sum(later[i : i + 4] @ time[i, 0, 0] for i in range(3))
    found = apply(variables, clip)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (c3d(), (16, 64, 64), r"takes clips \(b, t, h, w, c\)"),
        (c3d(), (8, 64, 64, 1), "16 frames of 32x32 or larger, not 8 frames of 64x64"),
        (c3d(), (16, 64, 30, 1), "nearest: 16 frames of 64x32"),
        (r2plus1d(), (8, 8, 1), "takes clips"),
    ],
)
def test_clips_that_are_too_small_are_refused(model, shape, message):
    with pytest.raises(ValueError, match=message):
        traced(model, *shape)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("c3d", dict(width_multiplier=0.0), "width_multiplier=0.0"),
        ("c3d", dict(dropout=1.0), "dropout=1.0"),
        ("r2plus1d", dict(stage_sizes=(0,)), "stage_sizes"),
        ("r2plus1d.r2plus1d_18", dict(stage_sizes=(1,)), "stage_sizes"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name=name, **arguments), "library.models", "model")
