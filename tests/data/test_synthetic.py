import pickle

import numpy as np
import pytest

from library.config import ConfigError
from library.data import sources


def test_noise_is_a_function_of_split_and_row():
    whole = sources.open_source("synthetic/9x4", "test")
    joined = sources.open_source("synthetic/9x4", "train[:3]+test[5:7]")
    assert len(whole.records) == 10_000
    assert len(joined.records) == 5
    assert whole.label_names == ("0", "1", "2", "3")
    for row in (5, 6):
        again = joined.records[row - 2]
        np.testing.assert_array_equal(again["image"], whole.records[row]["image"])
        assert again["label"] == whole.records[row]["label"] == row % 4
    image = whole.records[5]["image"]
    assert image.shape == (9, 9, 3)
    assert image.dtype == np.uint8
    for other in (whole.records[6], joined.records[0]):
        assert not np.array_equal(other["image"], image)
    assert joined.records[0]["label"].dtype == np.int32
    assert joined.describe(3) == "synthetic/9x4 test[5]"


def test_noise_is_uniform():
    records = sources.open_source("synthetic/64x10x1", "train").records
    values = np.stack([records[row]["image"] for row in range(16)])
    assert values.shape == (16, 64, 64, 1)
    counts = np.bincount(values.ravel(), minlength=256)
    # 256 values an average of 256 times each: 5 standard deviations are 80.
    assert counts.min() > 256 - 80
    assert counts.max() < 256 + 80


def test_sources_of_noise_are_picklable():
    source = sources.open_source("synthetic/8x2", "train[:10]")
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.records[7]["image"], source.records[7]["image"])
    with pytest.raises(IndexError, match="row 10 of 10"):
        again.records[10]
    assert len(list(again.records)) == 10


def test_what_it_holds():
    info = sources.info("synthetic/8x2")
    assert info.splits == {"train": 1_000_000, "test": 10_000}
    assert info.image_shape == (8, 8, 3)
    assert str(info) == "synthetic/8x2 in memory (train 1,000,000, test 10,000)"
    with pytest.raises(ConfigError, match="nothing to prepare"):
        sources.prepare("synthetic/8x2")


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("synthetic", "train", "unknown dataset 'synthetic': write 'synthetic/224x1000'"),
        ("synthetic/0x10", "train", "write 'synthetic/224x1000'"),
        ("synthetic/32x10x2", "train", "write 'synthetic/224x1000'"),
        ("synthetic/32x10", "validation", "unknown split 'validation' of synthetic/32x10"),
        ("synthetic/32x10", "train[:0]", "is empty"),
        ("synthetik/32x10", "train", "unknown dataset 'synthetik/32x10': did you mean 'synth"),
    ],
)
def test_what_is_not_understood_is_an_error(tmp_path, name, split, message):
    with pytest.raises(ConfigError, match=message):
        sources.open_source(name, split, data_dir=str(tmp_path))
