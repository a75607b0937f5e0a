"""Orders by name: functions of seed and position, whoever asks."""

import dataclasses

import numpy as np
import pytest

from library.config import ConfigError, available, build, read
from library.data import orders, sources
from library.run import data, sections

LABELS = np.repeat(np.arange(5), [6, 7, 8, 9, 1])
COUNT = len(LABELS)


def make(seed=3, **spec):
    return build(spec, "library.data.orders", "order", seed=seed, repeats=1, labels=lambda: LABELS)


BALANCED = dict(name="balanced", classes=3, examples=4)
EPISODES = dict(name="episodes", ways=3, shots=2, queries=3)


def test_each_order_is_a_file_of_its_name():
    files = ["balanced", "bucketed", "episodes", "sequence", "shuffle", "streams"]
    assert available("library.data.orders") == files == orders.__all__


@pytest.mark.parametrize("spec", [BALANCED, EPISODES], ids=lambda spec: spec["name"])
def test_a_position_has_one_row_whoever_asks(spec):
    size = 60
    whole = make(**spec)(np.arange(5 * size), size, COUNT)
    for places in (np.arange(0, 30), np.arange(30, 60), np.array([7])):
        positions = 2 * size + places
        np.testing.assert_array_equal(make(**spec)(positions, size, COUNT), whole[positions])
    assert (make(seed=4, **spec)(np.arange(size), size, COUNT) != whole[:size]).any()
    assert (whole[:size] != whole[size : 2 * size]).any()


def test_a_balanced_batch_has_so_many_of_so_many_classes():
    rows = make(**BALANCED)(np.arange(24 * 50), 24, COUNT).reshape(-1, 3, 4)
    classes = LABELS[rows]
    assert (classes == classes[:, :, :1]).all()
    assert all(len(set(group[:, 0])) == 3 for group in classes)
    # Only a class of too few examples gives one twice.
    for group in rows.reshape(-1, 4):
        assert len(set(group)) == 4 or LABELS[group[0]] == 4
    counts = np.bincount(classes[:, :, 0].ravel(), minlength=5) / classes[:, :, 0].size
    np.testing.assert_allclose(counts, 0.2, atol=0.05)


def test_an_episode_shows_no_example_twice_and_leaves_out_small_classes():
    rows = make(**EPISODES)(np.arange(15 * 40), 30, COUNT).reshape(-1, 3, 5)
    classes = LABELS[rows]
    assert (classes == classes[:, :, :1]).all()
    assert all(len(set(episode.ravel())) == 15 for episode in rows)
    assert set(classes.ravel()) == {0, 1, 2, 3}


def test_a_sequence_begins_again():
    np.testing.assert_array_equal(orders.sequence()(np.arange(7), 4, 3), [0, 1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (dict(BALANCED, classes=6), "needs 6 classes with at least 1 examples, .* have 5"),
        (dict(EPISODES, ways=5), "needs 5 classes with at least 5 examples, .* have 4"),
        (dict(EPISODES, way=5), "takes no 'way': did you mean 'ways'"),
        (dict(name="suffle"), "unknown order 'suffle': did you mean 'shuffle'"),
        (dict(BALANCED, classes=0), "0 classes of 1 examples: use 1 or more"),
    ],
)
def test_orders_that_do_not_fit_are_refused(spec, said):
    with pytest.raises(ConfigError, match=said):
        make(**spec)


def test_a_batch_holds_whole_groups():
    with pytest.raises(ConfigError, match="batch_size=16 is not a multiple of 12"):
        make(**BALANCED)(np.arange(16), 16, COUNT)


LENGTHS = np.random.default_rng(0).integers(1, 40, 53)


def bucketed(seed=3, **options):
    return orders.bucketed(seed, lambda feature: LENGTHS, **options)


def test_buckets_hold_each_example_once_an_epoch():
    count = len(LENGTHS)
    rows = bucketed(pool=3)(np.arange(3 * count), 8, count).reshape(3, count)
    for epoch in rows:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(count))
    assert (rows[0] != rows[1]).any()
    assert (bucketed(seed=4, pool=3)(np.arange(count), 8, count) != rows[0]).any()


def test_any_position_of_buckets_has_one_row_whoever_asks():
    count = len(LENGTHS)
    whole = bucketed(pool=3)(np.arange(3 * count), 8, count)
    again = bucketed(pool=3)
    for position in (120, 7, 60, 53, 52):
        assert again(np.array([position]), 8, count)[0] == whole[position]


def test_batches_of_buckets_are_alike_in_length():
    count, size = len(LENGTHS), 8
    rows = bucketed(pool=100)(np.arange(40 * size), size, count).reshape(-1, size)
    spread = np.ptp(LENGTHS[rows], axis=1)
    # A batch within an epoch is a run of the sorted lengths of all but those in the two batches
    # that the epoch shares with others.
    steps = np.arange(len(rows))
    within = steps * size // count == (steps * size + size - 1) // count
    ranked = np.sort(LENGTHS)
    most = max(ranked[i + 3 * size] - ranked[i] for i in range(count - 3 * size))
    assert (spread[within] <= most).all()
    assert spread[within].mean() < np.ptp(LENGTHS) / 3


def test_buckets_of_no_batches_are_refused():
    with pytest.raises(ConfigError, match="pool=0: valid are 1 and more"):
        bucketed(pool=0)


def test_a_recipe_reads_lengths_from_its_examples():
    lengths = [5, 1, 4, 2, 3, 6]
    series = np.empty(6, object)
    series[:] = [np.zeros((n, 2), np.float32) for n in lengths]
    source = sources.from_arrays({"series": series, "target": np.zeros((6, 1), np.float32)})
    given = dict(name="bucketed", feature="series", pool=9)
    dataset = read(sections.Dataset, dict(name="made", batch_size=2, order=given), "dataset")
    order = data.order(dataset, source, seed=0)
    pairs = order(np.arange(6), 2, 6).reshape(3, 2)
    assert {frozenset(lengths[row] for row in pair) for pair in pairs} == {
        frozenset((1, 2)),
        frozenset((3, 4)),
        frozenset((5, 6)),
    }
    for feature, said in (("serie", "did you mean 'series'"), ("row", "unknown feature")):
        spec = dataclasses.replace(dataset, order=dict(given, feature=feature))
        with pytest.raises(ConfigError, match=said):
            data.order(spec, source, seed=0)
