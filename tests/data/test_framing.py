"""Sizes of single images: multiples, canvases, and pairs of a small and a large image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.data import preprocessing
from library.data.augmentation.geometry import flip_lr, flip_ud, quarter_turns

KINDS = {"image": "image", "damaged": "image", "classes": "map"}


def operation(name, **arguments):
    spec = dict(name=name, **arguments)
    return build(spec, "library.data.preprocessing", "preprocessing", kinds=KINDS)


def applied(operations, example, seed=0):
    return preprocessing.chain(operations)(example, np.random.default_rng(seed))


def pair(height=12, width=18, span=3):
    """A large image whose pixels are the numbers of the small one's cells."""
    small = np.arange(height // span * (width // span), dtype=np.uint8)
    small = small.reshape(height // span, width // span, 1)
    return {"image": small.repeat(span, 0).repeat(span, 1), "damaged": small}


def large_of(example, span=3):
    return example["damaged"].repeat(span, 0).repeat(span, 1)


def test_both_images_of_a_pair_are_cropped_alike():
    seen = set()
    for seed in range(12):
        made = applied([operation("random_crop", size=6)], pair(), seed)
        assert made["damaged"].shape == (2, 2, 1)
        np.testing.assert_array_equal(made["image"], large_of(made))
        seen.add(made["damaged"].tobytes())
    assert len(seen) > 4
    # Margins of 2 and 3 pixels of the small image: 1.5 is rounded to 2.
    made = applied([operation("center_crop", size=(6, 9))], pair())
    np.testing.assert_array_equal(made["damaged"], pair()["damaged"][1:3, 2:5])
    np.testing.assert_array_equal(made["image"], large_of(made))
    made = applied([operation("crop_multiple", unit=9)], pair())
    assert made["image"].shape == (9, 18, 1)
    np.testing.assert_array_equal(made["image"], large_of(made))


def test_crops_between_the_pixels_of_the_small_image_are_refused():
    with pytest.raises(ValueError, match="does not fall on its pixels: valid are multiples of 3"):
        applied([operation("random_crop", size=7)], pair())
    with pytest.raises(ValueError, match="or a whole fraction of it"):
        applied(
            [operation("random_crop", size=6)], {**pair(), "damaged": np.zeros((5, 6, 1), np.uint8)}
        )
    with pytest.raises(ValueError, match="the unit must be a multiple of 3"):
        applied([operation("crop_multiple", unit=4)], pair())


def test_both_images_of_a_pair_are_flipped_and_turned_alike():
    example = pair(12, 12)
    batch = {k: jnp.asarray(np.stack([x] * 6), jnp.float32) for k, x in example.items()}
    keys = jax.random.split(jax.random.key(0), 6)
    for make in (flip_lr, flip_ud, quarter_turns):
        made = make(kinds=KINDS)(batch, keys)
        small = np.asarray(made["damaged"])
        np.testing.assert_array_equal(made["image"], small.repeat(3, 1).repeat(3, 2))
        assert len({x.tobytes() for x in small}) > 1


def test_a_canvas_holds_the_image_and_its_mirror_image():
    made = applied([operation("mirror", size=(15, 21))], pair())
    assert made["image_size"].tolist() == [12, 18]
    np.testing.assert_array_equal(made["image"][:12, :18], pair()["image"])
    np.testing.assert_array_equal(made["image"][12:15], made["image"][9:12][::-1])
    np.testing.assert_array_equal(made["image"], large_of(made))
    assert preprocessing.chain([operation("mirror", size=20)]).makes == {"image_size": "array"}
    with pytest.raises(ValueError, match="mirror to 9x9: the image of 12x18 is larger"):
        applied([operation("mirror", size=9)], pair())


def test_upright_images_are_laid_down():
    upright = {k: np.ascontiguousarray(x.transpose(1, 0, 2)) for k, x in pair().items()}
    made = applied([operation("landscape")], upright)
    assert made["image"].shape == (12, 18, 1)
    np.testing.assert_array_equal(made["image"], np.rot90(upright["image"]))
    np.testing.assert_array_equal(made["image"], large_of(made))
    same = applied([operation("landscape")], pair())
    np.testing.assert_array_equal(same["image"], pair()["image"])


def test_objects_and_clips_do_not_follow():
    kinds = {**KINDS, "boxes": "boxes"}
    made = build(dict(name="landscape"), "library.data.preprocessing", "preprocessing", kinds=kinds)
    with pytest.raises(ValueError, match="boxes, of kind 'boxes', does not follow"):
        made({**pair(), "boxes": np.zeros((1, 4), np.float32)}, None)
    with pytest.raises(ValueError, match="damaged, of kind 'clip', does not follow"):
        build(
            dict(name="crop_multiple", unit=2),
            "library.data.preprocessing",
            "preprocessing",
            kinds={"image": "image", "damaged": "clip"},
        )({"image": pair()["image"], "damaged": np.zeros((3, 4, 4, 1), np.uint8)}, None)


def test_images_glide_by_the_same_pixels_from_frame_to_frame():
    kinds = {"first_image": "image", "second_image": "image"}
    spec = dict(name="glide", size=20, reach=4)
    made = build(spec, "library.data.preprocessing", "preprocessing", kinds=kinds)
    assert made.makes == dict.fromkeys(("before", "image", "after"), "image")
    first = np.full((8, 8, 1), 100, np.uint8)
    second = np.full((6, 5, 1), 200, np.uint8)
    motions = set()
    for seed in range(30):
        example = {"first_image": first, "second_image": second, "label": 3}
        found = made(example, np.random.default_rng(seed))
        assert set(found) == {"before", "image", "after", "label"}
        frames = [found[name][..., 0] for name in ("before", "image", "after")]
        corners = [np.argwhere(frame == 200).min(axis=0) for frame in frames]
        assert all((frame == 200).sum() == 30 for frame in frames)
        motion = corners[1] - corners[0]
        np.testing.assert_array_equal(corners[2] - corners[1], motion)
        motions.add(tuple(motion.tolist()))
    assert len(motions) > 10
    assert np.abs(list(motions)).max() == 4
    with pytest.raises(ValueError, match="valid are sizes from 28"):
        made({"first_image": np.zeros((20, 20, 1), np.uint8), "second_image": second}, None)
    with pytest.raises(ConfigError, match="glide needs images"):
        build(spec, "library.data.preprocessing", "preprocessing", kinds={"tokens": "tokens"})
