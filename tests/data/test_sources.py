"""Sources by name and split: TFDS data sets, arrays in memory, and what is refused."""

import concurrent.futures
import functools
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cloudpickle
import grain
import numpy as np
import pytest
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import pipeline, prepared, preprocessing, sources, splits, whole_splits
from library.data.examples import TfdsRecords
from library.data.preprocessing import CorruptExample

SIZES = {"train": 1437, "test": 360}


@pytest.fixture(scope="module")
def digits_dir(tmp_path_factory):
    """A directory in which digits are prepared, as by their first use."""
    data_dir = str(tmp_path_factory.mktemp("digits"))
    sources.open_source("digits", "train", data_dir=data_dir)
    return data_dir


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])


def flipped(path):
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 2, len(content) // 2 + 400)
    content[middle] = (255 - np.frombuffer(content[middle], np.uint8)).tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, flipped, Path.unlink])
def test_a_damaged_set_says_how_to_prepare_it_anew(digits_dir, tmp_path, damage):
    data_dir = shutil.copytree(digits_dir, tmp_path / "data")
    damage(next(data_dir.glob("digits/*/*-train.array_record*")))
    source = sources.open_source("digits", "train", data_dir=str(data_dir))
    command = f"python -m experiments.prepare --dataset=digits --data_dir={data_dir}"
    remedy = f"prepare it again: delete {data_dir}/digits/1.0.0 and run {command}"
    message = rf"digits train\[\d+\]: the example is damaged \(.*\): {re.escape(remedy)} \("
    decode = preprocessing.decode(channels=1)
    with pytest.raises(CorruptExample, match=message):
        whole_splits.load_all(pipeline.make_loader(source, decode, seed=0))
    if damage is flipped:
        mask = whole_splits.load_all(
            pipeline.make_loader(source, decode, seed=0, on_corrupt="skip")
        )
        assert 1430 < mask["mask"].sum() < 1437


class Shapes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Stands for a data set of TFDS's, whose features have names of their own."""

    VERSION = tfds.core.Version("2.1.0")
    url_infos = {}

    def _info(self):
        features = {
            "photo": tfds.features.Image(shape=(None, None, 3)),
            "outline": tfds.features.Image(shape=(None, None, 1)),
            "species": tfds.features.ClassLabel(names=["circle", "square"]),
            "colour": tfds.features.ClassLabel(num_classes=5),
            "file_name": tfds.features.Text(),
            "caption": tfds.features.Text(),
            "area": tfds.features.Scalar(np.float32),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("photo", "species"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._examples(8, 0), "unlabelled": self._examples(2, -1)}

    def _examples(self, count, label):
        import io

        for row in range(count):
            yield (
                row,
                {
                    "photo": io.BytesIO(b"photo %d" % row),
                    "outline": io.BytesIO(b"outline %d" % row),
                    "species": label or row % 2,
                    "colour": row % 5,
                    "file_name": f"{row}.png",
                    "caption": f"number {row}",
                    "area": row / 2,
                },
            )

    def _generate_examples(self):
        raise NotImplementedError


@pytest.fixture
def shapes_dir(tmp_path):
    Shapes(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("split", "parts"),
    [
        ("train", [("train", 0, 1437)]),
        ("train[:90%]", [("train", 0, 1293)]),
        ("train[90%:]", [("train", 1293, 1437)]),
        ("train[12.5%:50%]", [("train", 180, 718)]),
        ("train[1_000:]", [("train", 1000, 1437)]),
        ("train[-37:]", [("train", 1400, 1437)]),
        ("train[:-37]", [("train", 0, 1400)]),
        ("train[ 3 : 5 ] + test", [("train", 3, 5), ("test", 0, 360)]),
        ("test+train[:1]+test[:1]", [("test", 0, 360), ("train", 0, 1), ("test", 0, 1)]),
    ],
)
def test_splits_resolve_to_rows(split, parts):
    resolved = splits.resolve(split, SIZES, "digits")
    assert list(map(tuple, resolved)) == parts
    rows = [(name, row) for name, start, stop in parts for row in range(start, stop)]
    assert [splits.locate(resolved, row) for row in range(len(rows))] == rows


@pytest.mark.parametrize("percent", range(1, 100, 7))
def test_complementary_percentages_make_a_whole(percent):
    (_, _, stop), (_, start, _) = splits.resolve(f"a[:{percent}%]+a[{percent}%:]", {"a": 997}, "a")
    assert stop == start == round(percent * 997 / 100)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("tset", "unknown split 'tset' of digits: did you mean 'test'?"),
        ("train+vall", "unknown split 'vall' of digits"),
        ("train[:0]", r"'train\[:0\]' of digits is empty \(train has 1,437 examples\)"),
        ("train[50%:50%]", "is empty"),
        ("train[900:100]", "is empty"),
        ("train[:5000]", "5000 is beyond its 1,437 examples"),
        ("train[:101%]", "101% is beyond"),
        ("train[half:]", "'half' is not a bound"),
        ("train[0.5:]", "'0.5' is not a bound"),
        ("train[:90%", "is not understood: write 'train'"),
        ("train[5]", "is not understood"),
        ("train+", "is not understood"),
        ("", "is not understood"),
    ],
)
def test_splits_that_are_refused(split, message):
    with pytest.raises(ConfigError, match=message):
        splits.resolve(split, SIZES, "digits")


