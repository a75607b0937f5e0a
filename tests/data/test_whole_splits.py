"""What is loaded together has the bits of what is loaded one example after the other."""

import io

import numpy as np
import pytest
from PIL import Image

from library import rng
from library.data import joining, orders, pipeline, preprocessing, sources, whole_splits
from library.data.preprocessing import CorruptExample, UnfitExample
from library.run.feed import Feed
from tests import tiny

SEED = 11
DECODE = preprocessing.decode(channels=1)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(whole_splits, "PART", 4)


def make_loader(source, *ops, on_corrupt="stop"):
    chained = preprocessing.chain(ops)
    return pipeline.make_loader(source, chained, seed=SEED, on_corrupt=on_corrupt)


def png(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def objects(values):
    found = np.empty(len(values), object)
    found[:] = values
    return found


def scenes(num=10):
    """Images, maps and fields as files, and a different number of boxes in each example."""
    random = np.random.default_rng(3)
    draw = [random.integers(0, 256, (2, 6, 8), dtype=np.uint8) for _ in range(num)]
    arrays = {
        "image": objects([png(image) for image, _ in draw]),
        "classes": objects([png(classes) for _, classes in draw]),
        "boxes": objects([random.random((row % 4, 4), np.float32) for row in range(num)]),
    }
    return sources.from_arrays(arrays, name="scenes", kinds={"classes": "map"})


def of_scenes(**options):
    source = scenes()
    kinds = {"kinds": source.kinds}
    pad = preprocessing.pad_objects(3, **kinds)
    crop = preprocessing.random_crop(5, **kinds)
    decode = preprocessing.decode(channels=1, **kinds)
    return make_loader(source, decode, *([crop] if options.get("crop") else []), pad)


def of_several(*ops):
    first = preprocessing.chain([DECODE, *ops])
    parts = {name: joining.Part(tiny.encoded(10), first) for name in ("a", "b")}
    return make_loader(joining.join(parts, paired=True, shuffled=True, seed=SEED))


LOADERS = {
    "images": lambda: make_loader(tiny.encoded(10), DECODE),
    "skipped": lambda: make_loader(tiny.encoded(10, [0, 6]), DECODE, on_corrupt="skip"),
    "arrays": lambda: make_loader(sources.from_arrays(tiny.arrays(10))),
    "maps and boxes": of_scenes,
    "maps and boxes, cropped at random": lambda: of_scenes(crop=True),
    "several sources": of_several,
    "several sources, cropped at random": lambda: of_several(preprocessing.random_crop(5)),
    "noise": lambda: make_loader(sources.open_source("synthetic/4x3x1", "train[:10]")),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_split_has_the_bits_of_its_examples(name):
    loader = LOADERS[name]()
    held = whole_splits.load_all(loader, threads=3)
    each = [loader.load(row, row) for row in range(10)]
    assert list(held) == [key for key in each[0] if key not in ("index", "row")]
    for key, values in held.items():
        expected = np.stack([example[key] for example in each])
        assert values.dtype == expected.dtype, key
        np.testing.assert_array_equal(values, expected, err_msg=key)


@pytest.mark.parametrize("name", LOADERS)
def test_a_batch_has_the_bits_of_its_examples(name):
    loader = LOADERS[name]()
    rows = orders.shuffle(SEED)(np.arange(9), 9, 10)
    found = whole_splits.batch(loader, np.arange(9), rows, threads=2)
    expected = next(pipeline.train_batches(loader, 9, order=orders.shuffle(SEED)))
    assert list(found) == list(expected)
    for key, values in found.items():
        assert values.dtype == expected[key].dtype, key
        np.testing.assert_array_equal(values, expected[key], err_msg=key)


def test_generators_are_made_for_parts_and_for_examples_that_draw(monkeypatch):
    made, real = [], rng.host_generator
    plain, drawing = LOADERS["images"](), of_scenes(crop=True)

    def host_generator(seed, purpose, *counters):
        made.append(counters)
        return real(seed, purpose, *counters)

    monkeypatch.setattr(rng, "host_generator", host_generator)
    whole_splits.load_all(plain, threads=1)
    assert made == [(0,), (4,), (8,)]
    made.clear()
    # Only the first part is tried with one generator.
    whole_splits.load_all(drawing, threads=1)
    assert made == [(0,), *[(row,) for row in range(10)]]


def test_errors_name_the_first_example_that_fails():
    broken = tiny.encoded(10, [5, 9])
    loader = pipeline.make_loader(broken, preprocessing.chain([DECODE]), seed=SEED)
    with pytest.raises(CorruptExample, match=r"tiny\[5\]: .*on_corrupt='skip'"):
        whole_splits.load_all(loader, threads=2)

    def failing(example, generator):
        if example["target"] == 7:
            raise ValueError("no such target")
        return example

    source = sources.from_arrays({"target": np.arange(10)}, name="tiny")
    loader = pipeline.make_loader(source, failing, seed=SEED)
    with pytest.raises(UnfitExample, match=r"tiny\[7\]: no such target"):
        whole_splits.load_all(loader)


def test_the_first_batch_comes_from_the_split_in_memory(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.encoded(20))
    firsts, loads = {}, []
    real = pipeline.Loader.load
    for cache in ("none", "device"):
        decode = [dict(name="decode", channels=1)]
        plan = tiny.plan_on(2, preprocess=decode, dataset=dict(cache=cache))
        monkeypatch.setattr(
            pipeline.Loader,
            "load",
            lambda self, *place: loads.append(place[:2]) or real(self, *place),
        )
        firsts[cache] = {k: np.asarray(x) for k, x in Feed(plan).first.items()}
        monkeypatch.setattr(pipeline.Loader, "load", real)
    # 16 examples of the batch; then the 20 of the split, and no more.
    assert len(loads) == 16 + 20
    streamed, held = firsts["none"], firsts["device"]
    assert streamed.keys() == held.keys()
    for name, values in streamed.items():
        assert values.dtype == held[name].dtype
        np.testing.assert_array_equal(values, held[name], err_msg=name)
