"""Device augmentation moves all that has a place in an image together, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import maps
from library.config import build
from library.data import augmentation, on_device

SIZE, EXAMPLES = 12, 6
KINDS = dict(
    image="image", other="image", classes="map", depth="field", boxes="boxes", points="points"
)
# Where each pixel goes is known exactly, or to a pixel.
ON_THE_GRID = [
    dict(name="flip_lr"),
    dict(name="flip_ud"),
    dict(name="quarter_turns"),
    dict(name="alternating_flip", num_examples=4),
    dict(name="random_crop", padding=3),
    dict(name="random_crop", padding=3, mode="reflect"),
    dict(name="random_crop", size=7),
]
BETWEEN_PIXELS = [
    dict(name="random_resized_crop", size=9, area=[0.4, 1.0]),
    dict(name="affine", degrees=40.0, translate=0.1, scale=[0.8, 1.2], shear=10.0),
    dict(name="elastic", std=0.5),
    dict(name="smooth_elastic", sigma=3.0, alpha=8.0),
]
COLOUR = [
    dict(name="color_jitter", brightness=0.4),
    dict(name="gaussian_blur", kernel_size=3),
    dict(name="random_erasing", probability=1.0),
    dict(name="cutout", size=5),
    dict(name="normalize", mean=[0.5], std=[0.5]),
]
REFUSE = [
    dict(name="mixup", alpha=1.0, num_classes=3),
    dict(name="cutmix", alpha=1.0, num_classes=3),
    dict(name="rand_augment"),
    dict(name="auto_augment"),
    dict(name="trivial_augment"),
]


def scenes():
    """Examples whose map numbers the pixels, whose points are their centres, and the rest alike."""
    number = np.arange(SIZE * SIZE, dtype=np.int32).reshape(SIZE, SIZE)
    centres = (np.indices((SIZE, SIZE)).reshape(2, -1).T + 0.5) / SIZE
    half = 0.5 / SIZE
    one = {
        "image": np.repeat(number[..., None] / np.float32(255), 3, axis=2),
        "other": number[..., None] / np.float32(255),
        "classes": number,
        "depth": np.float32(number),
        "points": np.float32(centres),
        "boxes": np.float32(np.concatenate([centres - half, centres + half], axis=1)),
        "label": np.int32(1),
    }
    batch = {name: jnp.stack([x] * EXAMPLES) for name, x in one.items()}
    order = jnp.arange(EXAMPLES, dtype=jnp.uint32)
    return {**batch, "index": order, "row": order * 3}


def applied(spec, batch):
    op = build(spec, "library.data.augmentation", "augmentation", kinds=KINDS)
    found = jax.jit(augmentation.compose([op]))(batch, jax.random.key(1))
    return {name: np.asarray(x) for name, x in found.items()}


def under(points, values):
    """Returns what lies under points, as fractions, and their distance from a pixel's border."""
    at = np.floor(points * values.shape[:2]).astype(int)
    return values[at[:, 0], at[:, 1]]


@pytest.mark.parametrize("spec", ON_THE_GRID, ids=lambda spec: spec["name"])
def test_what_moves_on_the_grid_of_pixels_moves_exactly(spec):
    batch = scenes()
    found = applied(spec, batch)
    before = batch["classes"][:, : found["classes"].shape[1], : found["classes"].shape[2]]
    assert (found["classes"] != before).any()
    for i in range(EXAMPLES):
        there = found["points_mask"][i] > 0
        assert there.any()
        points = found["points"][i][there]
        numbers = np.flatnonzero(there)
        np.testing.assert_array_equal(under(points, found["classes"][i]), numbers)
        np.testing.assert_array_equal(under(points, found["depth"][i]), numbers)
        shown = np.rint(under(points, found["image"][i]) * 255)
        np.testing.assert_array_equal(shown, np.stack([numbers] * 3, axis=1))
        np.testing.assert_array_equal(found["other"][i][..., 0], found["image"][i][..., 0])
        # Each box was a pixel, and is one where its centre still is one.
        boxes = found["boxes"][i][there]
        np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, points, atol=1e-6)
        np.testing.assert_array_equal(found["boxes_mask"][i] > 0, there)
    assert found["label"].tolist() == [1] * EXAMPLES


