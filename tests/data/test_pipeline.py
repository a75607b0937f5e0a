"""Order, slices, padding and workers: every batch is a function of the seed and the step."""

import hashlib
import itertools

import numpy as np
import pytest

from library import config, trees
from library.config import ConfigError
from library.data import orders, pipeline, preprocessing, sources, whole_splits
from library.data.preprocessing import CorruptExample
from library.run.feed import Feed
from library.run.sections import Dataset
from tests import tiny

SEED = 7


def make_loader(num=10, ops=(), on_corrupt="stop", source=None, **shape):
    source = source or sources.from_arrays(tiny.arrays(num, **shape), name="tiny")
    return pipeline.make_loader(
        source,
        preprocessing.chain(ops),
        seed=SEED,
        on_corrupt=on_corrupt,
    )


def part(index, count, size):
    """Returns the places of one of so many parts of a batch."""
    return np.split(np.arange(size), count)[index]


def take(iterator, count):
    return list(itertools.islice(iterator, count))


def joined(batches, name):
    return np.concatenate([batch[name] for batch in batches])


def assert_same(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype, name
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_every_epoch_is_a_permutation_although_batches_straddle_epochs():
    loader = make_loader(10)
    batches = take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED)), 15)
    rows = joined(batches, "row").reshape(6, 10)
    for epoch in rows:
        assert sorted(epoch) == list(range(10))
    # Six orders of ten examples, none twice.
    assert len({tuple(epoch) for epoch in rows}) == 6
    np.testing.assert_array_equal(joined(batches, "index"), np.arange(60))
    np.testing.assert_array_equal(joined(batches, "mask"), np.ones(60))


def test_batches_hold_the_examples_of_their_rows():
    data = tiny.arrays(10)
    loader = make_loader(10)
    for batch in take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED)), 5):
        for name in ("image", "label"):
            np.testing.assert_array_equal(batch[name], data[name][batch["row"]])
        types = {name: batch[name].dtype for name in batch}
        assert types == {
            "image": np.uint8,
            "label": np.int32,
            "index": np.uint32,
            "row": np.uint32,
            "mask": np.float32,
        }


def test_the_order_depends_on_the_seed_alone():
    loader = make_loader(10)

    def rows(seed):
        return joined(
            take(pipeline.train_batches(loader, 5, order=orders.shuffle(seed)), 2), "row"
        ).tolist()

    assert rows(3) == rows(3)
    assert rows(3) != rows(4)


