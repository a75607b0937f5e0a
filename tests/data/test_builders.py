"""The project's TFDS builders, on stand-ins written as the real files are packed."""

import importlib
import io
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from library.config import ConfigError
from library.data import prepared, sources
from library.data.builders import (
    bach_chorales,
    cifar10_jpeg,
    digits,
    moving_digits,
    overlapping_digits,
    packed,
    tinyimagenet20,
)


def encode(pixels, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def decoded(example):
    return np.asarray(Image.open(io.BytesIO(example["image"])))


def write_packed(path, files, labels, **extra):
    path.parent.mkdir(parents=True, exist_ok=True)
    offsets = np.cumsum([0, *map(len, files)])
    data = np.frombuffer(b"".join(files), np.uint8)
    np.savez(path, data=data, offsets=offsets, labels=np.array(labels, np.uint8), **extra)


def random_jpegs(rng, count, side):
    return [encode(rng.integers(0, 256, (side, side, 3), np.uint8), "JPEG") for _ in range(count)]


@pytest.fixture
def manual_dir(tmp_path, rng):
    """Writes seven examples of each data set that lies in a manual directory."""
    folder = tmp_path / "manual"
    (folder / "mnist").mkdir(parents=True)
    arrays = {}
    for split, count in (("train", 7), ("test", 3)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"y_{split}"] = np.arange(count, dtype=np.uint8) + 3
    np.savez(folder / "mnist" / "mnist.npz", **arrays)
    for split, count in (("train", 7), ("test", 3)):
        write_packed(
            folder / "cifar10_jpeg" / f"{split}.npz",
            random_jpegs(rng, count, 32),
            np.arange(count) + 3,
            index_in_class=np.arange(count, dtype=np.int32) * 10,
        )
    for split, count in (("train", 7), ("val", 3)):
        write_packed(
            folder / "tinyimagenet20" / f"{split}.npz",
            random_jpegs(rng, count, 64),
            np.arange(count) + 13,
            boxes=np.tile(np.array([0, 10, 63, 58], np.uint8), (count, 1)),
        )
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def prepare(name, tmp_path, manual_dir=None, mirror=None):
    return sources.prepare(
        name,
        data_dir=tmp_path / "data",
        manual_dir=manual_dir,
        mirror=mirror,
        progress=False,
        say=lambda _: None,
    )


def test_digits_split_is_stratified_complete_and_fixed():
    target = load_digits().target
    train, test = digits.split_rows(target)
    assert (len(train), len(test)) == (1437, 360)
    assert sorted([*train, *test]) == list(range(1797))
    fifths = np.bincount(target) / 5
    assert np.abs(np.bincount(target[test]) - fifths).max() < 1
    assert zlib.crc32(test.astype("<i4").tobytes()) == 1128523611


def test_digits_hold_scikit_learns_pixels_and_labels(tmp_path):
    info = prepare("digits", tmp_path)
    assert info.splits == {"train": 1437, "test": 360}
    assert info.image_shape == (8, 8, 1)
    assert info.label_names == tuple("0123456789")
    source = sources.open_source("digits", "train+test", data_dir=tmp_path / "data")
    bundled = load_digits()
    seen = set()
    for row in range(1797):
        example = source.records[row]
        original = int(source.describe(row).split("(")[1].rstrip(")"))
        seen.add(original)
        assert example["label"] == bundled.target[original]
        expected = np.rint(bundled.images[original] * 255 / 16)
        np.testing.assert_array_equal(decoded(example), expected)
    assert len(seen) == 1797


def test_mnist_npz_is_lossless(tmp_path, manual_dir):
    info = prepare("mnist_npz", tmp_path, manual_dir)
    assert info.splits == {"train": 7, "test": 3}
    assert info.image_shape == (28, 28, 1)
    arrays = np.load(manual_dir / "mnist" / "mnist.npz")
    source = sources.open_source("mnist_npz", "train", data_dir=tmp_path / "data")
    for row in range(7):
        example = source.records[row]
        original = example["label"] - 3
        np.testing.assert_array_equal(decoded(example), arrays["x_train"][original])
        assert source.describe(row) == f"mnist_npz train[{row}] (train {original})"


def test_cifar10_jpeg_keeps_the_bytes(tmp_path, manual_dir):
    info = prepare("cifar10_jpeg", tmp_path, manual_dir)
    assert info.splits == {"train": 7, "test": 3}
    assert info.label_names == cifar10_jpeg.CLASSES
    arrays = np.load(manual_dir / "cifar10_jpeg" / "test.npz")
    source = sources.open_source("cifar10_jpeg", "test", data_dir=tmp_path / "data")
    for row in range(3):
        example = source.records[row]
        original = int(example["label"]) - 3
        start, stop = arrays["offsets"][original : original + 2]
        assert example["image"] == arrays["data"][start:stop].tobytes()
        name = f"{cifar10_jpeg.CLASSES[original + 3]}/{original * 10:04d}"
        assert source.describe(row) == f"cifar10_jpeg test[{row}] ({name})"


def test_tinyimagenet20_keeps_the_bytes_and_boxes(tmp_path, manual_dir):
    info = prepare("tinyimagenet20", tmp_path, manual_dir)
    assert info.splits == {"train": 7, "val": 3}
    assert info.label_names == tuple(tinyimagenet20.CLASSES.values())
    arrays = np.load(manual_dir / "tinyimagenet20" / "val.npz")
    source = sources.open_source("tinyimagenet20", "val", data_dir=tmp_path / "data")
    for row in range(3):
        example = source.records[row]
        original = int(example["label"]) - 13
        start, stop = arrays["offsets"][original : original + 2]
        assert example["image"] == arrays["data"][start:stop].tobytes()
        np.testing.assert_array_equal(example["box"], np.float32([10, 0, 59, 64]) / 64)
        assert set(example) == {"image", "label", "box"}


def test_manual_dir_may_be_the_folder_itself(tmp_path, manual_dir):
    assert prepare("mnist_npz", tmp_path, manual_dir / "mnist").splits["train"] == 7


def test_missing_files_are_named_and_nothing_is_created(tmp_path, manual_dir):
    (manual_dir / "cifar10_jpeg" / "test.npz").unlink()
    folder = manual_dir / "cifar10_jpeg"
    with pytest.raises(ConfigError, match=rf"cannot be downloaded.* by hand to {folder}"):
        prepare("cifar10_jpeg", tmp_path, manual_dir, mirror="http://127.0.0.1:9")
    assert not (tmp_path / "data" / "cifar10_jpeg").exists()


def broken_npz(path):
    path.write_bytes(path.read_bytes()[:200])


def label_out_of_range(path):
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "labels": arrays["labels"] + 7})