@pytest.mark.parametrize("spec", BETWEEN_PIXELS, ids=lambda spec: spec["name"])
def test_what_moves_between_pixels_stays_together(spec):
    found = applied(spec, scenes())
    size = found["classes"].shape[1]
    for i in range(EXAMPLES):
        there = found["points_mask"][i] > 0
        assert there.sum() > SIZE
        points, numbers = found["points"][i][there], np.flatnonzero(there)
        shown = under(np.minimum(points, 1 - 1e-6), found["classes"][i])
        known = shown != maps.UNKNOWN
        assert known.mean() > 0.8
        far = np.stack([shown // SIZE - numbers // SIZE, shown % SIZE - numbers % SIZE])[:, known]
        # The pixel that a point lands in shows the place it came from, to half of its own width.
        assert np.abs(far).max() <= np.ceil(0.75 * max(1, SIZE / size)) + 1
        assert np.abs(far).mean() < 0.6
        boxes = found["boxes"][i][there]
        assert (boxes[:, :2] <= points + 1e-5).all()
        assert (boxes[:, 2:] >= points - 1e-5).all()
        # Where neither interpolates over the border they agree within the nearest pixel's reach.
        inner = found["depth"][i][2:-2, 2:-2], found["classes"][i][2:-2, 2:-2]
        same = inner[1] != maps.UNKNOWN
        assert np.median(np.abs(inner[0] - inner[1])[same]) <= 0.5 * (SIZE + 1)


def test_an_affine_motion_that_moves_nothing_is_none():
    batch = scenes()
    found = applied(dict(name="affine"), batch)
    for name in ("image", "classes", "depth"):
        np.testing.assert_allclose(found[name], batch[name], atol=1e-4)
    np.testing.assert_allclose(found["points"], batch["points"], atol=1e-6)
    turned = applied(dict(name="affine", degrees=40.0, probability=0.0), batch)
    np.testing.assert_array_equal(turned["classes"], batch["classes"])


@pytest.mark.parametrize("spec", COLOUR, ids=lambda spec: spec["name"])
def test_colour_changes_images_alone(spec):
    batch = scenes()
    found = applied(spec, batch)
    assert set(found) == set(batch)
    for name, x in found.items():
        assert (name in ("image", "other")) == bool((x != batch[name]).any()), name


@pytest.mark.parametrize("spec", REFUSE, ids=lambda spec: spec["name"])
def test_what_cannot_be_mixed_or_moved_is_refused_by_name(spec):
    batch = scenes()
    op = build(spec, "library.data.augmentation", "augmentation", kinds=KINDS)
    with pytest.raises(ValueError, match="cannot change 'classes', of kind 'map'"):
        op(batch, jax.random.split(jax.random.key(0), EXAMPLES))


def test_a_padded_map_is_unknown_there_and_what_is_masked_stays_so():
    batch = scenes()
    batch["boxes_mask"] = jnp.zeros(batch["boxes"].shape[:2])
    found = applied(dict(name="random_crop", padding=SIZE), batch)
    outside = found["other"][..., 0] == 0
    assert (found["classes"][outside & (found["classes"] != 0)] == maps.UNKNOWN).all()
    assert (found["boxes_mask"] == 0).all()
    other = applied(dict(name="random_crop", padding=SIZE, map_fill=7), batch)
    assert (other["classes"] != maps.UNKNOWN).all()


def test_images_of_two_sizes_are_not_cropped_together():
    batch = scenes()
    batch["other"] = batch["other"][:, ::2, ::2]
    with pytest.raises(ValueError, match=r"other has size .* but image has"):
        applied(dict(name="random_crop", padding=2), batch)


def test_only_images_are_scaled_and_normalized():
    kinds = dict(photo="image", classes="map", code="array", depth="field")
    batch = {
        "photo": np.full((1, 2, 2, 1), 255, np.uint8),
        "classes": np.full((1, 2, 2), 7, np.uint8),
        "code": np.full((1, 3), 9, np.uint8),
        "depth": np.full((1, 2, 2), 3, np.float32),
    }
    batch = {name: jnp.asarray(x) for name, x in batch.items()}
    normalize = on_device.normalizer(dict(mean=[0.5], std=[0.25]), kinds)
    found = normalize(on_device.to_float(batch, kinds))
    assert (found["photo"] == 2).all()
    assert found["classes"].dtype == jnp.int32
    assert (found["classes"] == 7).all()
    assert found["code"].dtype == jnp.uint8
    assert (found["depth"] == 3).all()
    assert set(normalize({"depth": batch["depth"]})) == {"depth"}
