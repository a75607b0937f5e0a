"""Weights of classes and pixels of maps, against counts and distances by hand."""

import json

import numpy as np
import pytest

from library.config import ConfigError, build
from library.data import features, preprocessing
from library.run.recipe import make_plan
from tests import families, tiny

RNG = np.random.default_rng(0)
# Two images; class 2 is only in the second, class 3 in none, and 9 does not count.
MAPS = [
    np.uint8([[0, 0, 0, 1], [0, 0, 1, 9]]),
    np.uint8([[0, 1, 2, 2], [0, 0, 0, 0]]),
]
# Pixels of each class, of 15 that count.
COUNTS = np.array([10, 3, 2, 0])


def operation(name, **arguments):
    return build(
        dict(name=name, **arguments), "library.data.preprocessing", "preprocessing", kinds={}
    )


def fitted(rule):
    made = operation("class_weights", num_classes=4, rule=rule, ignore=9)
    values = made.fit({"map": each} for each in MAPS)
    assert json.loads(json.dumps(values)) == values
    found = made.fitted(values)({"map": MAPS[0]}, RNG)
    assert found["map_class_weights"].dtype == np.float32
    return found["map_class_weights"]


def test_median_frequency_counts_the_images_that_have_a_class():
    # 7 pixels count in the first image and 8 in the second.
    frequency = np.array([10 / 15, 3 / 15, 2 / 8])
    expected = [*(np.median(frequency) / frequency), 0]
    np.testing.assert_allclose(fitted("median_frequency"), expected, rtol=1e-6)


def test_balanced_classes_weigh_the_same_and_one_on_average():
    weights = fitted("balanced")
    np.testing.assert_allclose((weights * COUNTS)[:3], 15 / 3, rtol=1e-6)
    assert weights[3] == 0


def test_enets_weights_grow_with_the_logarithm():
    expected = [*(1 / np.log(1.02 + COUNTS[:3] / 15)), 0]
    np.testing.assert_allclose(fitted("log"), expected, rtol=1e-6)


def test_refused():
    with pytest.raises(ConfigError, match="'median': did you mean 'median_frequency'"):
        operation("class_weights", num_classes=4, rule="median")
    made = operation("class_weights", num_classes=2, ignore=9)
    with pytest.raises(ConfigError, match="a map has a pixel of class 2; valid are 0 to 1, and ig"):
        made.fit({"map": each} for each in MAPS)
    with pytest.raises(ConfigError, match="have no pixel of a known class"):
        made.fit([{"map": np.full((2, 2), 9)}])
    with pytest.raises(ConfigError, match=r"sigma=0\.0: valid are w0 >= 0, sigma > 0"):
        operation("border_weights", sigma=0.0)


def test_pixels_between_near_cells_weigh_more():
    classes = np.zeros((12, 30), np.uint8)
    classes[2:6, 1:4] = classes[3:9, 6:9] = classes[1:3, 12:20] = 1
    classes[11, 29] = 255
    settings = dict(w0=7.0, sigma=2.0, balance=[0.5, 2.0])
    made = operation("border_weights", **settings)
    assert features.after(made, {"map": "map"}) == {"map": "map", "map_weights": "field"}
    found = made({"map": classes}, RNG)["map_weights"]
    cells = [classes[:, start:stop] for start, stop in ((0, 5), (5, 10), (10, 30))]
    starts = np.array([[0, 0], [0, 5], [0, 10]])
    corners = [np.argwhere(cell == 1) + start for cell, start in zip(cells, starts)]
    for place in np.ndindex(*classes.shape):
        own = {0: 0.5, 1: 2.0, 255: 1.0}[int(classes[place])]
        d1, d2, _ = sorted(np.sqrt(np.square(c - place).sum(1)).min() for c in corners)
        between = 0 if classes[place] == 1 else 7 * np.exp(-((d1 + d2) ** 2) / (2 * 2.0**2))
        assert found[place] == pytest.approx(own + between, abs=2e-6)
    # A single cell has no borders to others.
    alone = made({"map": np.uint8(classes == 1) * (np.arange(30) < 5)}, RNG)["map_weights"]
    assert set(np.unique(alone)) == {0.5, 2.0}
    with pytest.raises(ConfigError, match=r"balance=\[0\.5\]: a map has a pixel of class 1; write"):
        operation("border_weights", balance=[0.5])({"map": classes}, RNG)


def test_weights_reach_the_loss_of_a_run(monkeypatch):
    """A run with both kinds of weights trains, and the weights are kept with the run."""
    families.serve(monkeypatch)
    values = families.config(
        "unet",
        preprocess=[
            dict(name="select", keys=["image", "map"]),
            dict(name="class_weights", num_classes=4),
            dict(name="border_weights", w0=1.0, sigma=1.0),
        ],
        task=dict(name="segmentation", class_weights="map_class_weights", weight="map_weights"),
    )
    plan = make_plan(values)
    shapes = {name: x.shape for name, x in plan.loader.blank.items()}
    assert (shapes["map_class_weights"], shapes["map_weights"]) == ((4,), (8, 8))
    ((spec, kept),) = plan.splits.found().preprocess.items()
    assert "class_weights" in spec
    example = plan.loader.load(0, 0)
    np.testing.assert_array_equal(example["map_class_weights"], np.float32(kept["weights"]))
    assert np.isfinite(tiny.take_steps(plan, 2).losses).all()
    with pytest.raises(ConfigError, match="no such field; the preprocessing border_weights adds"):
        make_plan(values | dict(preprocess=values["preprocess"][:2]))


def test_operations_can_be_sent_to_workers():
    import pickle

    for made in (operation("border_weights"), operation("class_weights", num_classes=3)):
        assert pickle.loads(pickle.dumps(made)) is not None
    assert {"border_weights", "class_weights"} <= set(preprocessing.__all__)
