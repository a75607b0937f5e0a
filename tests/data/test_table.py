"""Tables of one's own: what each column becomes, and what is said of a bad line."""

import numpy as np
import pytest

from library.config import ConfigError
from library.data import sources, table
from library.run import data
from library.run.sections import Dataset, Split

COLUMNS = dict(inputs=["b", "a"], target="y")
LINES = ("a,b,y,kind", "1,10,0.5,x", "2,20,1.5,w", "3,30,2.5,x")


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def opened(path, columns=COLUMNS, split="train", name="table"):
    return sources.open_source(name, split, data_dir=str(path), columns=columns)


def test_columns_become_features_and_targets_in_an_order_of_their_own(tmp_path):
    source = opened(write(tmp_path / "t.csv", *LINES))
    assert source.kinds == {"features": "array", "target": "target"}
    found = {}
    for row in range(3):
        example = source.records[row]
        line = int(source.describe(row).rpartition(" ")[2])
        found[line] = (example["features"].tolist(), example["target"].tolist())
    assert found == {2: ([10, 1], [0.5]), 3: ([20, 2], [1.5]), 4: ([30, 3], [2.5])}
    again = opened(tmp_path / "t.csv")
    assert [source.describe(row) for row in range(3)] == [again.describe(row) for row in range(3)]
    assert again.fingerprint() == source.fingerprint()
    changed = opened(write(tmp_path / "t.csv", *LINES[:3], "3,31,2.5,x"))
    assert changed.fingerprint() != source.fingerprint()


def test_rows_sorted_by_class_are_mixed(tmp_path):
    lines = [f"{i},{'a' if i < 100 else 'b'}" for i in range(200)]
    source = opened(write(tmp_path / "t.csv", "x,y", *lines), dict(inputs=["x"], label="y"))
    first = [source.records[row]["label"] for row in range(100)]
    # Of 200 rows in a random order, the first half has 50 of each class, give or take 3.5.
    assert 35 < sum(first) < 65


def test_labels_are_numbered_by_their_names_over_all_splits(tmp_path):
    write(tmp_path / "train.csv", *LINES)
    write(tmp_path / "test.csv", LINES[0], "4,40,0,v")
    columns = dict(inputs=["a"], label="kind")
    train, test = (opened(tmp_path, columns, split) for split in ("train", "test"))
    assert train.label_names == test.label_names == ("v", "w", "x")
    assert sorted(train.records[row]["label"] for row in range(3)) == [1, 2, 2]
    assert test.records[0]["label"] == 0
    assert train.kinds["label"] == "label"


def test_a_table_with_time_is_a_series_with_windows(tmp_path):
    days = [f"2024-01-{day:02d},{day},{-day}" for day in range(1, 31)]
    path = write(tmp_path / "t.csv", "date,up,down", *days)
    columns = dict(inputs=["up", "down"], time="date")
    counts = {}
    for split in ("train", "val", "test"):
        counts[split] = len(opened(path, columns, split, "windows/2x1/table").records)
    # 30 days are 21, 3 and 6; the first two of training are known only.
    assert counts == {"train": 19, "val": 3, "test": 6}
    last = opened(path, columns, "test", "windows/2x1/table").records[5]
    mean, std = np.arange(1, 22).mean(), np.arange(1, 22).std()
    expected = (np.array([[28, 28], [29, 29]]) * [1, -1] - mean * np.array([1, -1])) / std
    np.testing.assert_allclose(last["series"], expected, rtol=1e-5)
    np.testing.assert_allclose(last["target"], (30 - mean) / std * np.array([1, -1]), rtol=1e-5)
    for other, said in ((COLUMNS, "need inputs, all of which"), (None, "needs columns")):
        with pytest.raises(ConfigError, match=said):
            opened(path, other, name="windows/2x1/table")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("1,nan,3,x",), "t.csv, line 2: b is 'nan', expected a finite number"),
        (("1,2,3,x", "1,,3,x"), "t.csv, line 3: b is '', expected a finite number"),
        (("1,2,3,x", "1,2"), "t.csv, line 3: 2 cells, expected 4 as in line 1"),
        ((), "t.csv has no rows below its first line"),
        (("1,2,inf,x",), "line 2: y is 'inf'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, lines, said):
    with pytest.raises(ConfigError, match=said):
        opened(write(tmp_path / "t.csv", LINES[0], *lines))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("5,1", "5,2"), "t.csv, line 3: time '5' is not after the time of the row before"),
        (("2024-01-02,1", "2024-01-01,2"), "line 3: time '2024-01-01' is not after"),
        (("soon,1",), "line 2: time is 'soon', expected a number or a date"),
    ],
)
def test_time_rises(tmp_path, lines, said):
    with pytest.raises(ConfigError, match=said):
        opened(write(tmp_path / "t.csv", "time,x", *lines), dict(inputs=["x"], time="time"))


def test_time_rises_from_file_to_file(tmp_path):
    write(tmp_path / "train.csv", "time,x", "1,1", "2,1")
    write(tmp_path / "test.csv", "time,x", "2,1")
    with pytest.raises(ConfigError, match=r"test.csv, line 2: time '2' is not after"):
        opened(tmp_path, dict(inputs=["x"], time="time"))


def test_bad_files_and_columns_are_named(tmp_path):
    path = write(tmp_path / "t.csv", *LINES)
    with pytest.raises(ConfigError, match=r"t.csv, line 1: no column 'kinds': did you mean 'kind'"):
        opened(path, dict(inputs=["a"], label="kinds"))
    for columns, said in (
        (None, "needs columns=dict"),
        (dict(inputs=[]), "name one column or more"),
        (dict(inputs=["a"], target="a"), "'a' is named twice"),
        (dict(inputs=["a"], target="y", label="kind"), "name one of them"),
        (dict(input=["a"]), "did you mean 'inputs'"),
    ):
        with pytest.raises(ConfigError, match=said):
            opened(path, columns)
    with pytest.raises(ConfigError, match="no such file or directory"):
        opened(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"no .*train.csv; name a CSV file"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match="'digits' takes no columns: only 'table' does"):
        opened(path, name="digits")
    path.write_bytes("a,b,y\n1,2,3\n1,2,é\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"t.csv, line 3: not UTF-8 \(byte 0xe9\)"):
        opened(path)
    with pytest.raises(ConfigError, match="line 1: two columns are called 'a'"):
        opened(write(path, "a,a", "1,2"))


def test_a_run_hands_its_columns_to_its_own_table_alone(tmp_path, monkeypatch):
    path, asked = write(tmp_path / "t.csv", *LINES), []
    section = Dataset(2, name="table", data_dir=str(path), columns=COLUMNS)
    assert len(data._open(section, Split("train")).records) == 3
    real = sources.open_source
    monkeypatch.setattr(
        sources,
        "open_source",
        lambda *a, **given: asked.append(given) or real("synthetic/4x2", a[1]),
    )
    data._open(section, Split("test", dataset="digits"))
    assert "columns" not in asked[0]
    assert table.SPLITS == ("train", "val", "test")
