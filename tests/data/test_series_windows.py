"""Windows of a series: what belongs to which split, and how channels are standardized."""

import numpy as np
import pytest

from library.config import ConfigError
from library.data import series_windows, sources
from library.data.preprocessing.series import join_target, relative

LENGTHS = {"train": 12, "val": 4, "test": 5}
ASKED = series_windows.Asked(known=3, ahead=2, series="some/series")


def series():
    draw, found, at = np.random.default_rng(0), {}, 0
    for split, length in LENGTHS.items():
        # The second channel is the number of the step, the third is constant.
        steps = np.arange(at, at + length)
        found[split] = np.stack([draw.normal(2, 3, length), steps, np.full(length, 7)], axis=1)
        at += length
    return {split: values.astype(np.float32) for split, values in found.items()}


def steps_of(windows):
    """Returns the known and the forecast steps of each window, by their second channel."""
    train = np.arange(LENGTHS["train"])
    found = []
    for row in range(len(windows)):
        example = windows[row]
        both = [example["series"][:, 1], example["target"].reshape(2, 3)[:, 1]]
        found.append([np.rint(x * train.std() + train.mean()).astype(int).tolist() for x in both])
    return found


@pytest.mark.parametrize(("split", "first", "last"), [("train", 3, 10), ("val", 12, 14)])
def test_a_split_has_the_windows_whose_forecast_lies_in_it(split, first, last):
    windows = series_windows.cut(ASKED, series(), split)
    expected = [[[at - 3, at - 2, at - 1], [at, at + 1]] for at in range(first, last + 1)]
    assert steps_of(windows) == expected
    assert series_windows.sizes(ASKED, LENGTHS) == {"train": 8, "val": 3, "test": 4}


def test_slices_count_windows_and_parts_are_joined():
    windows = series_windows.cut(ASKED, series(), "test[-1:]+train[1:3]")
    now = [steps[1][0] for steps in steps_of(windows)]
    assert now == [19, 4, 5]
    with pytest.raises(IndexError, match="row 3 of 3"):
        windows[3]


def test_channels_are_standardized_by_the_training_split():
    given = series()
    windows = series_windows.cut(ASKED, given, "test")
    train = given["train"].astype(np.float64)
    values = np.concatenate([given["val"][-3:], given["test"]]).astype(np.float64)
    std = np.where(train.std(0) > 0, train.std(0), 1)
    expected = (values - train.mean(0)) / std
    np.testing.assert_allclose(windows[0]["series"], expected[:3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(windows[3]["target"], expected[-2:].ravel(), rtol=1e-5, atol=1e-6)
    assert (windows[0]["series"][:, 2] == 0).all()


def test_ett_has_the_windows_of_the_papers():
    hours = {"train": 8640, "val": 2880, "test": 2880}
    found = series_windows.sizes(series_windows.parse("windows/336x96/ett/etth1"), hours)
    assert found == {"train": 8209, "val": 2785, "test": 2785}


def test_what_has_no_windows_is_refused():
    for name in ("windows/336/ett/etth1", "windows/0x2/a", "windows"):
        with pytest.raises(ConfigError, match="write 'windows/336x96/ett/etth1'"):
            series_windows.parse(name)
    with pytest.raises(ConfigError, match=r"3 \+ 6 steps: the split 'val' of some/series has 4"):
        series_windows.cut(ASKED._replace(ahead=6), series(), "train")
    with pytest.raises(ConfigError, match="no split 'train'"):
        series_windows.cut(ASKED, {"test": series()["test"]}, "test")
    broken = series()
    broken["val"][1, 0] = np.nan
    with pytest.raises(ConfigError, match="some/series val: channel 0 of step 1 is nan"):
        series_windows.cut(ASKED, broken, "train")
    with pytest.raises(ConfigError, match="windows are cut when read; prepare 'ett/etth1'"):
        sources.prepare("windows/336x96/ett/etth1")


def test_a_window_is_joined_with_what_came_after_it_to_be_rebuilt():
    example = {
        "series": np.arange(6.0).reshape(3, 2),
        "target": np.array([6.0, 7, 8, 9]),
        "place": 1,
    }
    found = join_target()(example, None)
    np.testing.assert_array_equal(found["series"], np.arange(10.0).reshape(5, 2))
    np.testing.assert_array_equal(found["target"], np.arange(10.0))
    assert found["place"] == 1
    with pytest.raises(ValueError, match="join_target takes a series"):
        join_target()({**example, "target": np.zeros(3)}, None)


def test_a_window_is_relative_to_its_last_known_step():
    example = {"series": np.float32([[1, 5], [2, 7]]), "target": np.float32([3, 7, 0, 9])}
    found = relative()(example, None)
    np.testing.assert_array_equal(found["series"], [[-1, -2], [0, 0]])
    np.testing.assert_array_equal(found["target"], [1, 0, -2, 2])
    with pytest.raises(ValueError, match="relative takes a series"):
        relative()({**example, "target": np.zeros(3)}, None)
