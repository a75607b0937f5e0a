"""A mosaic shows four examples, and their boxes, points and maps where their pixels are."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.data import augmentation

SIZE, EXAMPLES = 16, 6
KINDS = dict(
    image="image",
    classes="map",
    depth="field",
    boxes="boxes",
    boxes_label="label",
    points="points",
)


def scenes():
    """Examples whose maps number the pixels of all, whose points are the pixels' centres."""
    count = SIZE * SIZE
    centres = (np.indices((SIZE, SIZE)).reshape(2, -1).T + 0.5) / SIZE
    half = 0.5 / SIZE
    number = np.arange(EXAMPLES * count).reshape(EXAMPLES, SIZE, SIZE)

    def each(x):
        return np.float32(np.stack([x] * EXAMPLES))

    batch = {
        "image": np.float32(number[..., None]) / 2048,
        "classes": number.astype(np.int32),
        "depth": np.float32(number),
        "points": each(centres),
        "points_mask": np.ones((EXAMPLES, count), np.float32),
        "boxes": each(np.concatenate([centres - half, centres + half], axis=1)),
        "boxes_mask": np.ones((EXAMPLES, count), np.float32),
        "boxes_label": number.reshape(EXAMPLES, -1).astype(np.int32),
        "mask": np.ones(EXAMPLES, np.float32),
    }
    order = np.arange(EXAMPLES, dtype=np.uint32)
    return {name: jnp.asarray(x) for name, x in {**batch, "index": order, "row": order}.items()}


def applied(batch=None, **arguments):
    spec = dict(name="mosaic", map_fill=-1, **arguments)
    op = build(spec, "library.data.augmentation", "augmentation", kinds=KINDS)
    found = jax.jit(augmentation.compose([op]))(batch or scenes(), jax.random.key(1))
    return {name: np.asarray(x) for name, x in found.items()}


def under(points, values):
    at = np.floor(points * values.shape[:2]).astype(int)
    return values[at[:, 0], at[:, 1]]


def test_what_is_shown_is_where_its_points_and_boxes_are():
    # Without scale a pixel moves to a pixel.
    found = applied(scale=[1.0, 1.0], translate=0.0)
    for i in range(EXAMPLES):
        there = found["points_mask"][i] > 0
        points, numbers = found["points"][i][there], found["boxes_label"][i][there]
        # Four images fill the middle of the canvas, or leave blank what none of them reaches.
        shown = found["classes"][i]
        assert sorted(numbers) == sorted(shown[shown >= 0])
        assert len(set(numbers // SIZE**2)) > 1
        assert set(numbers // SIZE**2) <= {(i - k) % EXAMPLES for k in range(4)}
        np.testing.assert_array_equal(under(points, shown), numbers)
        np.testing.assert_array_equal(under(points, found["depth"][i]), numbers)
        image = np.rint(under(points, found["image"][i])[:, 0] * 2048)
        np.testing.assert_array_equal(image, numbers)
        boxes = found["boxes"][i][there]
        np.testing.assert_array_equal(found["boxes_mask"][i] > 0, there)
        np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, points, atol=1e-6)
        np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], 1 / SIZE, atol=1e-6)


