"""The adding and copy problems, and images as series."""

import numpy as np
import pytest

from library.config import ConfigError
from library.data import features, preprocessing, sources


def test_marked_numbers_are_added():
    source = sources.open_source("synthetic/adding20", "train[:50]")
    assert len(source.records) == 50
    assert source.label_names is None
    assert source.kinds == {"series": "series", "target": "target"}
    for row in range(50):
        example = source.records[row]
        values, marks = example["series"].T
        assert example["series"].shape == (20, 2)
        assert sorted(set(marks)) == [0, 1]
        assert marks.sum() == 2
        assert (values >= 0).all()
        assert (values < 1).all()
        np.testing.assert_array_equal(example["target"], [values[marks > 0].sum(dtype=np.float32)])


def test_symbols_are_repeated_after_the_pause():
    source = sources.open_source("synthetic/copying7", "test[:20]")
    for row in range(20):
        example = source.records[row]
        shown, tags = example["series"][:, 0], example["tags"]
        assert len(shown) == len(tags) == 27
        assert set(shown[:10]) <= set(range(1, 9))
        np.testing.assert_array_equal(shown[10:], [0] * 6 + [9] * 11)
        np.testing.assert_array_equal(tags, [0] * 17 + list(shown[:10]))


@pytest.mark.parametrize("name", ["synthetic/adding9", "synthetic/copying9"])
def test_an_example_depends_on_its_split_and_row_only(name):
    whole = sources.open_source(name, "train[:9]").records
    part = sources.open_source(name, "test[:1]+train[4:6]").records
    for got, row in ((part[1], 4), (part[2], 5)):
        for key, values in whole[row].items():
            np.testing.assert_array_equal(got[key], values)
    assert (part[0]["series"] != whole[0]["series"]).any()
    with pytest.raises(IndexError, match="row 3 of 3"):
        part[3]
    assert sources.info(name).image_shape is None


def test_problems_that_are_too_short_are_refused():
    for name, nearest in (("adding1", "adding2"), ("copying0", "copying1")):
        with pytest.raises(ConfigError, match=f"too short; nearest: 'synthetic/{nearest}'"):
            sources.open_source(f"synthetic/{name}", "train")


def apply(image, **options):
    return preprocessing.to_series(**options)({"image": image, "label": 3}, None)


def test_an_image_becomes_a_series_of_pixels_or_rows():
    image = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    found = apply(image, mean=0.5, std=0.25)
    assert list(found) == ["label", "series"]
    expected = (np.arange(12, dtype=np.float64).reshape(6, 2) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(found["series"], expected, rtol=1e-6)
    assert apply(image, by="row")["series"].shape == (2, 6)
    np.testing.assert_allclose(apply(image, by="row")["series"].ravel() * 255, np.arange(12), 1e-5)


def test_a_permutation_is_the_same_for_all_images_and_loses_no_pixel():
    first, second = np.random.default_rng(0).permutation(256).reshape(2, 16, 8, 1).astype(np.uint8)
    moved = [apply(x, permutation=1)["series"][:, 0] for x in (first, second)]
    plain = [apply(x)["series"][:, 0] for x in (first, second)]
    order = [list(values).index(value) for values in plain[:1] for value in moved[0]]
    assert sorted(order) == list(range(128)) != order
    np.testing.assert_array_equal(moved[1], plain[1][order])
    assert (apply(first, permutation=2)["series"][:, 0] != moved[0]).any()


def test_the_kind_of_a_series_is_known():
    operation = preprocessing.chain([preprocessing.to_series()])
    assert features.after(operation, {"image": "image"})["series"] == "series"


def test_what_is_no_image_is_refused():
    with pytest.raises(ConfigError, match="std=0"):
        preprocessing.to_series(std=0)
    with pytest.raises(ConfigError, match="permutation=-1"):
        preprocessing.to_series(permutation=-1)
    with pytest.raises(ConfigError, match="unknown to_series, by 'colum'"):
        preprocessing.to_series(by="colum")
    with pytest.raises(ValueError, match=r"image is float64 \(2, 2\)"):
        apply(np.zeros((2, 2)))
