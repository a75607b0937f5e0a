"""A folder of one's own images as a data set."""

import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from library.config import ConfigError
from library.data import folder, preprocessing, sources


def picture(value, form="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(file, form)
    return file.getvalue()


def write(root, files):
    """Writes images at the given paths; each path's bytes are its own."""
    for number, path in enumerate(files):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        form = Image.registered_extensions().get((root / path).suffix.lower(), "PNG")
        (root / path).write_bytes(picture(number, "PNG" if form == "PDF" else form))
    return str(root)


def tree(root, split=None, per_class=20):
    top = f"{split}/" if split else ""
    return write(root, [f"{top}{c}/{i:02d}.png" for c in ("cat", "dog") for i in range(per_class)])


def open_folder(root, split="train", **options):
    return sources.open_source("folder", split, data_dir=str(root), **options)


def paths(source):
    return [source.describe(row) for row in range(len(source.records))]


def test_each_image_has_its_bytes_label_and_path(tmp_path):
    source = open_folder(tree(tmp_path))
    assert source.label_names == ("cat", "dog")
    assert len(source.records) == 40
    for row in range(40):
        example = source.records[row]
        path = source.describe(row)
        assert set(example) == {"image", "label"}
        with open(path, "rb") as file:
            assert example["image"] == file.read()
        assert example["label"].dtype == np.int32
        assert source.label_names[example["label"]] == path.split(os.sep)[-2]
    assert len(set(paths(source))) == 40


def test_slices_of_one_tree_are_disjoint_complete_and_mixed(tmp_path):
    tree(tmp_path)
    train, test = open_folder(tmp_path, "train[:90%]"), open_folder(tmp_path, "train[90%:]")
    assert (len(train.records), len(test.records)) == (36, 4)
    assert paths(train) + paths(test) == paths(open_folder(tmp_path))
    labels = [int(example["label"]) for example in train.records]
    assert labels != sorted(labels)
    assert set(labels) == {0, 1}


def test_the_order_is_a_function_of_paths_and_seed_alone(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    tree(one)
    write(
        two, sorted((f"{c}/{i:02d}.png" for c in ("dog", "cat") for i in range(20)), reverse=True)
    )

    def order(root, **options):
        return [os.path.relpath(path, root) for path in paths(open_folder(root, **options))]

    assert order(one) == order(two)
    assert order(one, seed=1) == order(two, seed=1)
    assert order(one, seed=1) != order(one)
    assert order(one)[:3] == ["cat/06.png", "dog/00.png", "dog/18.png"]


def test_added_images_move_no_others(tmp_path):
    before = paths(open_folder(tree(tmp_path)))
    write(tmp_path, ["cat/new.png", "dog/new.png"])
    after = paths(open_folder(tmp_path))
    assert [path for path in after if "new" not in path] == before


def test_splits_are_subdirectories(tmp_path):
    for split, size in (("train", 5), ("val", 2), ("test", 1)):
        tree(tmp_path, split, size)
    (tmp_path / "notes").mkdir()
    info = sources.info("folder", data_dir=str(tmp_path))
    assert info.splits == {"train": 10, "val": 4, "test": 2}
    assert info.label_names == ("cat", "dog")
    source = open_folder(tmp_path, "val+test[:1]")
    assert len(source.records) == 5
    assert all(f"{os.sep}val{os.sep}" in path for path in paths(source)[:4])
    assert f"{os.sep}test{os.sep}" in source.describe(4)


def test_a_class_may_be_called_train(tmp_path):
    write(tmp_path, ["train/a.png", "plane/b.png"])
    assert sources.info("folder", data_dir=str(tmp_path)).label_names == ("plane", "train")


def test_images_may_lie_deeper_and_be_of_any_kind_and_case(tmp_path):
    names = ["a.jpg", "b.JPEG", "c.PNG", "d.webp", "e.bmp", "deep/er/f.Jpg"]
    names += ["g.tif", "h.TIFF", "i.gif", "j.jfif", "k.AVIF", "l.ppm", "m.tga", "n.jp2"]
    write(tmp_path, [f"x/{name}" for name in names])
    for other in ("x/notes.txt", "x/.hidden.png", "x/.cache/g.png", "x/Thumbs.db"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_bytes(b"?")
    found = [os.path.relpath(path, tmp_path / "x") for path in paths(open_folder(tmp_path))]
    assert sorted(found) == sorted(names)
    decode = preprocessing.decode()
    for example in open_folder(tmp_path).records:
        assert decode(example, None)["image"].shape == (3, 4, 3)


def test_classes_named_by_numbers_are_in_their_order(tmp_path):
    write(tmp_path, [f"{number}/a.png" for number in range(12)])
    source = open_folder(tmp_path)
    assert source.label_names == tuple(map(str, range(12)))


def test_classes_may_be_chosen_and_ordered(tmp_path):
    write(tmp_path, [f"{name}/a.png" for name in ("cat", "dog", "cow")])
    source = open_folder(tmp_path, classes=("dog", "cat"))
    assert source.label_names == ("dog", "cat")
    assert {os.path.basename(os.path.dirname(path)) for path in paths(source)} == {"dog", "cat"}
    assert {int(example["label"]) for example in source.records} == {0, 1}
    with pytest.raises(
        ConfigError, match=r"no directory for the class 'cta': did you mean 'cat'\?"
    ):
        open_folder(tmp_path, classes=("dog", "cta"))


def links(root):
    """Twelve images, and links that lead to them once more."""
    tree(root, per_class=6)
    (root / "cat" / "loop").symlink_to(root / "cat")
    (root / "dog" / "up").symlink_to(root)
    (root / "dog" / "other").symlink_to(root / "cat")
    (root / "dog" / "deep").mkdir()
    (root / "dog" / "deep" / "loop").symlink_to(root / "dog" / "deep")
    (root / "cat" / "00 again.png").symlink_to(root / "cat" / "00.png")
    os.link(root / "cat" / "01.png", root / "cat" / "01 again.png")


def test_every_file_and_directory_is_read_once_whatever_links_lead_to_it(tmp_path):
    links(tmp_path)
    source = open_folder(tmp_path)
    found = sorted(os.path.relpath(path, tmp_path) for path in paths(source))
    # Of two names of one file the first is taken, and a link is none where there is another.
    first = {"cat/01.png": "cat/01 again.png"}
    expected = [f"{c}/{i:02d}.png" for c in ("cat", "dog") for i in range(6)]
    assert found == sorted(first.get(path, path) for path in expected)
    (note,) = [note for note in source.notes if "already read under other paths" in note]
    assert note.startswith("6 files or directories in ")
    assert "cat/00 again.png, cat/01.png, cat/loop, ..." in note


def test_a_directory_elsewhere_that_several_links_lead_to_is_read_once(tmp_path):
    write(tmp_path / "elsewhere", ["deep/a.png", "b.png"])
    write(tmp_path / "data", ["cat/c.png"])
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")
    for name in ("one", "two"):
        (tmp_path / "data" / "cat" / name).symlink_to(tmp_path / "elsewhere")
    found = [
        os.path.relpath(path, tmp_path / "data") for path in paths(open_folder(tmp_path / "data"))
    ]
    assert sorted(found) == ["cat/c.png", "cat/one/b.png", "cat/one/deep/a.png"]


def test_a_split_that_is_a_link_to_another_is_read_and_told(tmp_path):
    tree(tmp_path, "train", 3)
    (tmp_path / "test").symlink_to(tmp_path / "train")
    source = open_folder(tmp_path, "test")
    assert len(source.records) == 6
    assert "train and test share 6 of their images, because of links" in source.notes


def test_a_link_to_nothing_is_an_image_that_cannot_be_read(tmp_path):
    tree(tmp_path, per_class=1)
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert len(open_folder(tmp_path).records) == 3


def test_what_is_passed_over_is_named(tmp_path):
    tree(tmp_path, "train", 2)
    other = ["train/cat/a.pdf", "train/dog/b.heic", "train/c.txt", "train/cat/Thumbs.db"]
    hidden = ["train/__MACOSX/x.png", "train/cat/.ipynb_checkpoints/y.png", "train/.DS_Store"]
    write(tmp_path, [*other, *hidden, "notes/z.png", "cover.png"])
    info = sources.info("folder", data_dir=str(tmp_path))
    assert info.label_names == ("cat", "dog")
    assert info.splits == {"train": 4}
    said = dict(zip(("turned", "others", "hidden", "beside"), info.notes, strict=True))
    assert "EXIF orientation" in said["turned"]
    assert said["others"] == (
        f"3 files or directories in {tmp_path} are skipped (not images): "
        "train/c.txt, train/cat/a.pdf, train/dog/b.heic"
    )
    assert said["hidden"].startswith(f"4 files or directories in {tmp_path} are skipped (hidden)")
    assert "train/.DS_Store, train/__MACOSX, train/cat/.ipynb_checkpoints, ..." in said["hidden"]
    assert said["beside"].endswith("skipped: cover.png, notes")
    assert all(note in str(info) for note in info.notes)


def test_a_directory_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    tree(tmp_path)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigError, match="dog cannot be read: Permission denied"):
        open_folder(tmp_path)
    with pytest.raises(ConfigError, match=r"image files: .*dog cannot be read: Permission denied"):
        folder.image_files([tmp_path])


def test_linked_directories_are_followed(tmp_path):
    write(tmp_path / "elsewhere", ["a.png"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    assert open_folder(tmp_path / "data").label_names == ("linked",)


def test_records_are_picklable_and_bounded(tmp_path):
    source = open_folder(tree(tmp_path))
    again = pickle.loads(pickle.dumps(source))
    assert again.records[7] == source.records[7]
    assert again.describe(7) == source.describe(7)
    for row in (-1, 40):
        with pytest.raises(IndexError, match=f"row {row} of 40"):
            source.records[row]


def test_relative_and_home_directories(tmp_path, monkeypatch):
    tree(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = paths(open_folder(tmp_path / "pets"))
    assert paths(open_folder("pets")) == expected
    assert paths(open_folder("~/pets")) == expected


def lone_images(root):
    write(root, ["a.png", "b.png"])
    return r"has no directories: make one for each class, .*<class>/<image>"


def empty_class(root):
    tree(root)
    (root / "eel").mkdir()
    return r"no images in .*eel \(found: nothing; valid: .jpg"


def class_of_other_files(root):
    tree(root)
    write(root, ["eel/a.heic", "eel/b.heic", "eel/c.pdf", "fox/.a.png"])
    return r"no images in .*eel \(found: 2 .heic, 1 .pdf; valid: .jpg.*; 1 other classes .*: fox"


def stray_image(root):
    tree(root)
    write(root, ["z.png", "y.jpg"])
    return r"2 images in .* are outside every class directory, such as y.jpg"


def class_of_one_split_only(root):
    tree(root, "train")
    tree(root, "val")
    write(root, ["train/eel/a.png"])
    return r"val has no directory for the class 'eel', which train has"


def class_without_training(root):
    tree(root, "train")
    tree(root, "val")
    write(root, ["val/dogs/a.png"])
    return r"train has no directory for the class 'dogs', which val has: did you mean 'dog'"


def image_in_two_classes(root):
    tree(root)
    (root / "dog" / "linked.png").symlink_to(root / "cat" / "00.png")
    return r"cat/00.png and .*dog/linked.png are the same file in two classes"


def absent(root):
    root.rmdir()
    return "no such directory"


@pytest.mark.parametrize(
    "spoil",
    [
        lone_images,
        empty_class,
        class_of_other_files,
        stray_image,
        class_of_one_split_only,
        class_without_training,
        image_in_two_classes,
        absent,
    ],
)
def test_malformed_folders_are_refused(tmp_path, spoil):
    root = tmp_path / "data"
    root.mkdir()
    message = spoil(root)
    with pytest.raises(ConfigError, match=message):
        folder.scan(root)


def test_splits_that_are_not_there(tmp_path):
    tree(tmp_path)
    with pytest.raises(ConfigError, match=r"unknown split 'test' of the folder .*\(valid: train\)"):
        open_folder(tmp_path, "test")
    with pytest.raises(ConfigError, match="is empty"):
        open_folder(tmp_path, "train[:0%]")
    with pytest.raises(ConfigError, match="needs data_dir="):
        sources.open_source("folder", "train")
