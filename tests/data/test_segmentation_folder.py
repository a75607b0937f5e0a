"""A folder of one's own images and maps as a data set, and errors that name the file."""

import numpy as np
import pytest
from PIL import Image

from library.config import ConfigError
from library.data import preprocessing, sources
from library.run.recipe import make_plan
from tests import families, tiny

RANDOM = np.random.default_rng(0)
COLOURS = {(128, 64, 0): 0, (0, 0, 255): 1, (0, 0, 0): 255}


def write(root, stems, split="", size=(6, 8), classes="sky\nroad\nred car\n"):
    """Writes images (JPEG) and maps (PNG) of three classes; returns the maps by stem."""
    top, made = root / split, {}
    for stem in stems:
        for what in ("images", "maps"):
            (top / what / stem).parent.mkdir(parents=True, exist_ok=True)
        pixels = RANDOM.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(top / "images" / f"{stem}.jpg")
        made[stem] = RANDOM.integers(0, 3, size).astype(np.uint8)
        Image.fromarray(made[stem]).save(top / "maps" / f"{stem}.png")
    if classes is not None:
        (root / "classes.txt").write_text(classes)
    return made


def opened(root, split="train", **options):
    return sources.open_source("segmentation_folder", split, data_dir=str(root), **options)


def loaded(source, row):
    decode = preprocessing.decode(kinds=source.kinds)
    return decode(dict(source.records[row]), np.random.default_rng(0))


def test_maps_belong_to_the_images_of_their_names(tmp_path):
    made = write(tmp_path, ["a", "sub/b", "c"])
    made["c"][0, 0] = 255
    Image.fromarray(made["c"]).save(tmp_path / "maps/c.png")
    (tmp_path / "images/notes.txt").write_text("?")
    source = opened(tmp_path)
    assert source.label_names == ("sky", "road", "red car")
    assert source.kinds == {"image": "image", "map": "map"}
    assert len(source.records) == 3
    for row in range(3):
        stem = source.describe(row).removeprefix(f"{tmp_path}/images/").removesuffix(".jpg")
        found = loaded(source, row)
        np.testing.assert_array_equal(found["map"], made[stem])
        with Image.open(source.describe(row)) as picture:
            np.testing.assert_array_equal(found["image"], np.asarray(picture))
    assert any("notes.txt" in note for note in source.notes)
    whole = {source.describe(row) for row in range(3)}
    parts = [opened(tmp_path, split) for split in ("train[:2]", "train[2:]")]
    assert {p.describe(row) for p in parts for row in range(len(p.records))} == whole
    assert "segmentation_folder in" in str(sources.info("segmentation_folder", data_dir=tmp_path))


def test_splits_lie_side_by_side(tmp_path):
    write(tmp_path, ["a", "b"], "train")
    write(tmp_path, ["a"], "test")
    assert len(opened(tmp_path).records) == 2
    assert opened(tmp_path, "test").describe(0) == f"{tmp_path}/test/images/a.jpg"
    with pytest.raises(ConfigError, match="unknown split 'val'"):
        opened(tmp_path, "val")


def test_colours_are_the_classes_of_the_list(tmp_path):
    write(tmp_path, ["a"], classes="128 64 0 road\n0 0 255 blue sky\n0 0 0 unknown\n")
    table, numbers = np.uint8(list(COLOURS)), RANDOM.integers(0, 3, (6, 8))
    Image.fromarray(table[numbers]).save(tmp_path / "maps/a.png")
    source = opened(tmp_path)
    assert source.label_names == ("road", "blue sky")
    expected = np.array(list(COLOURS.values()))[numbers]
    np.testing.assert_array_equal(loaded(source, 0)["map"], expected)
    strange = table[numbers]
    strange[4, 5] = (1, 0, 250)
    Image.fromarray(strange).save(tmp_path / "maps/a.png")
    with pytest.raises(
        ConfigError,
        match=r"maps/a.png has the colour 1 0 250 at row 4, column 5, .*"
        r"nearest is 0 0 255",
    ):
        opened(tmp_path)


