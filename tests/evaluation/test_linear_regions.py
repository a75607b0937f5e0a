"""The count of linear regions against a fine grid, and against the arrangement of lines."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation import linear_regions
from library.evaluation.context import Context
from library.evaluation.plane import points
from library.task import Task, TrainState


def network(widths, seed):
    random, size, layers = np.random.default_rng(seed), 2, []
    for width in widths:
        layers.append((random.normal(size=(size, width)), random.normal(size=width) * 0.5))
        size = width
    return layers


def area(polygon):
    x, y = polygon.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize(("widths", "seed"), [((5,), 3), ((4, 4), 2), ((3, 3, 3), 3)])
def test_the_count_is_that_of_a_fine_grid(widths, seed):
    layers = network(widths, seed)
    found = linear_regions.regions(layers, 1.0)
    assert sum(map(area, found)) == pytest.approx(4)
    seen = linear_regions.patterns(layers, points(1.0, 400).astype(float))
    # A region that no point of the grid is in would be smaller than these.
    assert min(map(area, found)) > 100 * (2 / 400) ** 2
    assert len(found) == seen.max() + 1


def test_lines_in_general_position_make_as_many_regions_as_they_can():
    # Tangents of a circle cross each other in pairs, no three in a point.
    angle = np.arange(5) * 0.6 + 0.1
    layers = [(np.stack([np.cos(angle), np.sin(angle)]), -np.full(5, 0.3))]
    assert len(linear_regions.regions(layers, 50.0)) == 1 + 5 + math.comb(5, 2)


def test_a_run_counts_the_regions_of_its_params():
    layers = network((4, 4), seed=2)
    params = {
        f"hidden{number}": {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}
        for number, (kernel, bias) in enumerate(layers, 1)
    }
    params["head"] = {"kernel": jnp.zeros((4, 2)), "bias": jnp.zeros(2)}

    def measure(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    context = Context(Task(None, None, None, {}), None, measure, None, lambda num: iter([{}]))
    state = TrainState(jnp.int32(0), params, {}, (), None)
    found = linear_regions.linear_regions(context, size=300)(state)
    assert found["regions"] == 17
    picture = found["regions_picture"]
    assert picture.shape == (1, 300, 300, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 17
    with pytest.raises(ConfigError, match=r"span=0\.0, size=128: valid are a span above 0"):
        linear_regions.linear_regions(context, span=0.0)


def test_only_rectified_networks_of_two_inputs_are_counted():
    with pytest.raises(ConfigError, match="needs an mlp of two inputs"):
        linear_regions.layers_of({"hidden1/kernel": np.zeros((3, 4)), "hidden1/bias": np.zeros(4)})
    with pytest.raises(ConfigError, match="not none"):
        linear_regions.layers_of({"head/kernel": np.zeros((2, 2))})
