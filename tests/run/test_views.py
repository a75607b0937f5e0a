"""Views of an example by name: each by its own list, of its own size, beside the example itself."""

import jax
import numpy as np
import pytest

from library import rng
from library.config import ConfigError
from library.run import inputs
from library.run.feed import Feed
from tests import tiny

VIEWS = dict(
    whole=[dict(name="flip_ud", probability=1.0)],
    part=dict(augment=[dict(name="random_crop", size=4)], count=3),
)


@pytest.fixture(autouse=True)
def served(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(32))


def batch_of(plan):
    feed = Feed(plan)
    batch = next(feed.train(0))
    found = inputs.train_input(plan, batch, feed.constants, rng.root(3))
    return jax.device_get((batch, found))


def test_views_have_names_sizes_and_counts_of_their_own():
    flip = [dict(name="flip_lr", probability=1.0)]
    batch, found = batch_of(tiny.plan_on(1, views=VIEWS, augment=flip))
    assert set(found) == {*batch, "whole_image", "part_image"}
    image = (batch["image"] / np.float32(255) - np.float32(0.4)) / np.float32(0.25)
    mirrored = image[:, :, ::-1]
    np.testing.assert_allclose(found["image"], mirrored, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found["whole_image"], found["image"][:, ::-1])
    assert found["part_image"].shape == (16, 3, 4, 4, 1)
    for one, parts in zip(found["image"], found["part_image"]):
        places = [(i, j) for i in range(5) for j in range(5)]
        cut = np.stack([one[i : i + 4, j : j + 4] for i, j in places])
        assert all((cut == part).all(axis=(1, 2, 3)).any() for part in parts)
    first, second = found["part_image"][:, 0], found["part_image"][:, 1]
    assert (first != second).any()


def test_a_view_depends_on_no_other():
    _, found = batch_of(tiny.plan_on(1, views=VIEWS))
    _, alone = batch_of(tiny.plan_on(1, views=dict(part=VIEWS["part"])))
    np.testing.assert_array_equal(found["part_image"], alone["part_image"])


@pytest.mark.parametrize(
    ("views", "said"),
    [
        (0, "views=0: valid are 1 to 64 views"),
        (dict(part=dict(augment=[], count=0)), "valid are 1 or more"),
        (dict(part=dict(augment=[], number=3)), "views.part takes no 'number'"),
        (dict(part=[dict(name="flip")]), "unknown augmentation 'flip'"),
        ({"a-b": []}, "views.a-b: write a name of letters"),
    ],
)
def test_views_that_are_not_understood_are_refused(views, said):
    with pytest.raises(ConfigError, match=said):
        tiny.plan_on(1, views=views)
