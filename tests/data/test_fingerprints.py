"""A split has the same fingerprint wherever it lies, and another one when it changes."""

import io
import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from library.data import fingerprints, sources
from library.data.fingerprints import Fingerprint, Part, differences, of_records


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def of_folder(root, split="train", **options):
    return sources.open_source("folder", split, data_dir=str(root), **options).fingerprint()


@pytest.fixture
def pets(tmp_path):
    for name in ("cat", "dog"):
        for i in range(5):
            path = tmp_path / "pets" / "train" / name / "more" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 10 * i + len(name)).save(path)
    return tmp_path / "pets"


def test_a_folder_may_move(pets, tmp_path):
    before = of_folder(pets)
    assert before.unit == "images"
    assert {name: part.count for name, part in before.parts.items()} == {"cat": 5, "dog": 5}
    shutil.copytree(pets, tmp_path / "elsewhere" / "animals")
    assert of_folder(tmp_path / "elsewhere" / "animals") == before
    shutil.copytree(pets / "train", pets / "test")
    assert of_folder(pets) == before
    assert str(tmp_path) not in repr(before)


def test_what_changed_in_a_folder_is_named(pets):
    before, cat = of_folder(pets), pets / "train" / "cat" / "more"
    original = (cat / "0.png").read_bytes()
    # As many bytes, one of them another.
    (cat / "0.png").write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    assert differences(before, of_folder(pets)) == ["cat changed"]
    (cat / "0.png").write_bytes(original + b" ")
    assert differences(before, of_folder(pets)) == ["cat changed"]
    (cat / "0.png").unlink()
    assert differences(before, of_folder(pets)) == ["10 images were there, now 9", "cat changed"]
    (cat / "0.png").write_bytes(original)
    assert differences(before, of_folder(pets)) == []
    (pets / "train" / "cat").rename(pets / "train" / "feline")
    assert differences(before, of_folder(pets)) == ["cat is gone", "feline is new"]


def test_of_a_large_folder_names_and_sizes_count_and_the_contents_of_some_files(pets, monkeypatch):
    monkeypatch.setattr(fingerprints, "FILES", 3)
    before, records = (
        of_folder(pets),
        sources.open_source("folder", "train", data_dir=str(pets)).records,
    )
    for place, path in enumerate(records.paths):
        original = (pets / path).read_bytes()
        (pets / path).write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        assert (of_folder(pets) != before) == (place < 3)
        (pets / path).write_bytes(original + b" ")
        assert of_folder(pets) != before
        (pets / path).write_bytes(original)
    # A file more takes the place of another among those that are read; its class is not named.
    shutil.copy(pets / records.paths[0], pets / "train" / "dog" / "new.png")
    assert differences(before, of_folder(pets))[1:] == ["dog changed"]


def of_text(path, split="train"):
    return sources.open_source("text", split, data_dir=str(path)).fingerprint()


def test_a_text_is_known_by_all_of_it(tmp_path):
    for name in ("a.txt", "b/c.txt"):
        (tmp_path / "texts/train" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts/train" / name).write_text(f"the text of {name}")
    before = of_text(tmp_path / "texts")
    assert before.unit == "characters"
    shutil.copytree(tmp_path / "texts", tmp_path / "elsewhere")
    assert of_text(tmp_path / "elsewhere") == before
    # Documents are told apart by their order, not by their names.
    (tmp_path / "elsewhere/train/a.txt").rename(tmp_path / "elsewhere/train/aa.txt")
    assert differences(before, of_text(tmp_path / "elsewhere")) == []
    (tmp_path / "elsewhere/train/aa.txt").rename(tmp_path / "elsewhere/train/c.txt")
    assert differences(before, of_text(tmp_path / "elsewhere")) == [
        "train/a.txt is gone",
        "train/c.txt is new",
    ]
    (tmp_path / "texts/train/b/c.txt").write_text("the text of b/c,txt")
    assert differences(before, of_text(tmp_path / "texts")) == ["train/b/c.txt changed"]
    (tmp_path / "texts/train/a.txt").unlink()
    assert differences(before, of_text(tmp_path / "texts"))[1:] == ["train/a.txt is gone"]


def test_a_file_of_text_that_is_cut_into_splits(tmp_path):
    path = tmp_path / "verse.txt"
    path.write_text("abcdefghij" * 10)
    before = {split: of_text(path, split) for split in ("train", "test")}
    assert list(before["train"].parts) == ["verse.txt"]
    assert list(before["test"].parts) == ["verse.txt[90:]"]
    path.write_text("abcdefghij" * 9 + "abcdefghiJ")
    assert of_text(path) == before["train"]
    assert differences(before["test"], of_text(path, "test")) == ["verse.txt[90:] changed"]


def test_many_documents_are_one_part(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "DOCUMENTS", 2)
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"text {name} " * 9)
    before = of_text(tmp_path)
    assert [part.count for part in before.parts.values()] == [170]
    (tmp_path / "b.txt").write_text("text x " * 9)
    assert differences(before, of_text(tmp_path)) == ["3 documents changed"]