@pytest.mark.parametrize("start", [1, 2, 5, 13])
def test_seeking_equals_iterating(start):
    loader = make_loader(10, ops=[jitter])
    whole = take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED)), start + 3)
    sought = take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED), start=start), 3)
    assert_same(sought, whole[start:])


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("epochs", ["train", "eval"])
def test_slices_of_processes_concatenate_to_the_global_batch(count, epochs):
    loader = make_loader(10, ops=[jitter])

    def batches(places=None):
        if epochs == "train":
            return take(
                pipeline.train_batches(
                    loader, 8, order=orders.shuffle(SEED), start=1, places=places
                ),
                4,
            )
        return list(pipeline.eval_batches(loader, 8, places=places))

    whole = batches()
    parts = [batches(part(i, count, 8)) for i in range(count)]
    assert {len(b["row"]) for part in parts for b in part} == {8 // count}
    together = [
        {name: np.concatenate([part[i][name] for part in parts]) for name in whole[i]}
        for i in range(len(whole))
    ]
    assert_same(together, whole)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_indices_without_examples_are_those_of_the_batches(count):
    loader = make_loader(10)
    for index in range(count):
        places = part(index, count, 4)
        shared = dict(order=orders.shuffle(SEED), start=2, places=places)
        whole = take(pipeline.train_batches(loader, 4, **shared), 5)
        expected = [{k: batch[k] for k in pipeline.PLACE} for batch in whole]
        assert_same(take(pipeline.train_indices(10, 4, **shared), 5), expected)
        whole = pipeline.eval_batches(loader, 4, places=places)
        expected = [{k: batch[k] for k in pipeline.PLACE} for batch in whole]
        assert_same(list(pipeline.eval_indices(10, 4, places)), expected)


@pytest.mark.parametrize(("num", "sizes"), [(12, [4, 4, 4]), (10, [4, 4, 2]), (3, [3])])
def test_evaluation_covers_every_example_once(num, sizes):
    data = tiny.arrays(num)
    batches = list(pipeline.eval_batches(make_loader(num), 4))
    assert [batch["mask"].sum() for batch in batches] == sizes
    assert {len(batch["mask"]) for batch in batches} == {4}
    real = joined(batches, "mask") > 0
    np.testing.assert_array_equal(joined(batches, "row")[real], np.arange(num))
    for name in ("image", "label"):
        np.testing.assert_array_equal(joined(batches, name)[real], data[name])
        assert not joined(batches, name)[~real].any()
    np.testing.assert_array_equal(joined(batches, "index"), np.arange(4 * len(sizes)))


def jitter(example, rng):
    """A host preprocessing that draws: its draw is kept beside the image."""
    return {**example, "draw": np.float32(rng.random()), "image": example["image"] // 2}


def test_random_preprocessing_depends_on_the_position_not_on_the_batch():
    loader = make_loader(10, ops=[jitter])
    draws = {}
    for size in (1, 4, 5):
        batches = take(pipeline.train_batches(loader, size, order=orders.shuffle(SEED)), 20 // size)
        draws[size] = joined(batches, "draw")
    np.testing.assert_array_equal(draws[1], draws[4])
    np.testing.assert_array_equal(draws[1], draws[5])
    # Another position, another draw: also of the same example in its next epoch.
    assert len(set(draws[1].tolist())) == 20
    other = make_loader(10, ops=[jitter])._replace(seed=SEED + 1)
    got = joined(take(pipeline.train_batches(other, 4, order=orders.shuffle(SEED)), 5), "draw")
    assert not set(got.tolist()) & set(draws[1].tolist())


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_threads_change_nothing(threads):
    loader = make_loader(10, ops=[jitter])
    expected = take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED), threads=8), 4)
    assert_same(
        take(
            pipeline.train_batches(loader, 4, order=orders.shuffle(SEED), threads=threads),
            4,
        ),
        expected,
    )


def test_worker_processes_change_nothing():
    # What workers hold is pickled: operations of the library, not of this file.
    ops = [preprocessing.decode(channels=1), preprocessing.inception_crop(size=4)]
    loader = make_loader(10, ops=ops)
    expected = take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED), start=1), 5)
    batches = pipeline.train_batches(
        loader, 4, order=orders.shuffle(SEED), start=1, workers=2, threads=2
    )
    assert_same(take(batches, 5), expected)
    assert len({image.tobytes() for batch in expected for image in batch["image"]}) == 20


def hashed(count, workers):
    """Returns the hash of 200 batches, put together from the parts of so many processes."""
    ops = [preprocessing.decode(channels=1), preprocessing.inception_crop(size=4)]
    loader = make_loader(50, ops=ops)
    shared = dict(order=orders.shuffle(SEED), workers=workers, threads=2)
    parts = [
        take(pipeline.train_batches(loader, 8, places=part(i, count, 8), **shared), 200)
        for i in range(count)
    ]
    found = hashlib.sha256()
    for each in zip(*parts):
        for name in sorted(each[0]):
            found.update(np.concatenate([batch[name] for batch in each]).tobytes())
    return found.hexdigest()


@pytest.mark.full
def test_two_hundred_batches_have_one_hash():
    splits = [(count, workers) for count in (1, 2, 4) for workers in (0, 2)]
    assert len({hashed(*split) for split in splits}) == 1


def test_a_corrupt_example_stops_the_run_and_is_named():
    loader = make_loader(
        source=tiny.encoded(10, broken=[6]), ops=[preprocessing.decode(channels=1)]
    )
    with pytest.raises(CorruptExample) as caught:
        take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED)), 3)
    assert "tiny[6]: image of 40 bytes cannot be decoded" in str(caught.value)
    assert "on_corrupt='skip'" in str(caught.value)
    with pytest.raises(CorruptExample, match=r"tiny\[6\]"):
        list(pipeline.eval_batches(loader, 4))