def test_digits_prepare_themselves(digits_dir, capsys):
    source = sources.open_source("digits", "test", data_dir=digits_dir)
    assert len(source.records) == 360
    assert source.label_names == tuple("0123456789")
    example = source.records[0]
    assert set(example) == {"image", "label"}
    assert example["image"].startswith(b"\x89PNG")
    assert example["label"].dtype == np.int32
    assert source.describe(0).startswith("digits test[0] (")


def test_slices_of_a_data_set_are_its_rows_in_order(digits_dir):
    whole = sources.open_source("digits", "train", data_dir=digits_dir)
    joined = sources.open_source("digits", "test[:2]+train[:1%]", data_dir=digits_dir)
    assert len(joined.records) == 2 + 14
    for row in range(14):
        assert joined.records[2 + row] == whole.records[row]
        assert joined.describe(2 + row) == whole.describe(row)
    assert joined.describe(1).startswith("digits test[1] (")


@pytest.mark.parametrize("row", [-1, 360, 10**9])
def test_rows_outside_raise_index_error(digits_dir, row):
    records = sources.open_source("digits", "test", data_dir=digits_dir).records
    with pytest.raises(IndexError, match=f"row {row} of 360"):
        records[row]


def test_records_are_iterable_by_the_sequence_protocol(digits_dir):
    records = sources.open_source("digits", "test", data_dir=digits_dir).records
    assert len(list(iter(records))) == 360


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_sources_are_picklable(digits_dir, pickler):
    source = sources.open_source("digits", "train[:90%]", data_dir=digits_dir)
    source.records[7]
    text = pickler.dumps(source)
    assert len(text) < 20_000
    again = pickle.loads(text)
    assert again.records[1292] == source.records[1292]
    assert again.describe(5) == source.describe(5)
    assert again.label_names == source.label_names


def test_sources_may_be_read_by_many_threads_at_once(digits_dir):
    source = sources.open_source("digits", "train", data_dir=digits_dir)
    expected = [source.records[row]["image"] for row in range(200)]
    fresh = sources.open_source("digits", "train", data_dir=digits_dir)
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        for _ in range(5):
            images = threads.map(lambda row: fresh.records[row]["image"], range(200))
            assert list(images) == expected


def test_grain_reads_sources_in_threads(digits_dir):
    source = sources.open_source("digits", "test", data_dir=digits_dir)
    read = grain.MapDataset.source(source.records).to_iter_dataset()
    for row, example in zip(range(50), read):
        assert example == source.records[row]


def test_opening_reads_one_record_and_not_all(digits_dir, monkeypatch):
    read = []
    original = TfdsRecords.__getitem__
    monkeypatch.setattr(
        TfdsRecords,
        "__getitem__",
        lambda self, row: read.append(row) or original(self, row),
    )
    sources.open_source("digits", "train", data_dir=digits_dir)
    assert read == [0]


def test_features_get_the_names_of_the_batch(shapes_dir):
    source = sources.open_source("shapes", "train", data_dir=shapes_dir)
    assert source.label_names == ("circle", "square")
    kinds = dict(image="image", outline="image", label="label", colour="label", file_name="id")
    assert source.kinds == kinds | dict(caption="text", area="array")
    seen = set()
    for row in range(8):
        example = source.records[row]
        assert set(example) == {"image", "label", "outline", "colour", "caption", "area"}
        number = int(example["image"].split()[1])
        seen.add(number)
        assert example["outline"] == b"outline %d" % number
        assert example["label"] == number % 2
        assert example["colour"] == number % 5
        assert example["area"] == number / 2
        assert source.describe(row) == f"shapes train[{row}] ({number}.png)"
    assert seen == set(range(8))