def test_scaled_and_moved_all_stay_together():
    found = applied(scale=[0.6, 1.7], translate=0.2, visible=0.4)
    far = []
    for i in range(EXAMPLES):
        there = found["points_mask"][i] > 0
        points, numbers = found["points"][i][there], found["boxes_label"][i][there]
        shown = under(np.minimum(points, 1 - 1e-6), found["classes"][i])
        same = shown // SIZE**2 == numbers // SIZE**2
        # At a seam the pixel under a point may be of the neighbour.
        assert same.mean() > 0.85
        a, b = shown[same] % SIZE**2, numbers[same] % SIZE**2
        far += [np.abs(a // SIZE - b // SIZE).max(), np.abs(a % SIZE - b % SIZE).max()]
        boxes, real = found["boxes"][i], found["boxes_mask"][i] > 0
        assert there.sum() <= real.sum()
        assert (boxes[real] >= 0).all()
        assert (boxes[real] <= 1).all()
    assert max(far) <= 1


def test_what_does_not_fit_on_the_canvas_is_not_shown():
    # The canvas is smaller than the new image.
    batch = scenes()
    batch["image"] = jnp.ones_like(batch["image"])
    found = applied(batch, scale=[0.3, 0.4], translate=0.4, fill=0.0)
    for i in range(EXAMPLES):
        shown = found["classes"][i]
        there = found["points_mask"][i] > 0
        assert 0 < (shown >= 0).sum() <= (2 * SIZE * 0.4 + 1) ** 2
        assert set(shown[shown >= 0]) <= set(found["boxes_label"][i][there])
        # A pixel at the border of an image is mixed with none that is blank.
        np.testing.assert_array_equal(found["image"][i, ..., 0], shown >= 0)


@pytest.mark.full
def test_a_box_of_which_little_is_left_is_masked():
    batch = scenes()
    whole = jnp.broadcast_to(jnp.float32([0, 0, 1, 1]), (EXAMPLES, 1, 4))
    alone = {name: batch[name] for name in ("image", "index", "row", "mask")}
    alone |= dict(boxes=whole, boxes_mask=jnp.ones((EXAMPLES, 1)))
    found = applied(dict(alone), scale=[1.0, 1.0], translate=0.0, visible=0.3)
    area = np.prod(found["boxes"][..., 2:] - found["boxes"][..., :2], axis=-1)
    # The boxes are the images, of one size, so what is left of each is its area.
    np.testing.assert_array_equal(found["boxes_mask"] > 0, area > 0.3)
    assert 0 < found["boxes_mask"].mean() < 1


def test_nothing_changes_without_probability_or_after_the_end():
    batch = scenes()
    arguments = dict(probability=0.0), dict(until=0.5, batch_size=2, total_steps=0)
    for changes in arguments:
        found = applied(**changes)
        for name in ("image", "classes", "depth"):
            np.testing.assert_array_equal(found[name], batch[name])
        count = SIZE * SIZE
        np.testing.assert_array_equal(found["boxes"][:, :count], batch["boxes"])
        assert (found["boxes_mask"][:, :count] == 1).all()
        assert (found["boxes_mask"][:, count:] == 0).all()
    # The steps up to the half of the run have mosaics: those of the first three examples.
    found = applied(until=0.5, batch_size=1, total_steps=6)
    changed = (found["classes"] != batch["classes"]).any(axis=(1, 2))
    assert changed.tolist() == [True] * 3 + [False] * 3


@pytest.mark.full
def test_room_for_fewer_objects_takes_those_that_are_left():
    whole = applied(scale=[1.0, 1.0], translate=0.0)
    found = applied(scale=[1.0, 1.0], translate=0.0, num_objects=300)
    assert found["boxes"].shape == (EXAMPLES, 300, 4)
    for i in range(EXAMPLES):
        ours, theirs = (x["boxes_label"][i][x["boxes_mask"][i] > 0] for x in (found, whole))
        np.testing.assert_array_equal(ours, theirs[:300])
    many = applied(num_objects=5 * SIZE * SIZE)
    assert many["points_mask"].shape == (EXAMPLES, 5 * SIZE * SIZE)


@pytest.mark.full
def test_an_example_is_a_function_of_its_key_and_its_three_neighbours():
    batch = scenes()
    whole = applied()
    part = applied({name: x[1:5] for name, x in batch.items()})
    for name in ("image", "classes", "boxes", "boxes_mask"):
        np.testing.assert_array_equal(part[name][3], whole[name][4])


def test_skipped_examples_are_blank():
    batch = {**scenes(), "mask": jnp.float32([1, 0, 0, 0, 1, 1])}
    found = applied(batch, scale=[1.0, 1.0], translate=0.0)
    seen = found["boxes_label"][found["boxes_mask"] > 0] // SIZE**2
    assert set(seen) == {0, 4, 5}
    shown = found["classes"][found["classes"] >= 0] // SIZE**2
    assert set(shown) == {0, 4, 5}


def test_what_cannot_be_joined_is_refused():
    kinds, spec = {**KINDS, "label": "label"}, dict(name="mosaic")
    op = build(spec, "library.data.augmentation", "augmentation", kinds=kinds)
    batch = {**scenes(), "label": jnp.zeros(EXAMPLES, jnp.int32)}
    with pytest.raises(ValueError, match="mosaic changes only images and cannot change 'label'"):
        op(batch, jax.random.split(jax.random.key(0), EXAMPLES))
    op = build(spec, "library.data.augmentation", "augmentation", kinds={"image": "clip"})
    clips = {"image": jnp.zeros((EXAMPLES, 2, 8, 8, 1))}
    with pytest.raises(ValueError, match="cannot change 'image', of kind 'clip'"):
        op(clips, jax.random.split(jax.random.key(0), EXAMPLES))
    for arguments, message in (
        (dict(scale=[0.0, 1.0]), "mosaic, scale"),
        (dict(until=2.0), r"mosaic, until=2.0 is not in \[0, 1\]"),
        (dict(num_objects=0), "num_objects=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            applied(**arguments)


def recoloured(count, **spec):
    """Returns the colours (count, 3) that an operation makes of 0.4, 0.2, 0.2."""
    colour = jnp.full((count, 2, 2, 3), jnp.float32([0.4, 0.2, 0.2]))
    order = jnp.arange(count, dtype=jnp.uint32)
    op = build(spec, "library.data.augmentation", "augmentation")
    batch = {"image": colour, "index": order, "row": order}
    found = jax.jit(augmentation.compose([op]))(batch, jax.random.key(0))["image"]
    return np.asarray(found)[:, 0, 0]


def test_hsv_multiplies_saturation_and_value():
    def changed(**arguments):
        spec = dict(name="hsv", hue=0.0, saturation=0.0, value=0.0)
        return recoloured(4, **{**spec, **arguments})

    np.testing.assert_allclose(changed(), [[0.4, 0.2, 0.2]] * 4, atol=1e-6)
    bright = changed(value=0.5)
    np.testing.assert_allclose(bright[:, 1:], bright[:, :1] / 2 * [1, 1], rtol=1e-5)
    assert (bright[:, 0] >= 0.2).all()
    assert (bright[:, 0] <= 0.6).all()
    assert len(np.unique(bright[:, 0])) == 4
    pale = changed(saturation=0.5)
    np.testing.assert_allclose(pale[:, 0], 0.4, rtol=1e-5)
    assert (pale[:, 1] == pale[:, 2]).all()
    # Hue 0 stays 0: it is multiplied.
    np.testing.assert_allclose(changed(hue=0.5), [[0.4, 0.2, 0.2]] * 4, atol=1e-6)


def test_darknet_adds_to_hue_and_divides_as_often_as_it_multiplies():
    # Of Darknet-19's 0.75, factors are from 0.75 to 1 and their inverses.
    colours = recoloured(400, name="darknet_colours", saturation=0.75, exposure=2.0)
    hue, saturation, value = np.transpose([colorsys.rgb_to_hsv(*each) for each in colours])
    # Red, of hue 0, moves either way.
    turned = (hue + 0.5) % 1 - 0.5
    for found, low, high, still in (
        (turned, -0.1, 0.1, 0),
        (saturation / 0.5, 0.75, 1 / 0.75, 1),
        (value / 0.4, 0.5, 2.0, 1),
    ):
        assert low - 1e-5 <= found.min() < low * 0.98 + high * 0.02
        assert low * 0.02 + high * 0.98 < found.max() <= high + 1e-5
        assert 0.4 < (found > still).mean() < 0.6
    same = recoloured(2, name="darknet_colours", hue=0.0, saturation=1.0, exposure=1.0)
    np.testing.assert_allclose(same, [[0.4, 0.2, 0.2]] * 2, atol=1e-6)
    with pytest.raises(ConfigError, match="darknet_colours, exposure"):
        recoloured(2, name="darknet_colours", exposure=0.0)
