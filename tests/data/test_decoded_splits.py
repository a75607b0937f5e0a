"""A split is decoded once, and again when anything changes that it follows from."""

import functools
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from library.config import ConfigError
from library.data import (
    decoded_splits,
    kept_files,
    pipeline,
    preprocessing,
    provenance,
    sources,
    whole_splits,
)
from library.data.preprocessing import decoding
from library.run.feed import Feed
from tests import tiny
from tests.kept import cache_in

DECODE = preprocessing.decode(channels=1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    return cache_in(tmp_path, monkeypatch) / "decoded_splits"


@pytest.fixture
def decoded(monkeypatch):
    """The features that were decoded, in order."""
    found, real = [], decoding._decoded
    monkeypatch.setattr(
        decoding, "_decoded", lambda name, *rest: found.append(name) or real(name, *rest)
    )
    return found


@pytest.fixture
def pets(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                path = tmp_path / "pets" / split / name / f"{i}.bmp"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng([i, len(split), ord(name[0])]).integers(
                    0, 256, (6, 6), np.uint8
                )
                Image.fromarray(pixels).save(path)
    return tmp_path / "pets"


def make_loader(root, *ops, split="train", **options):
    source = sources.open_source("folder", split, data_dir=str(root))
    chained = preprocessing.chain(ops or [DECODE])
    return pipeline.make_loader(source, chained, seed=0, **options)


def load(loader):
    told = []
    held = whole_splits.load_all(loader, threads=2, say=told.append)
    return held, told


def assert_right(held, loader):
    each = [loader.load(row, row) for row in range(len(loader.source.records))]
    assert list(held) == ["image", "label", "mask"]
    for name, values in held.items():
        expected = np.stack([example[name] for example in each])
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected)


def decodes(decoded, loader):
    """Returns how many images a load decodes; what it returns is right in any case."""
    before = len(decoded)
    held, told = load(loader)
    count = len(decoded) - before
    assert told == []
    assert_right(held, loader)
    return count


def test_the_second_load_decodes_nothing(pets, decoded, cache):
    loader = make_loader(pets)
    assert decodes(decoded, loader) == 6
    assert decodes(decoded, loader) == 0
    # Another process makes its own loader.
    assert decodes(decoded, make_loader(pets)) == 0
    assert [path.suffix for path in cache.iterdir()] == [".npz"]


def test_a_prepared_dataset_is_decoded_once(tmp_path, decoded):
    digits = functools.partial(sources.open_source, "digits", data_dir=str(tmp_path / "data"))
    loaders = [pipeline.make_loader(digits(f"{s}[:40]"), DECODE, seed=0) for s in ("train", "test")]
    assert [decodes(decoded, loader) for loader in loaders * 2] == [40, 40, 0, 0]
    moved = shutil.copytree(tmp_path / "data", tmp_path / "moved")
    source = sources.open_source("digits", "train[:40]", data_dir=str(moved))
    assert decodes(decoded, pipeline.make_loader(source, DECODE, seed=0)) == 40


def test_other_data_or_preprocessing_is_decoded_anew(pets, decoded, monkeypatch):
    assert decodes(decoded, make_loader(pets)) == 6
    assert decodes(decoded, make_loader(pets, split="test")) == 4
    assert decodes(decoded, make_loader(pets, split="train[:2]")) == 2
    assert decodes(decoded, make_loader(pets, preprocessing.decode(channels=3))) == 6
    assert decodes(decoded, make_loader(pets, DECODE, preprocessing.resize(4))) == 6
    assert decodes(decoded, make_loader(pets, DECODE, preprocessing.resize(5))) == 6
    assert decodes(decoded, make_loader(pets)) == 0
    # The file of another image has as many bytes, and the time of the write is set back.
    path = pets / "train" / "cat" / "1.bmp"
    stat = os.stat(path)
    path.write_bytes((pets / "train" / "dog" / "0.bmp").read_bytes())
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert decodes(decoded, make_loader(pets)) == 6
    monkeypatch.setattr(provenance, "versions", lambda: ["another"])
    assert decodes(decoded, make_loader(pets)) == 6


def test_fitted_values_count(pets, cache):
    operation = preprocessing.standardize("image")
    places = set()
    for mean in (0.0, 0.0, 1.0):
        fitted = operation.fitted({"mean": [mean], "std": [2.0]})
        places.add(decoded_splits.place(make_loader(pets, DECODE, fitted)))
    assert len(places) == 2
    assert None not in places


def own(example, generator):
    return example


def test_what_may_differ_at_the_next_load_is_not_kept(pets, decoded, cache, monkeypatch):
    cropped = make_loader(pets, DECODE, preprocessing.random_crop(4))
    load(cropped)
    (pets / "train" / "dog" / "2.bmp").write_bytes(b"no image")
    load(make_loader(pets, on_corrupt="skip"))
    load(make_loader(pets, DECODE, own, split="test"))
    monkeypatch.setenv(kept_files.LIMIT, "0")
    load(make_loader(pets, split="test"))
    assert not cache.exists() or list(cache.iterdir()) == []
    # A file that was written within the last tick of the clock may change without a trace.
    monkeypatch.setenv(kept_files.LIMIT, "1")
    now = os.stat(pets / "test" / "cat" / "0.bmp").st_ctime_ns + 10**6
    monkeypatch.setattr(provenance.time, "time_ns", lambda: now)
    assert decoded_splits.place(make_loader(pets, split="test")) is None


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def other_arrays(path):
    with path.open("wb") as file:
        np.savez(file, feature_image=np.zeros((6, 6, 6, 1), np.uint8))


def other_kind(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize("damage", [cut_short, flipped, other_arrays, other_kind])
def test_a_damaged_file_is_set_aside_and_made_again(pets, decoded, cache, damage):
    # Larger images, so that the middle of the file is pixels.
    loader = make_loader(pets, DECODE, preprocessing.resize(32))
    load(loader)
    (path,) = cache.iterdir()
    intact = path.read_bytes()
    damage(path)
    damaged = path.read_bytes()
    held, told = load(loader)
    assert len(told) == 1
    assert f"{path} is damaged" in told[0]
    assert_right(held, loader)
    assert path.with_suffix(".damaged").read_bytes() == damaged
    assert len(path.read_bytes()) == len(intact)
    assert decodes(decoded, loader) == 0


def test_a_run_warns_of_a_damaged_file(pets, cache):
    folder = dict(name="folder", data_dir=str(pets), cache="device", batch_size=2)
    plan = tiny.plan_on(1, preprocess=[dict(name="decode", channels=1)], dataset=folder)
    first = Feed(plan).constants["resident"]
    (path,) = cache.iterdir()
    cut_short(path)
    feed, told = Feed(plan), []
    feed.tell(told.append)
    assert [line for line in told if f"{path} is damaged" in line] == told
    assert len(told) == 1
    for name, values in first.items():
        np.testing.assert_array_equal(values, feed.constants["resident"][name])


def test_the_oldest_splits_make_room(pets, cache, monkeypatch):
    loaders = [make_loader(pets, DECODE, preprocessing.resize(side)) for side in (8, 9, 10)]
    places = [decoded_splits.place(loader) for loader in loaders]
    for time, loader in enumerate(loaders[:2]):
        load(loader)
        os.utime(places[time], (time, time))
    # Reading the first makes it the newest.
    load(loaders[0])
    size = places[0].stat().st_size + 6 * (10 * 10 + 8)
    monkeypatch.setenv(kept_files.LIMIT, str(size / 1e9))
    load(loaders[2])
    assert sorted(cache.iterdir()) == sorted([places[0], places[2]])
    monkeypatch.setenv(kept_files.LIMIT, str(1e-9))
    load(make_loader(pets, split="test"))
    assert sorted(cache.iterdir()) == sorted([places[0], places[2]])


def test_without_a_place_to_keep_it_a_split_is_decoded_each_time(pets, decoded, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file, where a directory is needed")
    loader = make_loader(pets)
    assert [decodes(decoded, loader), decodes(decoded, loader)] == [6, 6]


@pytest.mark.parametrize("value", ["ten", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(pets, monkeypatch, value):
    monkeypatch.setenv(kept_files.LIMIT, value)
    with pytest.raises(ConfigError, match=f"COMPENDIUM_CACHE_GB='{value}': valid are numbers"):
        load(make_loader(pets))