def test_data_sets_of_tfds_are_opened_from_their_files_alone(shapes_dir):
    for name in ("shapes", "shapes:2.1.0"):
        info = sources.info(name, data_dir=shapes_dir)
        assert info.splits == {"train": 8, "unlabelled": 2}
        assert info.label_names == ("circle", "square")
        assert info.image_shape is None
    source = sources.open_source("shapes", "train", data_dir=shapes_dir)
    assert pickle.loads(pickle.dumps(source)).records[3] == source.records[3]


def test_a_split_without_labels_is_refused(shapes_dir):
    with pytest.raises(ConfigError, match=r"label -1 is out of range \(valid: 0 to 1\)"):
        sources.open_source("shapes", "unlabelled", data_dir=shapes_dir)


def test_a_copy_without_random_access_is_refused(shapes_dir):
    path = Path(shapes_dir) / "shapes" / "2.1.0" / "dataset_info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fileFormat": "tfrecord"}))
    for call in (
        lambda: sources.open_source("shapes", "train", data_dir=shapes_dir),
        lambda: sources.prepare("shapes", data_dir=shapes_dir),
    ):
        with pytest.raises(ConfigError, match=r"prepared as tfrecord.*file_format=array_record"):
            call()


def test_preparing_again_does_nothing_and_says_so(digits_dir):
    said = []
    before = snapshot(digits_dir)
    info = sources.prepare("digits", data_dir=digits_dir, say=said.append)
    assert said == [f"already prepared: {info}"]
    assert str(info) == f"digits in {digits_dir}/digits/1.0.0 (train 1,437, test 360)"
    assert snapshot(digits_dir) == before


def snapshot(directory):
    return {path: path.stat().st_mtime_ns for path in Path(directory).rglob("*")}


def test_preparing_says_what_it_did_and_shows_progress(tmp_path, capfd):
    said = []
    info = sources.prepare("digits", data_dir=tmp_path, say=said.append)
    output = capfd.readouterr()
    assert "examples" in output.err
    assert output.out == ""
    assert said[0].startswith("prepared in ")
    assert said[0].endswith(str(info))


def test_a_data_set_that_is_not_prepared_names_the_command(tmp_path):
    command = f"python -m experiments.prepare --dataset=cifar10 --data_dir={tmp_path}"
    with pytest.raises(ConfigError, match=f"'cifar10' is not prepared in {tmp_path}: run\n") as e:
        sources.open_source("cifar10", "train", data_dir=str(tmp_path))
    assert str(e.value).splitlines()[1].strip() == command


@pytest.mark.parametrize("given", [None, "/some/where"])
def test_the_command_names_the_manual_directory(tmp_path, monkeypatch, given):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(prepared, "DEFAULT_MANUAL_DIR", tmp_path / "absent")
    with pytest.raises(ConfigError) as error:
        sources.open_source("mnist_npz", "train", manual_dir=given)
    assert f"not prepared in {tmp_path / 'data'}" in str(error.value)
    command = "python -m experiments.prepare --dataset=mnist_npz"
    assert str(error.value).endswith(command + (f" --manual_dir={given}" if given else ""))


