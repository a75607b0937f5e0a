"""Rand scores by counting pairs of pixels, and thinning that keeps what lines separate."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from library.config import ConfigError
from library.evaluation import membranes
from library.evaluation._thinning import thinned
from library.evaluation.context import Context
from library.task import Task, TrainState

STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)
KEY = jax.random.key(0)
ALL = np.ones((3, 3))


def blobs(seed, shape=(40, 50), share=0.5):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return noise > np.quantile(noise, 1 - share)


@pytest.mark.parametrize("seed", range(6))
def test_thinning_keeps_regions_and_lines(seed):
    mask = blobs(seed)
    found = thinned(mask)
    assert not (found & ~mask).any()
    # Lines are connected through corners too, regions through sides only; a line goes around.
    lines = [ndimage.label(np.pad(x, 1, constant_values=1), ALL)[1] for x in (mask, found)]
    regions, count = ndimage.label(~mask)
    after, left = ndimage.label(~found)
    assert lines[0] == lines[1]
    assert count == left
    # Each region of before lies in a region of its own.
    assert len({int(after[regions == i][0]) for i in range(1, count + 1)}) == count
    np.testing.assert_array_equal(thinned(found), found)
    # Nothing is thick: each square of 3x3 pixels has an empty one.
    assert not ndimage.binary_erosion(found, ALL).any()


def test_a_ring_becomes_a_line_and_a_bar_a_point():
    ring = np.zeros((15, 15), bool)
    ring[2:13, 2:13] = True
    ring[6:9, 6:9] = False
    assert ndimage.label(~thinned(ring))[1] == 2
    assert thinned(ring).sum() < 34
    bar = np.zeros((7, 20), bool)
    bar[2:5, 3:17] = True
    assert thinned(bar).sum() == 1
    assert thinned(bar.T).sum() == 1
    # What goes from border to border separates two sides.
    assert thinned(np.ones((3, 1), bool) * (np.abs(np.arange(9) - 4) < 2)).sum() == 3


def by_pairs(regions, cells):
    """Counts all pairs of pixels of cells, in either order and with themselves."""
    inside = [place for place in np.ndindex(*cells.shape) if cells[place]]

    def same(values, a, b):
        return int(a == b or (values[a] == values[b] and values[a] > 0))

    pairs = list(itertools.product(inside, inside))
    together = sum(same(regions, a, b) and same(cells, a, b) for a, b in pairs)
    return together / (sum(same(regions, *p) + same(cells, *p) for p in pairs) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_the_rand_score_counts_pairs_of_pixels(seed):
    random = np.random.default_rng(seed)
    regions, cells = random.integers(0, 4, (2, 6, 7))
    assert membranes._rand_score(regions, cells) == pytest.approx(by_pairs(regions, cells))
    assert membranes._rand_score(cells, cells) == 1
    # The numbers do not matter.
    assert membranes._rand_score((5 - cells) * (cells > 0), cells) == 1


def context(share, true, mask):
    """Has one batch, and a task whose probability of class 0 is `share`."""

    def logits(state, batch, key):
        return jnp.log(jnp.stack([batch["share"], 1 - batch["share"]], axis=-1))

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, KEY))

    batch = {"share": jnp.float32(share), "map": jnp.int32(true), "mask": jnp.float32(mask)}
    task = Task(None, None, None, {"logits": logits})
    return Context(task, lambda split, size: [batch] if split == "test" else [], None, collect)


def test_the_best_threshold_separates_the_cells():
    # Two cells with a membrane of three columns, which the task finds wide and weak.
    true = np.ones((1, 9, 20), int)
    true[:, :, 9:12] = 0
    share = np.full((1, 9, 20), 0.05)
    share[:, :, 8:13] = 0.45
    share[:, 4, 10] = 0.7
    # The second example fills the batch, and does not count.
    share, true = np.tile(share, (2, 1, 1)), np.concatenate([true, 1 - true])
    evaluate = membranes.membranes(context(share, true, [1, 0]), thresholds=(0.3, 0.6))
    found = evaluate(STATE)
    # The thinned line lies within the true membrane, and costs nothing.
    assert found["v_rand"] == 1
    assert found["threshold"] == pytest.approx(0.3)
    # 26 of 27 pixels of the membrane are not found at 0.5.
    assert found["pixel_error"] == pytest.approx(26 / 180)
    # Above it the two cells are one: 153 pixels in one region.
    single = membranes.membranes(context(share, true, [1, 0]), thresholds=(0.6,))(STATE)
    sizes = np.array([81.0, 72.0])
    expected = np.square(sizes).sum() / ((153.0**2 + np.square(sizes).sum()) / 2)
    assert single["v_rand"] == pytest.approx(expected)
    assert np.isnan(membranes.membranes(context(share, true, [0, 0]))(STATE)["v_rand"])


def test_the_margin_of_a_network_that_does_not_pad_is_left_out():
    true = np.pad(np.ones((1, 4, 6), int), [(0, 0), (2, 2), (2, 2)])
    true[:, 2:6, 5] = 0
    share = np.float32(true[:, 2:6, 2:8] == 0) * 0.8 + 0.1
    given = context(share, true, [1])
    found = membranes.membranes(given, margin=2)(STATE)
    assert (found["v_rand"], found["pixel_error"]) == (1, 0)
    with pytest.raises(ConfigError, match=r"margin=1: the map 'map' has shape \(1, 6, 8\)"):
        membranes.membranes(given, margin=1)(STATE)


def test_refused():
    given = context(np.full((1, 2, 2), 0.5), np.ones((1, 2, 2)), [1])
    with pytest.raises(ConfigError, match=r"thresholds=\(0.5, 1.0\): valid are"):
        membranes.membranes(given, thresholds=(0.5, 1.0))
    with pytest.raises(ConfigError, match="membrane=2: valid are 0 to 1"):
        membranes.membranes(given, membrane=2)(STATE)
    with pytest.raises(ValueError, match="split 'empty' has no examples"):
        membranes.membranes(given, split="empty")(STATE)