def png(value, **options):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8) + np.arange(8, dtype=np.uint8)).save(
        file, "PNG", **options
    )
    return file.getvalue()


def test_examples_of_a_prepared_set_are_known_by_what_they_hold():
    examples = [{"image": png(i), "label": np.int32(i)} for i in range(6)]
    before = of_records("pets/1.0.0 train", examples, 1000)
    # Written by another library, the same pixels take other bytes.
    again = [{**example, "image": png(i, compress_level=0)} for i, example in enumerate(examples)]
    assert again[0]["image"] != examples[0]["image"]
    assert of_records("pets/1.0.0 train", again, 2000) == before
    examples[3] = {**examples[3], "image": png(77)}
    assert differences(before, of_records("pets/1.0.0 train", examples, 1000)) == [
        "pets/1.0.0 train changed"
    ]
    other = of_records("pets/1.0.1 train", examples[:5], 1000)
    assert differences(before, other) == [
        "6 examples were there, now 5",
        "pets/1.0.0 train is gone",
        "pets/1.0.1 train is new",
    ]


def test_the_size_of_a_prepared_set_counts_where_nothing_but_its_content_makes_it():
    examples = [{"text": "a"}, {"text": "b"}]
    assert of_records("verses", examples, 10) != of_records("verses", examples, 11)
    broken = [{"image": png(1)[:30]}]
    assert of_records("broken", broken) == of_records("broken", broken)
    assert of_records("broken", broken) != of_records("broken", [{"image": png(1)[:31]}])


def test_a_hundred_examples_of_many_are_read():
    class Counted(list):
        read = 0

        def __getitem__(self, row):
            self.read += 1
            return super().__getitem__(row)

    examples = Counted({"label": i} for i in range(10_000))
    of_records("many", examples)
    assert examples.read == fingerprints.EXAMPLES


VALUES = [
    {"a": ["xy", "z"]},
    {"a": ["x", "yz"]},
    {"a": [["xy"], "z"]},
    {"a": np.array(["xy", "z"], object)[::-1]},
    {"a": np.array([1, 2], np.int32)},
    {"a": np.array([[1], [2]], np.int32)},
    {"a": np.array([1, 2], np.int16)},
    {"a": 1},
    {"a": 1.0},
    {"a": None},
    {"b": 1},
    {"a": 1, "b": {}},
    {"a": {"b": 1}},
    {"a": b"\xff"},
    {"a": "\udcff"},
]


def test_other_values_have_other_fingerprints():
    found = {of_records("one", [value]).parts["one"].contents for value in VALUES}
    assert len(found) == len(VALUES)
    # Which kind of sequence holds them is not what they are.
    same = [{"a": ("xy", "z")}], [{"a": np.array(["xy", "z"], object)}]
    assert of_records("one", same[0]) == of_records("one", same[1]) == of_records("one", VALUES[:1])


def test_noise_and_arrays():
    first, second = (
        sources.open_source("synthetic/8x4", "train[:9]").fingerprint() for _ in range(2)
    )
    assert first == second != sources.open_source("synthetic/8x4", "train[:8]").fingerprint()
    arrays = {"image": np.zeros((3, 2, 2, 1), np.uint8)}
    source = sources.from_arrays(arrays)
    assert pickle.loads(pickle.dumps(source)).fingerprint() == source.fingerprint()
    arrays["image"] = arrays["image"] + np.uint8(1)
    assert sources.from_arrays(arrays).fingerprint() != source.fingerprint()


def test_long_lists_are_cut_short():
    before = Fingerprint("images", {f"old{i}": Part(1, "", "a") for i in range(9)})
    now = Fingerprint("images", {f"new{i}": Part(1, "", "b") for i in range(9)})
    assert differences(before, now) == [
        "old0, old1, old2 and 6 more are gone",
        "new0, new1, new2 and 6 more are new",
    ]


def test_another_order_is_a_difference():
    parts = {"a": Part(1, "", "x"), "b": Part(1, "", "y")}
    swapped = Fingerprint("images", dict(reversed(parts.items())))
    assert differences(Fingerprint("images", parts), swapped) == ["their order changed"]


def test_what_cannot_be_read_is_left_to_those_who_read_it(pets):
    source = sources.open_source("folder", "train", data_dir=str(pets))
    before, lost = source.fingerprint(), source.describe(0)
    os.unlink(lost)
    name = lost.split(os.sep)[-3]
    assert differences(before, source.fingerprint()) == [f"{name} changed"]

    class Damaged(list):
        def __getitem__(self, row):
            raise RuntimeError("checksums do not agree")

    found = of_records("damaged", Damaged(range(3)))
    assert (
        found == of_records("damaged", Damaged(range(3))) != of_records("damaged", [{"a": 1}] * 3)
    )
