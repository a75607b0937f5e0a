"""Folders of clean and damaged images: partners by name, and errors that name the file."""

import io

import numpy as np
import pytest
from PIL import Image

from library.config import ConfigError
from library.data import pairs_folder, sources
from library.data.preprocessing import CorruptExample, decode


def write(root, **files):
    """Writes an image of (width, height) at each path; clean__a_png is clean/a.png."""
    for name, size in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size[1], size[0]), len(name), np.uint8)).save(path)
    return root


def opened(root, split="train"):
    return sources.open_source("pairs_folder", split, data_dir=str(root))


def test_images_are_paired_by_name_whatever_their_suffix(tmp_path):
    write(tmp_path, clean__b_png=(8, 6), damaged__b_bmp=(4, 3), clean__sub__a_png=(6, 4))
    write(tmp_path, damaged__sub__a_png=(3, 2))
    source = opened(tmp_path)
    assert len(source.records) == 2
    assert source.kinds == {"image": "image", "damaged": "image"}
    shapes = {}
    for row in range(2):
        example = source.records[row]
        sizes = {k: Image.open(io.BytesIO(x)).size for k, x in example.items()}
        shapes[source.describe(row).removeprefix(str(tmp_path))] = sizes
    assert shapes == {
        "/clean/b.png": {"image": (8, 6), "damaged": (4, 3)},
        "/clean/sub/a.png": {"image": (6, 4), "damaged": (3, 2)},
    }
    with pytest.raises(IndexError):
        source.records[2]
    assert len(source.notes) == 1
    (tmp_path / "clean/list.txt").write_text("b")
    assert opened(tmp_path).notes[1] == "not images, and skipped: clean/list.txt"
    assert source.fingerprint() == opened(tmp_path).fingerprint()
    assert sources.info("pairs_folder", data_dir=str(tmp_path)).splits == {"train": 2}


def test_splits_are_folders_or_slices(tmp_path):
    for split in ("train", "test"):
        for name in "abcd"[: 4 if split == "train" else 2]:
            names = [f"{split}__{which}__{name}_png" for which in ("clean", "damaged")]
            write(tmp_path, **dict.fromkeys(names, (4, 4)))
    assert len(opened(tmp_path).records) == 4
    assert len(opened(tmp_path, "test").records) == 2
    first, rest = (opened(tmp_path, f"train[{part}]") for part in (":1", "1:"))
    paths = {s.describe(row) for s in (first, rest) for row in range(len(s.records))}
    assert len(paths) == 4
    changed = opened(tmp_path).fingerprint()
    write(tmp_path, train__damaged__a_png=(2, 2), train__clean__a_png=(2, 2))
    assert opened(tmp_path).fingerprint() != changed


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (dict(clean__a_png=(4, 4)), "no such directory: .*damaged; clean images are in"),
        (
            dict(clean__a_png=(4, 4), clean__b_png=(4, 4), damaged__a_png=(4, 4)),
            "clean/b.png has no partner .*damaged/b",
        ),
        (
            dict(clean__a_png=(4, 4), damaged__b_png=(4, 4), damaged__a_png=(4, 4)),
            "damaged/b.png has no partner .*clean/b",
        ),
        (
            dict(clean__a_png=(4, 4), clean__a_bmp=(4, 4), damaged__a_png=(4, 4)),
            "clean/a.bmp and .*clean/a.png have the same name",
        ),
        (dict(clean__a_png=(5, 4), damaged__a_png=(2, 2)), r"a.png is 5x4 .* is 2x2"),
        (dict(clean__a_png=(2, 2), damaged__a_png=(4, 4)), "as large, or a multiple"),
    ],
)
def test_pairs_that_do_not_fit_are_named(tmp_path, files, message):
    with pytest.raises(ConfigError, match=message):
        opened(write(tmp_path, **files))


def test_all_pairs_have_one_ratio(tmp_path):
    write(tmp_path, clean__a_png=(4, 4), damaged__a_png=(2, 2))
    write(tmp_path, clean__b_png=(6, 6), damaged__b_png=(2, 2))
    with pytest.raises(ConfigError, match="times as large, as in the first pair"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match="needs data_dir=<a folder with clean/ and damaged/>"):
        sources.open_source("pairs_folder", "train")
    with pytest.raises(ConfigError, match="no such directory"):
        pairs_folder.scan(tmp_path / "missing")


def test_files_that_cannot_be_read_are_left_to_the_loading(tmp_path):
    write(tmp_path, clean__a_png=(4, 4), damaged__a_png=(2, 2))
    write(tmp_path, clean__b_png=(6, 6), damaged__b_png=(3, 3))
    for name in "ab":
        whole = (tmp_path / f"damaged/{name}.png").read_bytes()
        (tmp_path / f"damaged/{name}.png").write_bytes(b"no image")
        source = opened(tmp_path)
        assert len(source.records) == 2
        held = {source.describe(row): source.records[row] for row in range(2)}
        with pytest.raises(CorruptExample):
            decode(kinds=source.kinds)(held[str(tmp_path / f"clean/{name}.png")], None)
        (tmp_path / f"damaged/{name}.png").write_bytes(whole)
    # The pairs that are left are compared.
    write(tmp_path, clean__c_png=(4, 4), damaged__c_png=(4, 4))
    (tmp_path / "clean/a.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"clean/c\.png is 4x4|clean/b\.png is 6x6"):
        opened(tmp_path)
