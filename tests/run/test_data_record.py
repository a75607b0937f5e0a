"""The record of a run's data: what is written is what is read, and what differs is named."""

import json

import numpy as np
import pytest

from library.config import ConfigError
from library.data import sources
from library.data.fingerprints import Fingerprint, Part
from library.run import data_record, workdir
from library.run.data_record import DataRecord, Feature
from tests import tiny

CONFIG = tiny.config()
IMAGE = Feature((8, 8, 1), "uint8")
RECORD = DataRecord(
    features={"image": IMAGE, "label": Feature((), "int32")},
    label_names=("cat", "dog\udcff", "é"),
    num_examples=20,
    fingerprints={"train": Fingerprint("images", {"cat": Part(20, "ab", "cd")})},
    tokenizer={"spec": {"name": "character"}, "fitted": {"characters": ["\n", "\ud800", "\udc00"]}},
    kinds={"image": "image", "label": "label"},
    evaluated={"image": Feature((9, 9, 1), "uint8")},
)


def kept(folder, record=RECORD, **changes):
    workdir.open_workdir(folder, tiny.config(**changes), {})
    data_record.write(folder, record)
    return folder


def test_what_is_written_is_what_is_read(tmp_path):
    assert data_record.read(kept(tmp_path)) == RECORD._replace(workdir=str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "data.json"]
    bare = DataRecord({"image": IMAGE})
    data_record.write(tmp_path, bare)
    assert data_record.read(tmp_path) == bare._replace(workdir=str(tmp_path))
    assert RECORD.suffices
    assert not bare.suffices


def test_an_older_run_has_none(tmp_path):
    assert data_record.read(tmp_path / "nowhere") is None
    assert data_record.of_run(tmp_path, CONFIG) is None
    assert f"{tmp_path} has no data.json" in data_record.unknown(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, ""),
        ("features", None),
        ("features", {"x": [1]}),
        ("fingerprints", {"train": {}}),
        ("kinds", ["image"]),
        ("evaluated", {"x": 1}),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, key, value):
    path = kept(tmp_path) / "data.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}) if key else value)
    with pytest.raises(ConfigError, match=r"data\.json is damaged") as caught:
        data_record.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_of_several_processes_the_first_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(workdir.jax, "process_index", lambda: 1)
    data_record.write(tmp_path, RECORD)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "compared"),
    [
        (dict(), {"train", "features"}),
        (
            dict(dataset=dict(data_dir="/elsewhere", cache="device", batch_size=8)),
            {"train", "features"},
        ),
        (dict(dataset=dict(test="test[:5]")), {"train", "features"}),
        (dict(preprocess=[dict(name="decode")]), {"train"}),
        (dict(dataset=dict(context=9)), {"train"}),
        (dict(dataset=dict(train="train[:5]")), set()),
        (dict(dataset=dict(name="others")), set()),
        (dict(dataset=dict(classes=["dog"])), set()),
    ],
)
def test_data_that_a_config_does_not_name_are_compared_with_nothing(tmp_path, changes, compared):
    found = data_record.of_run(kept(tmp_path), tiny.config(**changes))
    assert {*found.fingerprints} | ({"features"} if found.features else set()) == compared
    assert found.suffices == ("features" in compared)
    assert found.label_names == RECORD.label_names
    assert found.tokenizer == RECORD.tokenizer


def check(names, stage="train", images=20, **changes):
    record = RECORD._replace(workdir="runs/a", label_names=("cat", "dog", "emu", "fox", "gnu"))
    print_ = Fingerprint("images", {"cat": Part(images, "ab", "cd")})
    source = sources.Source([], names, str, fingerprint=lambda: print_)
    data_record.check_source(record._replace(**changes), stage, source)


def test_other_classes_are_named():
    check(("cat", "dog", "emu", "fox", "gnu"))
    with pytest.raises(ConfigError) as caught:
        check(("cat", "emu", "dog", "fox", "gnu"))
    assert str(caught.value) == (
        "the training data differ from those of the run in runs/a: class 1 was 'dog' and is 'emu'; "
        "class 2 was 'emu' and is 'dog'. Restore the old data, or start another run"
    )
    with pytest.raises(
        ConfigError, match="there were 5 classes, and now there are 4; class 1 was 'dog' and is"
    ):
        check(("cat", "emu", "fox", "gnu"))
    with pytest.raises(
        ConfigError, match="class 1 was 'dog' and is 'c'; 3 more classes have other"
    ):
        check(tuple("bcdef"))
    with pytest.raises(ConfigError, match="there were 5 classes, and now there are 0"):
        check(None)


def test_other_examples_are_named():
    with pytest.raises(ConfigError, match=r"the training data .*: 20 images were there, now 1,030"):
        check(("cat", "dog", "emu", "fox", "gnu"), images=1030)
    prints = {"test": RECORD.fingerprints["train"]}
    with pytest.raises(ConfigError, match=r"the test data .*; cat changed.*config\.splits"):
        check(None, "test", images=21, fingerprints=prints)
    # What is not known is compared with nothing.
    check(None, "test", images=21)
    check(None, images=21, fingerprints={})
    data_record.check_source(None, "train", None)


def test_other_features_are_named():
    image, label = np.zeros((8, 8, 1), np.uint8), np.zeros((), np.int32)
    data_record.check_features(RECORD, {"image": image, "label": label, "more": label})
    with pytest.raises(
        ConfigError, match=r"'image' was uint8 \(8, 8, 1\) and is uint8 \(4, 8, 1\)"
    ):
        data_record.check_features(RECORD, {"image": image[:4], "label": label})
    with pytest.raises(ConfigError, match=r"'label' was int32 \(\) and is float64 \(\)"):
        data_record.check_features(RECORD, {"image": image, "label": np.float64(1)})
    with pytest.raises(ConfigError, match="'label' is gone"):
        data_record.check_features(RECORD, {"image": image})
    data_record.check_features(None, {})


def test_another_tokenizer_is_refused():
    assert data_record.fitted(RECORD, {"name": "character"}) == RECORD.tokenizer["fitted"]
    assert data_record.fitted(None, {"name": "byte"}) is None
    assert data_record.fitted(DataRecord({}), {"name": "byte"}) is None
    with pytest.raises(ConfigError, match=r"'byte'.* was trained with \{'name': 'character'\}"):
        data_record.fitted(RECORD, {"name": "byte"})


def test_processes_compare_what_they_find(monkeypatch):
    first = []

    def gather(own):
        first.append(own)
        return np.stack([first[0], own])

    monkeypatch.setattr(data_record.multihost_utils, "process_allgather", gather)
    data_record.check_processes(RECORD)
    assert not first
    monkeypatch.setattr(data_record.jax, "process_count", lambda: 2)
    data_record.check_processes(RECORD)
    data_record.check_processes(RECORD._replace(workdir="mounted elsewhere"))
    with pytest.raises(ConfigError, match="the data of process 1 differ from those of process 0"):
        data_record.check_processes(RECORD._replace(num_examples=21))