def test_a_corrupt_example_that_is_skipped_is_zeros_with_mask_0():
    ops = [preprocessing.decode(channels=1)]
    whole = make_loader(source=tiny.encoded(10), ops=ops)
    loader = make_loader(source=tiny.encoded(10, broken=[0, 6]), ops=ops, on_corrupt="skip")
    expected = take(pipeline.train_batches(whole, 4, order=orders.shuffle(SEED)), 5)
    got = take(pipeline.train_batches(loader, 4, order=orders.shuffle(SEED)), 5)
    lost = np.isin(joined(expected, "row"), [0, 6])
    assert lost.sum() == 4
    np.testing.assert_array_equal(joined(got, "mask"), 1 - lost)
    np.testing.assert_array_equal(joined(got, "row"), joined(expected, "row"))
    for name in ("image", "label"):
        assert not joined(got, name)[lost].any()
        np.testing.assert_array_equal(joined(got, name)[~lost], joined(expected, name)[~lost])
    seen = list(pipeline.eval_batches(loader, 4))
    np.testing.assert_array_equal(joined(seen, "mask"), [0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0])


def test_a_source_without_examples_is_refused():
    with pytest.raises(ConfigError, match="the source has no examples"):
        make_loader(source=sources.Source([], None, str))


def test_the_first_examples_give_the_shapes():
    ops = [preprocessing.decode(channels=1)]
    loader = make_loader(source=tiny.encoded(5, broken=[0, 1]), ops=ops, on_corrupt="skip")
    shapes = {name: (value.shape, value.dtype) for name, value in loader.blank.items()}
    assert shapes == {"image": ((8, 8, 1), np.uint8), "label": ((), np.int32)}
    with pytest.raises(CorruptExample, match=r"tiny\[0\]"):
        make_loader(source=tiny.encoded(5, broken=[0]), ops=ops)
    with pytest.raises(CorruptExample, match=r"none of the first .* tiny\[4\]"):
        make_loader(source=tiny.encoded(5, broken=range(5)), ops=ops, on_corrupt="skip")


@pytest.mark.parametrize("broken", [(), (0, 4)])
def test_a_split_loaded_whole_equals_the_streamed_one(broken):
    ops = [preprocessing.decode(channels=1)]
    loader = make_loader(source=tiny.encoded(10, broken), ops=ops, on_corrupt="skip")
    held = whole_splits.load_all(loader, threads=3)
    assert set(held) == {"image", "label", "mask"}
    streamed = list(pipeline.eval_batches(loader, 5))
    for name, values in held.items():
        np.testing.assert_array_equal(values, joined(streamed, name), err_msg=name)
        assert values.dtype == streamed[0][name].dtype


@pytest.mark.parametrize("broken", [(), (3, 17)])
def test_a_run_from_device_memory_equals_the_streamed_run_bitwise(monkeypatch, broken):
    tiny.serve(monkeypatch, train=tiny.encoded(20, broken))
    decode = [dict(name="decode", channels=1)]
    runs = {}
    for cache in ("none", "device"):
        dataset = dict(cache=cache, on_corrupt="skip")
        augment = [dict(name="random_crop", padding=1)]
        plan = tiny.plan_on(8, preprocess=decode, dataset=dataset, augment=augment)
        runs[cache] = tiny.take_steps(plan, 5)
    streamed, resident = runs["none"], runs["device"]
    assert [row["loss"] for row in streamed.sums] == [row["loss"] for row in resident.sums]
    assert trees.digest(streamed.carry) == trees.digest(resident.carry)
    lost = sum(16 - row["loss"][1] for row in streamed.sums)
    assert resident.carry.skipped["examples"] == lost == (8 if broken else 0)


def test_an_evaluation_from_memory_has_the_batches_of_the_streamed_one(monkeypatch):
    source = tiny.encoded(11, [4])
    tiny.serve(monkeypatch, train=source, test=source)
    seen = []
    for cache in ("none", "device"):
        dataset = dict(cache=cache, on_corrupt="skip", eval_batch_size=4)
        plan = tiny.plan_on(2, preprocess=[dict(name="decode", channels=1)], dataset=dataset)
        seen.append([dict(batch) for batch in Feed(plan).evaluation("test", None)])
    for streamed, held in zip(*seen, strict=True):
        np.testing.assert_array_equal(streamed["mask"], held["mask"])
        real = np.asarray(streamed["mask"]) > 0
        for name in ("image", "label", "row", "index"):
            np.testing.assert_array_equal(streamed[name][real], held[name][real])
    assert joined(seen[1], "mask").sum() == 10


