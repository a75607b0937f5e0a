"""Clips: all frames are decoded, and change as one image would."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from library.data import augmentation, on_device, preprocessing
from library.data.augmentation import colour, warping
from library.data.augmentation.geometry import flip_lr, random_crop
from library.data.builders import moving_digits
from library.data.preprocessing import CorruptExample
from library.data.preprocessing.rotation import rotated
from tests import often

KINDS = {"image": "clip", "map": "map"}
CLIP = np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3), np.uint8)


def test_the_frames_of_an_animated_file_are_decoded_without_loss():
    file = io.BytesIO()
    first, *others = map(Image.fromarray, CLIP)
    first.save(file, "PNG", save_all=True, append_images=others)
    decode = preprocessing.decode(kinds=KINDS)
    np.testing.assert_array_equal(decode({"image": file.getvalue()}, None)["image"], CLIP)
    np.testing.assert_array_equal(decode({"image": CLIP}, None)["image"], CLIP)
    grey = preprocessing.decode(channels=1, kinds=KINDS)({"image": CLIP}, None)["image"]
    assert grey.shape == (3, 8, 10, 1)
    small = preprocessing.decode(max_pixels=200, kinds=KINDS)
    with pytest.raises(CorruptExample, match="3 frames of 10x8 is over the limit of 200"):
        small({"image": file.getvalue()}, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda kinds: preprocessing.resize(size=(5, 6), kinds=kinds),
        lambda kinds: preprocessing.resize_short(size=4, kinds=kinds),
        lambda kinds: preprocessing.random_crop(size=(4, 5), kinds=kinds),
        lambda kinds: preprocessing.inception_crop(size=6, kinds=kinds),
        lambda kinds: preprocessing.pad(size=(12, 14), fill=7, kinds=kinds),
        lambda kinds: rotated(degrees=90.0, fill=3, kinds=kinds),
    ],
    ids=["resize", "resize_short", "random_crop", "inception_crop", "pad", "rotated"],
)
def test_geometry_on_the_host_moves_every_frame_as_an_image(make):
    found = make(KINDS)({"image": CLIP}, np.random.default_rng(1))["image"]
    for frame, moved in zip(CLIP, found, strict=True):
        alone = make({"image": "image"})({"image": frame}, np.random.default_rng(1))["image"]
        np.testing.assert_array_equal(moved, alone)


@pytest.mark.parametrize(
    "make",
    often.first(
        2,
        [
            lambda kinds: flip_lr(kinds=kinds),
            lambda kinds: random_crop(padding=2, kinds=kinds),
            lambda kinds: warping.affine(degrees=30.0, kinds=kinds),
            lambda kinds: colour.color_jitter(brightness=0.4, kinds=kinds),
        ],
    ),
    ids=["flip_lr", "random_crop", "affine", "color_jitter"],
)
def test_operations_on_the_device_change_all_frames_by_one_key(make):
    clips = jnp.float32(np.stack([CLIP, 255 - CLIP])) / 255
    keys = jax.random.split(jax.random.key(0), 2)
    # Compiled as a whole: one by one the operations take seconds to compile.
    found = jax.jit(make(KINDS))({"image": clips}, keys)["image"]
    of_images = jax.jit(make({"image": "image"}))
    for i in range(3):
        alone = of_images({"image": clips[:, i]}, keys)["image"]
        np.testing.assert_allclose(found[:, i], alone, atol=1e-6)


def test_maps_move_with_clips_and_other_sizes_are_named():
    places = jnp.arange(80).reshape(1, 8, 10)
    batch = {"image": jnp.float32(places[:, None, :, :, None]) / 80, "map": places}
    keys = jax.random.split(jax.random.key(3), 1)
    found = flip_lr(probability=1.0, kinds=KINDS)(batch, keys)
    np.testing.assert_array_equal(found["map"], places[:, :, ::-1])
    np.testing.assert_allclose(80 * found["image"][0, 0, :, :, 0], places[0, :, ::-1], atol=1e-4)
    with pytest.raises(ValueError, match=r"map has size \(8, 9\)"):
        random_crop(padding=1, kinds=KINDS)(batch | {"map": places[:, :, 1:]}, keys)


def test_clips_are_scaled_and_normalized_as_images():
    batch = on_device.to_float({"image": jnp.asarray(CLIP[None])}, KINDS)
    np.testing.assert_allclose(batch["image"][0], CLIP / np.float32(255))
    normalize = on_device.normalizer(dict(mean=[0.5], std=[0.25]), KINDS)
    found = normalize(batch)["image"]
    np.testing.assert_allclose(found, (batch["image"] - 0.5) / 0.25, atol=1e-6)
    assert augmentation.normalize((0.5,), (0.25,), KINDS)(batch)["image"].shape == (1, *CLIP.shape)


@pytest.mark.parametrize("direction", range(4))
def test_a_moving_digit_goes_its_way_and_stays_whole(direction):
    digit = np.zeros((28, 28), np.uint8)
    digit[4:20, 8:12] = 200
    clip = moving_digits.moving(digit, direction, np.random.RandomState(direction))
    assert clip.shape == (16, 64, 64)
    assert (clip.sum((1, 2)) == digit.sum()).all()
    corners = np.array([[np.nonzero(frame.any(axis))[0][0] for axis in (1, 0)] for frame in clip])
    steps = np.diff(corners, axis=0)
    way = [*moving_digits.DIRECTIONS.values()][direction]
    along = int(way[0] == 0)
    assert (steps[:, 1 - along] == 0).all()
    assert set(way[along] * steps[:, along]) <= {1, 2, 3}
    file = moving_digits.animated(clip)
    kinds = {"image": "clip"}
    decode = preprocessing.decode(channels=1, kinds=kinds)
    np.testing.assert_array_equal(decode({"image": file.getvalue()}, None)["image"][..., 0], clip)