def offsets_not_rising(path):
    arrays = dict(np.load(path))
    arrays["offsets"][3] = arrays["offsets"][2]
    np.savez(path, **arrays)


def labels_missing(path):
    arrays = dict(np.load(path))
    del arrays["labels"]
    np.savez(path, **arrays)


def too_few_labels(path):
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "labels": arrays["labels"][:-1]})


def too_few_indices(path):
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "index_in_class": arrays["index_in_class"][:-1]})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken_npz, "is not a readable npz"),
        (label_out_of_range, r"label 10 of image 0 is out of range \(valid: 0 to 9\)"),
        (offsets_not_rising, "offsets must rise from 0 to"),
        (labels_missing, r"not \['labels'\]"),
        (too_few_labels, r"labels of shape \(6,\) for 7 images"),
        (too_few_indices, "index_in_class has 6 rows for 7 images"),
    ],
)
def test_malformed_packed_files_are_refused_and_leave_nothing(tmp_path, manual_dir, spoil, message):
    spoil(manual_dir / "cifar10_jpeg" / "train.npz")
    with pytest.raises(ConfigError, match=message):
        prepare("cifar10_jpeg", tmp_path, manual_dir)
    assert not list((tmp_path / "data" / "cifar10_jpeg").glob("*"))


@pytest.mark.parametrize("name", ["mnist_npz", "moving_digits", "overlapping_digits"])
def test_mnist_of_another_shape_is_refused(tmp_path, manual_dir, name):
    path = manual_dir / "mnist" / "mnist.npz"
    np.savez(path, **{**np.load(path), "x_test": np.zeros((3, 32, 32), np.uint8)})
    with pytest.raises(ConfigError, match=r"images are uint8 \(3, 32, 32\)"):
        prepare(name, tmp_path, manual_dir)