def test_streams_read_on_from_batch_to_batch():
    # 14 examples in batches of 4: each place reads 3 of them, then begins again.
    order = orders.streams()
    found = order(np.arange(16), 4, 14).reshape(4, 4)
    np.testing.assert_array_equal(found[0], [0, 3, 6, 9])
    np.testing.assert_array_equal(found[1], found[0] + 1)
    np.testing.assert_array_equal(found[2], found[0] + 2)
    np.testing.assert_array_equal(found[3], found[0])
    loader = make_loader(14)
    batches = take(pipeline.train_batches(loader, 4, order=order, start=1), 2)
    np.testing.assert_array_equal(joined(batches, "row").reshape(2, 4), found[1:3])
    with pytest.raises(ConfigError, match="3 examples are too few for batch_size=4"):
        order(np.arange(4), 4, 3)


def test_repeated_examples_come_in_blocks_each_with_its_own_position():
    # 10 examples in batches of 6, of which 2 are different: 5 batches are an epoch of rows.
    order = orders.shuffle(SEED, repeats=3)
    loader = make_loader(10, ops=[jitter])
    batches = take(pipeline.train_batches(loader, 6, order=order), 10)
    np.testing.assert_array_equal(joined(batches, "index"), np.arange(60))
    blocks = joined(batches, "row").reshape(10, 3, 2)
    np.testing.assert_array_equal(blocks, np.broadcast_to(blocks[:, :1], blocks.shape))
    once = take(pipeline.train_batches(loader, 2, order=orders.shuffle(SEED)), 10)
    np.testing.assert_array_equal(blocks[:, 0].reshape(-1), joined(once, "row"))
    # What the host draws for an example, it draws anew for each of its places.
    assert len(set(joined(batches, "draw"))) == 60
    assert_same(take(pipeline.train_batches(loader, 6, order=order, start=7), 3), batches[7:])


def test_repeats_that_do_not_divide_the_batch_go_on_in_the_next():
    order = orders.shuffle(SEED, repeats=3)
    found = order(np.arange(16), 8, 10).reshape(2, 8)
    a, b, c, d, e, f = pipeline.rows(np.arange(6), SEED, 10)
    np.testing.assert_array_equal(found[0], [a, b, c, a, b, c, a, b])
    np.testing.assert_array_equal(found[1], [c, d, e, d, e, f, d, e])


@pytest.mark.parametrize("count", [2, 3])
def test_repeated_examples_are_shared_out_among_processes(count):
    order = orders.shuffle(SEED, repeats=3)
    loader = make_loader(10)
    (whole,) = take(pipeline.train_batches(loader, 6, order=order), 1)
    shares = [dict(order=order, places=part(i, count, 6)) for i in range(count)]
    rows = [take(pipeline.train_batches(loader, 6, **share), 1)[0]["row"] for share in shares]
    np.testing.assert_array_equal(np.concatenate(rows), whole["row"])
    if count == 3:
        assert all(len(set(each)) == 2 for each in rows)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(repeats=0), "repeats=0: valid are 1 to batch_size=16"),
        (dict(repeats=17), "repeats=17: valid are 1 to batch_size=16"),
        (dict(repeats=2, order="streams"), "repeats=2 with order='streams'"),
    ],
)
def test_repeats_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        config.read(Dataset, dict(name="digits", batch_size=16, **values), "dataset")


def test_a_run_with_repeats_trains_on_what_the_order_says(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(20))

    def rows(cache):
        plan = tiny.plan_on(2, dataset=dict(repeats=4, cache=cache))
        batch = next(Feed(plan).train(3))
        return np.asarray(batch["row"]), plan

    streamed, plan = rows("none")
    size, count = plan.dataset.batch_size, len(plan.loader.source.records)
    order = orders.shuffle(plan.recipe.seed, 4)
    np.testing.assert_array_equal(streamed, order(3 * size + np.arange(size), size, count))
    np.testing.assert_array_equal(rows("device")[0], streamed)
    assert len(set(streamed)) == size // 4