def broken(root, how):
    """Spoils a folder of the scenes a and b in one way."""
    grey = Image.fromarray(np.zeros((6, 8), np.uint8))
    if how == "size":
        grey.resize((6, 8)).save(root / "maps/b.png")
    elif how == "beyond":
        grey.putpixel((7, 5), 3)
        grey.save(root / "maps/b.png")
    elif how == "colour":
        grey.convert("RGB").save(root / "maps/b.png")
    elif how == "no map":
        (root / "maps/b.png").rename(root / "maps/b2.png")
    elif how == "no image":
        (root / "images/b.jpg").unlink()
    elif how == "twice":
        grey.save(root / "maps/b.bmp")
    elif how == "no list":
        (root / "classes.txt").unlink()
    elif how == "mixed list":
        (root / "classes.txt").write_text("1 2 3 sky\nroad\n")
    elif how == "repeated":
        (root / "classes.txt").write_text("sky\nsky\n")
    elif how == "many":
        (root / "classes.txt").write_text("\n".join(f"c{i}" for i in range(256)))
    elif how == "no maps":
        (root / "maps").rename(root / "map")
    elif how == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(root / "images/b.jpg") as picture:
            picture.save(root / "images/b.jpg", exif=exif)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("size", r"maps/b.png is 6x8, but its image .*images/b.jpg is 8x6: they need"),
        ("turned", r"maps/b.png is 8x6, but .*b.jpg is 6x8 when it is turned by its EXIF"),
        ("beyond", r"maps/b.png has a pixel of class 3 at row 5, column 7; valid are 0 to 2, and"),
        ("colour", r"maps/b.png has colours \(mode RGB\): write the colour"),
        ("no map", r"images/b.jpg has no map in .*maps: did you mean 'b2'"),
        ("no image", r"maps/b.png has no image in .*images"),
        ("twice", r"maps/b.bmp and .*maps/b.png have the same name but for the suffix"),
        ("no list", r"classes.txt is missing: list the classes there"),
        ("mixed list", r"write one class a line, either names alone, or a colour"),
        ("repeated", r"classes.txt: 'sky' comes twice"),
        ("many", r"classes.txt has 256 classes: valid are up to 255"),
        ("no maps", r"has no directory 'maps': did you mean 'map'"),
    ],
)
def test_what_does_not_fit_is_named_before_the_training(tmp_path, how, message):
    write(tmp_path, ["a", "b"])
    broken(tmp_path, how)
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path)


def test_the_classes_may_be_in_the_recipe_and_damaged_files_are_left_to_the_loading(tmp_path):
    write(tmp_path, ["a", "b"], classes=None)
    (tmp_path / "images/b.jpg").write_bytes(b"\xff\xd8 cut")
    source = opened(tmp_path, classes=("x", "y", "z"))
    assert source.label_names == ("x", "y", "z")
    with pytest.raises(ConfigError, match=r"dataset.classes: 'x' comes twice"):
        opened(tmp_path, classes=("x", "y", "x"))
    with pytest.raises(ConfigError, match=r"dataset.classes has 256 classes: valid are up to 255"):
        opened(tmp_path, classes=[f"c{i}" for i in range(256)])
    with pytest.raises(ConfigError, match="needs data_dir=<the folder of images>"):
        sources.open_source("segmentation_folder", "train")
    with pytest.raises(ConfigError, match="a folder of images and maps needs no preparation"):
        sources.prepare("segmentation_folder")


@pytest.mark.full
def test_a_network_learns_from_ones_own_folder(tmp_path):
    write(tmp_path, [f"{i:02d}" for i in range(16)], "train", (8, 8))
    write(tmp_path, ["x", "y", "z"], "test", (8, 8))
    values = families.config(
        "unet",
        dataset=dict(name="segmentation_folder", data_dir=str(tmp_path)),
        preprocess=[dict(name="decode", channels=1)],
    )
    plan = make_plan(values)
    assert "test/iou_red_car" in plan.measured
    assert np.isfinite(tiny.take_steps(plan, 1).losses).all()
