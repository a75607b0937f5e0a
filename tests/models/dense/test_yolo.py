"""The networks of YOLO: published sizes, the shapes of their outputs, and what they refuse."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import config
from library.config import ConfigError
from library.models.dense import yolo_v2
from tests import often


def traced(name, side=64, **arguments):
    model = config.build(dict(name=name, **arguments), "library.models", "model")
    image = jnp.zeros((2, side, side, 3))
    outputs, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    counts = {
        key: sum(math.prod(x.shape) for x in jax.tree.leaves(variables.get(key, {})))
        for key in ("params", "batch_stats")
    }
    return [x.shape for x in jax.tree.leaves(outputs)], counts


def test_the_paper_predicts_1470_numbers_from_448_pixels():
    (shape,), counts = traced("yolo_v1", 448)
    assert shape == (2, 7, 7, 30)
    assert math.prod(shape[1:]) == 7 * 7 * (2 * 5 + 20) == 1470
    # The hidden layer sees 7x7x1024 features.
    dense = 7 * 7 * 1024 * 4096 + 4096 + 4096 * 1470 + 1470
    assert counts["params"] - dense == 60_155_968
    assert traced("yolo_v1.fast_yolo", 448, num_classes=3)[0] == [(2, 7, 7, 13)]


# All values in the authors' files, and those of them that are params.
FILES = {"yolo_v2": (50_983_561, 50_962_889), "yolo_v3": (62_001_757, 61_949_149)}


@pytest.mark.parametrize("name", FILES)
def test_sizes_are_those_of_the_authors_files(name):
    shapes, counts = traced(name)
    assert (sum(counts.values()), counts["params"]) == FILES[name]
    maps = {"yolo_v2": [(2, 5)], "yolo_v3": [(8, 3), (4, 3), (2, 3)]}[name]
    assert shapes == [(2, side, side, anchors, 85) for side, anchors in maps]


# What ultralytics states, less the 16 constants that it counts.
SIZES = dict(n=3_157_200, s=11_166_560, m=25_902_640, l=43_691_520, x=68_229_648)


@pytest.mark.parametrize("size", often.only("n", SIZES))
def test_sizes_of_yolo_v8(size):
    shapes, counts = traced(f"yolo_v8.yolo_v8{size}")
    assert counts["params"] == SIZES[size] - 16
    assert shapes == [(2, side, side, 4 * 16 + 80) for side in (8, 4, 2)]


@pytest.mark.full
def test_the_classifiers_of_darknet():
    assert traced("darknet.darknet19")[1]["params"] == 20_842_376
    assert traced("darknet.darknet53")[1]["params"] == 41_609_928


def test_darknets_order_of_squares_is_that_of_its_program():
    """A loop with the indices of reorg_cpu in blas.c."""
    b, c, h, w = 2, 8, 4, 6
    x = np.arange(b * c * h * w, dtype=np.float32)
    out, fewer = np.zeros_like(x), c // 4
    for n, k, j, i in np.ndindex(b, c, h, w):
        offset, channel = divmod(k, fewer)
        row, column = 2 * j + offset // 2, 2 * i + offset % 2
        place = column + 2 * w * (row + 2 * h * (channel + fewer * n))
        out[i + w * (j + h * (k + c * n))] = x[place]
    image = jnp.moveaxis(jnp.asarray(x).reshape(b, c, h, w), 1, -1)
    found = jnp.moveaxis(yolo_v2._reorganized(image), -1, 1)
    np.testing.assert_array_equal(found, out.reshape(b, 4 * c, h // 2, w // 2))


@pytest.mark.parametrize("name", ["yolo_v2", "yolo_v3", "yolo_v8"])
def test_sides_are_multiples_of_32(name):
    with pytest.raises(ValueError, match="multiples of 32, not 72x72; nearest: 64x64"):
        traced(name, 72)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("yolo_v8", dict(depth=0.0), "depth=0.0: a factor is above 0"),
        ("yolo_v8.yolo_v8n", dict(width=1.0), "takes no 'width'"),
        ("yolo_v3", dict(blocks=[1, 2]), r"blocks=\(1, 2\): YOLOv3 has five stages"),
        ("yolo_v2", dict(normalization="bach"), "did you mean 'batch'"),
        ("yolo_v1", dict(dropout=1.0), "dropout=1.0"),
    ],
)
def test_values_out_of_range_are_refused(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        traced(name, **arguments)
