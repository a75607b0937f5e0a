"""Examples that lack features are completed with blank ones that the preprocessing takes."""

import numpy as np

from library.data import preprocessing
from library.data.unlabelled import Completed
from tests import tiny

KINDS = {
    "image": "image",
    "label": "label",
    "age": "target",
    "map": "map",
    "depth": "field",
    "boxes": "boxes",
    "boxes_label": "array",
    "joints": "points",
    "name": "id",
    "other": "array",
}


def shapes(example):
    return {name: (np.shape(x), np.asarray(x).dtype.str) for name, x in example.items()}


def test_what_is_missing_is_blank():
    image = np.ones((5, 7, 3), np.uint8)
    records = Completed([{"image": image, "label": np.int32(2)}], KINDS)
    found = records[0]
    assert found["image"] is image
    assert found.pop("label") == 2
    assert shapes({k: x for k, x in found.items() if k != "image"}) == {
        "age": ((), "<f4"),
        "map": ((5, 7), "|u1"),
        "depth": ((5, 7), "<f4"),
        "boxes": ((0, 4), "<f4"),
        "boxes_label": ((0,), "<i4"),
        "joints": ((0, 2), "<f4"),
    }
    assert not any(np.any(found[name]) for name in found if name != "image")
    assert len(records) == 1


def test_a_map_has_the_size_of_a_turned_file():
    (example,) = [Completed([{"image": tiny.turned_photograph()}], KINDS)[0]]
    assert example["map"].shape == (4, 2)
    broken = Completed([{"image": b"no image"}], KINDS)[0]
    assert broken["map"].shape == (1, 1)


def test_the_preprocessing_of_maps_and_objects_takes_it():
    operations = [
        preprocessing.decode(channels=1, kinds=KINDS),
        preprocessing.select(["image", "map", "boxes", "boxes_label"]),
        preprocessing.center_crop(size=2, kinds=KINDS),
        preprocessing.pad_objects(num=3, only=["boxes"], kinds=KINDS),
    ]
    made = preprocessing.turning(preprocessing.chain(operations), True)
    example = made(Completed([{"image": tiny.turned_photograph()}], KINDS)[0], None)
    assert example["image"].shape == (2, 2, 1)
    assert (example["map"].shape, example["boxes"].shape) == ((2, 2), (3, 4))
    assert not example["boxes_mask"].any()