def test_the_data_directory_is_that_of_tfds(tmp_path, monkeypatch, digits_dir):
    monkeypatch.setenv("TFDS_DATA_DIR", digits_dir)
    assert sources.info("digits").path == f"{digits_dir}/digits/1.0.0"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.info("digits").path == f"{tmp_path}/tensorflow_datasets/digits/1.0.0"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("digit", "digits"),
        ("CIFAR10", "cifar10"),
        ("cifar10jpeg", "cifar10_jpeg"),
        ("imagenet2021", "imagenet2012"),
        ("fodler", "folder"),
        ("folder/train", "folder"),
        ("nonne", "none"),
    ],
)
def test_unknown_data_sets_name_the_nearest(tmp_path, name, suggestion):
    for call in (
        lambda: sources.open_source(name, "train", data_dir=str(tmp_path)),
        lambda: sources.prepare(name, data_dir=str(tmp_path)),
    ):
        with pytest.raises(
            ConfigError, match=f"unknown dataset '{name}': did you mean '{suggestion}'"
        ):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [3, None, "../digits", "", "packed", "a b"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(ConfigError, match=r"unknown dataset|is a string"):
        sources.open_source(name, "train", data_dir=str(tmp_path))


def test_options_of_folders_are_for_folders(digits_dir):
    for name in ("digits", "text", "synthetic/8x4", "none"):
        for given in (dict(classes=["1"]), dict(seed=3)):
            for call in (sources.info, functools.partial(sources.open_source, split="train")):
                message = f"'{name}' takes no .*: only 'folder' and 'segmentation_folder' do"
                with pytest.raises(ConfigError, match=message):
                    call(name, data_dir=digits_dir, **given)


@pytest.mark.parametrize("name", ["folder", "text", "synthetic/8x4", "none"])
def test_what_needs_no_preparation_says_so(name, digits_dir):
    with pytest.raises(ConfigError, match="nothing to prepare"):
        sources.prepare(name, data_dir=digits_dir)


def test_no_data_are_a_dataset_without_splits():
    assert len(sources.open_source("none", "train").records) == 2**32 - 1
    assert sources.info("none").splits == {}


@pytest.mark.parametrize("label", [7, np.int64(7), np.uint8(7), np.array(7)])
def test_a_whole_number_is_a_label_of_32_bits(label):
    example = TfdsRecords([{"label": label}], {})[0]
    assert (type(example["label"]), example["label"]) == (np.int32, 7)
    found = TfdsRecords([{"label": np.float32(7)}, {"label": np.eye(2)}, {}], {})
    assert [type(each.get("label")) for each in found] == [np.float32, np.ndarray, type(None)]


@pytest.mark.parametrize("named", [True, False])
def test_a_package_that_preparing_needs_is_named(tmp_path, monkeypatch, named):
    class Needy:
        def download_and_prepare(self, **_):
            try:
                raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow.io")
            except ModuleNotFoundError as error:
                raise (error if named else ModuleNotFoundError("while encoding")) from error

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Needy())
    with pytest.raises(ConfigError, match=r"'cars196' with TFDS.* needs tensorflow: pip install"):
        sources.prepare("cars196", data_dir=str(tmp_path), say=lambda _: None)


def test_arrays_in_memory():
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    source = sources.from_arrays(
        {"image": images, "label": np.array([1, 0, 1])}, label_names=("no", "yes"), name="toy"
    )
    assert len(source.records) == 3
    np.testing.assert_array_equal(source.records[2]["image"], images[2])
    assert source.records[2]["label"] == 1
    assert source.records[2]["label"].dtype == np.int32
    assert source.describe(2) == "toy[2]"
    assert pickle.loads(pickle.dumps(source)).records[1]["label"] == 0
    assert len(list(source.records)) == 3
    with pytest.raises(IndexError):
        source.records[-1]


def test_arrays_of_scores_stay_floating_point():
    source = sources.from_arrays({"label": np.eye(3, dtype=np.float32)}, label_names="abc")
    np.testing.assert_array_equal(source.records[1]["label"], [0, 1, 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "features need the same length"),
        ({"label": np.zeros(0, int)}, "1 or more, got {'label': 0}"),
        ({"image": np.zeros((2, 1)), "label": np.zeros(3, int)}, "got {'image': 2, 'label': 3}"),
        ({"label": np.array([0, 2])}, r"label 2 of image 1 is out of range \(valid: 0 to 1\)"),
        ({"label": np.array([0, -1])}, "label -1 of image 1 is out of range"),
    ],
)
def test_arrays_that_are_refused(arrays, message):
    with pytest.raises(ConfigError, match=message):
        sources.from_arrays(arrays, label_names=("no", "yes"), name="toy")


def test_neither_tensorflow_nor_scipys_filters_are_imported(tmp_path):
    program = (
        "import sys\n"
        "from library.config import ConfigError\n"
        "from library.data import preprocessing, sources\n"
        "source = sources.open_source('digits', 'train[:10%]', data_dir=sys.argv[1])\n"
        "preprocessing.decode()(source.records[3], None)\n"
        "source.describe(3)\n"
        "sources.prepare('digits', data_dir=sys.argv[1])\n"
        "for name in ('cifar10', 'nonsense'):\n"
        "    try:\n"
        "        sources.open_source(name, 'train', data_dir=sys.argv[1])\n"
        "    except ConfigError:\n"
        "        pass\n"
        "for name in ('tensorflow', 'scipy.signal'):\n"
        "    assert name not in sys.modules, f'{name} was imported'\n"
    )
    # A module that can be imported stands for TensorFlow, lest it be absent for want of one.
    (tmp_path / "tensorflow.py").touch()
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
