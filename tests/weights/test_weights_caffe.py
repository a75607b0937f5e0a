"""Weights of Caffe's networks, whose images have blue first and other response normalization."""

import jax
import numpy as np
import pytest

from library.models.image import alexnet
from library.weights import catalogue
from library.weights.alexnet import TWO_TOWERS
from library.weights.drawn import drawn, zeros
from library.weights.mapping import assign, published_as
from tests.models.image.test_alexnet import pool, towers


def lrn(x):
    """Returns Caffe's with local_size=5, alpha=1e-4, beta=0.75 and its own k of 1."""
    squares = np.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    total = sum(squares[..., i : i + x.shape[-1]] for i in range(5))
    return x / (1 + 1e-4 / 5 * total) ** 0.75


def laid_out(arrays):
    """Returns Caffe's arrays for `towers`, still for images whose blue comes first."""
    return {
        f"conv{i}": dict(
            kernel=arrays[f"conv{i}.weight"].transpose(2, 3, 1, 0), bias=arrays[f"conv{i}.bias"]
        )
        for i in range(1, 6)
    }


def test_two_towers_compute_what_caffe_computes():
    image = np.random.default_rng(0).normal(0, 60, (1, 67, 67, 3)).astype(np.float32)
    model = alexnet.alexnet_2012(num_classes=5, hidden_size=4)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    names = {name: x.shape for name, x in published_as(zeros(shapes), TWO_TOWERS).items()}
    arrays = drawn(names)
    convs = laid_out(arrays)
    x = towers(image[..., ::-1].copy(), convs, "conv1", 0, stride=4, split=False)
    # As large as to matter to the normalization.
    assert 1e-4 / 5 * (x**2).max() > 0.1
    x = lrn(towers(pool(lrn(x)), convs, "conv2", 2))
    x = towers(pool(x), convs, "conv3", 1, split=False)
    x = pool(towers(towers(x, convs, "conv4", 1), convs, "conv5", 1))
    # A single pixel is left, which is repeated 6 by 6 times; channels come first there.
    x = np.repeat(x.reshape(1, -1), 36, axis=1)
    for name in ("fc6", "fc7"):
        x = np.maximum(x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"], 0)
    expected = x @ arrays["fc8.weight"].T + arrays["fc8.bias"]
    variables = assign(arrays, TWO_TOWERS, shapes, where="drawn")
    np.testing.assert_allclose(jax.jit(model.apply)(variables, image), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "array", "leaf"),
    [
        ("alexnet_2012", "conv1.weight", ("conv1", "kernel")),
        ("googlenet_2014", "conv1/7x7_s2.weight", ("conv1", "conv", "kernel")),
    ],
)
def test_images_are_squashed_grey_levels_less_their_mean_and_blue_is_last_here(name, array, leaf):
    network = catalogue.find(name)
    _, resize, crop = network.transform.steps()
    assert resize == dict(name="resize", size=256, method="bilinear")
    assert crop == dict(name="center_crop", size=227 if name == "alexnet_2012" else 224)
    levels = np.array([[0, 0, 0], [255, 255, 255]])
    seen = (levels / 255 - network.transform.mean) / network.transform.std
    # Caffe's mean of blue is 104, that of red 123.
    np.testing.assert_allclose(seen[0], [-123, -117, -104], atol=0.5)
    np.testing.assert_allclose(seen[1] - seen[0], 255)
    shapes = network.shapes(network.build())
    names = {n: x.shape for n, x in published_as(zeros(shapes), network.rules).items()}
    arrays = {n: np.broadcast_to(np.float32(0), shape) for n, shape in names.items()}
    arrays[array] = np.zeros(names[array], np.float32)
    arrays[array][:, 0] = 1
    kernel = assign(arrays, network.rules, shapes, where="x")["params"]
    for part in leaf:
        kernel = kernel[part]
    assert kernel[:, :, 2].all()
    assert not kernel[:, :, :2].any()