@pytest.mark.parametrize(
    ("builder", "classes"),
    [
        (moving_digits, lambda example: [example["label"] % 10]),
        (overlapping_digits, lambda example: [i for i in example["digits"] if i >= 0]),
    ],
)
def test_sets_made_of_digits_keep_the_splits_apart(tmp_path, manual_dir, builder, classes):
    """Of the digits of the test set, 3 to 5, training has none."""
    path, name = manual_dir / "mnist" / "mnist.npz", builder.Builder.name
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "y_train": 2 - arrays["y_train"] % 3})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder.Builder, "SPLITS", {"train": 5, "test": 4})
        assert prepare(name, tmp_path, manual_dir).splits == {"train": 5, "test": 4}
        for split, among in (("train", {0, 1, 2}), ("test", {3, 4, 5})):
            records = sources.open_source(name, split, data_dir=tmp_path / "data").records
            assert {int(i) for row in range(4) for i in classes(records[row])} <= among


def test_an_interrupted_preparation_leaves_nothing(tmp_path, monkeypatch):
    original = digits.Builder._generate_examples

    def interrupted(self, *arguments):
        for place, item in enumerate(original(self, *arguments)):
            if place == 100:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(digits.Builder, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare("digits", tmp_path)
    assert not list((tmp_path / "data" / "digits").glob("*"))
    assert prepare("digits", tmp_path).splits["train"] == 1437


def test_a_killed_preparation_is_not_taken_for_a_whole_one(tmp_path):
    program = (
        "import os, sys\n"
        "from library.data import sources\n"
        "from library.data.builders import digits\n"
        "def killed(self, *arguments):\n"
        "    yield from ()\n"
        "    os._exit(9)\n"
        "digits.Builder._generate_examples = killed\n"
        "sources.prepare('digits', data_dir=sys.argv[1], progress=False)\n"
    )
    data_dir = str(tmp_path / "data")
    killed = subprocess.run([sys.executable, "-c", program, data_dir], env=environment())
    assert killed.returncode == 9
    assert list((tmp_path / "data" / "digits").glob("*incomplete*"))
    assert len(sources.open_source("digits", "test", data_dir=data_dir).records) == 360


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_whoever_prepares_second_takes_the_first_ones_copy(tmp_path, monkeypatch):
    original = digits.Builder._split_generators

    def overtaken(self, dl_manager):
        monkeypatch.setattr(digits.Builder, "_split_generators", original)
        prepare("digits", tmp_path)
        return original(self, dl_manager)

    monkeypatch.setattr(digits.Builder, "_split_generators", overtaken)
    assert prepare("digits", tmp_path).splits == {"train": 1437, "test": 360}
    assert [path.name for path in (tmp_path / "data" / "digits").iterdir()] == ["1.0.0"]


def test_find_prefers_the_data_sets_own_folder(tmp_path):
    for folder in (tmp_path, tmp_path / "a"):
        folder.mkdir(exist_ok=True)
        (folder / "f").touch()
    assert packed.find(tmp_path, "a", ["f"]) == tmp_path / "a"
    assert packed.find(tmp_path, "b", ["f"]) == tmp_path


COUNTS = {
    "cifar10_jpeg": {"train": 50000, "test": 10000},
    "mnist_npz": {"train": 60000, "test": 10000},
    "tinyimagenet20": {"train": 10000, "val": 1000},
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mnist_npz", marks=pytest.mark.full),
        pytest.param("cifar10_jpeg", marks=pytest.mark.full),
        "tinyimagenet20",
    ],
)
def test_the_real_files_where_there_are_any(tmp_path, name):
    builder = importlib.import_module(f"library.data.builders.{name}").Builder
    try:
        packed.find(prepared.DEFAULT_MANUAL_DIR, builder.FOLDER, builder.FILES)
    except ConfigError as missing:
        pytest.skip(f"the real data set is not at hand: {missing}")
    info = prepare(name, tmp_path)
    assert info.splits == COUNTS[name]
    for split, size in info.splits.items():
        records = sources.open_source(name, split, data_dir=tmp_path / "data").records
        examples = [records[row] for row in range(0, size, max(1, size // 500))]
        assert {int(example["label"]) for example in examples} == set(range(len(info.label_names)))
        assert {decoded(example).shape[:2] for example in examples} == {info.image_shape[:2]}


def chorale(*parts):
    """A score as music21 has it: each part is (length in quarters, [(offset, length, pitches)])."""
    made = []
    for length, found in parts:
        notes = [
            SimpleNamespace(
                offset=offset,
                quarterLength=quarters,
                pitches=[SimpleNamespace(midi=midi) for midi in pitches],
            )
            for offset, quarters, pitches in found
        ]
        flat = SimpleNamespace(notes=notes)
        made.append(SimpleNamespace(highestTime=length, flatten=lambda flat=flat: flat))
    key = SimpleNamespace(tonic=SimpleNamespace(name="E-"), mode="major")
    return SimpleNamespace(parts=made, analyze=lambda _: key)


def test_chorales_are_made_from_the_corpus(tmp_path, monkeypatch):
    rest = (1.0, [])
    voices = (1.0, [(0.0, 0.5, [60]), (0.5, 0.25, [60])]), (1.5, [(0.25, 1.25, [50, 55])])
    scores = {
        "/c/b.mxl": chorale(*voices, rest, rest),
        "/c/a.mxl": chorale(*[(0.5, [(0.0, 0.5, [40 + i])]) for i in range(4)]),
        "/c/three.mxl": chorale(rest, rest, rest),
    }
    corpora = SimpleNamespace(CoreCorpus=lambda: SimpleNamespace(getComposer=lambda _: scores))
    corpus = SimpleNamespace(corpora=corpora, parse=scores.get)
    music21 = SimpleNamespace(__version__=bach_chorales.MUSIC21, corpus=corpus)
    monkeypatch.setitem(sys.modules, "music21", music21)
    bach_chorales.make(tmp_path / "manual" / "bach_chorales")
    options = dict(data_dir=tmp_path, manual_dir=tmp_path / "manual", progress=False)
    assert sources.prepare("bach_chorales", **options).splits == {"train": 1, "test": 1}
    first = sources.open_source("bach_chorales", "test", data_dir=tmp_path).records[0]
    np.testing.assert_array_equal(first["series"], [[40, 41, 42, 43]] * 2)
    np.testing.assert_array_equal(first["onset"], [[1] * 4, [0] * 4])
    second = sources.open_source("bach_chorales", "train", data_dir=tmp_path).records[0]
    np.testing.assert_array_equal(second["series"][:, 0], [60, 60, 60, -1, -1, -1])
    np.testing.assert_array_equal(second["series"][:, 1], [-1, 55, 55, 55, 55, 55])
    np.testing.assert_array_equal(
        second["onset"][:, :2].T, [[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    )
    music21.__version__ = "9.0.0"
    with pytest.raises(
        ConfigError, match=r"music21 has version 9\.0\.0, and its corpus may differ"
    ):
        bach_chorales.make(tmp_path)
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(ConfigError, match=r"music21 is missing: pip install music21==10\.5\.1"):
        bach_chorales.make(tmp_path)


def test_a_set_that_the_user_makes_says_how(tmp_path):
    with pytest.raises(ConfigError, match=r"To get them: `pip install music21==10\.5\.1`, then"):
        sources.prepare("bach_chorales", data_dir=tmp_path, manual_dir=tmp_path, progress=False)
