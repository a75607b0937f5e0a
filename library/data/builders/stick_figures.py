"""Stick figures: drawn people of thirteen joints in random poses, with the places of the joints.

This project draws them. The limbs of the left side are brighter than those of the right, because a
stick figure has no front.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from library.data.builders import making

SIDE = 64
JOINTS = (
    "head",
    *("left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist"),
    *("left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle"),
)
# Pairs of joints with a limb between them, and its brightness.
LIMBS = (
    *((1, 3, 255), (3, 5, 255), (7, 9, 255), (9, 11, 255), (1, 7, 255)),
    *((2, 4, 150), (4, 6, 150), (8, 10, 150), (10, 12, 150), (2, 8, 150)),
    *((1, 2, 200), (7, 8, 200)),
)
_SEEDS = {"train": 0, "test": 1}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (64, 64, 1) and `points` (13, 2), y and x as fractions of the image.

    One figure an image, 26 to 50 pixels high, turned by up to 30 degrees, on a dark ground with
    noise and four random strokes. Train 5,000 and test 500.
    """

    name = "stick_figures"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    HOMEPAGE = "library/data/builders/stick_figures.py"
    LICENCE = "made by this project"
    CITATION = "made by this project"
    SPLITS: ClassVar[dict[str, int]] = {"train": 5_000, "test": 500}
    KINDS: ClassVar[dict[str, str]] = {"points": "points"}
    LABEL_NAMES = JOINTS

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(SIDE, SIDE, 1), encoding_format="png"),
            "points": tfds.features.Tensor(shape=(len(JOINTS), 2), dtype=np.float32),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {split: _figures(_SEEDS[split], count) for split, count in self.SPLITS.items()}

    _generate_examples = making.examples


def _figures(seed: int, count: int) -> Iterator[tuple[int, dict]]:
    for row in range(count):
        # NumPy never changes the stream of RandomState (NEP 19); that of Generator may change.
        image, points = figure(np.random.RandomState([seed, row]))
        yield row, {"image": making.png(image), "points": points}


def figure(
    random: np.random.RandomState,
) -> tuple[UInt8[np.ndarray, "64 64"], Float[np.ndarray, "13 2"]]:
    """Draws a figure; returns the image and the places of its joints as fractions of it."""
    while True:
        places = pose(random)
        if places.min() >= 2 and places.max() <= SIDE - 2:
            break
    picture = Image.fromarray(random.randint(0, 40, (SIDE, SIDE)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(4):
        ends = random.uniform(0, SIDE, (2, 2))
        draw.line([tuple(end) for end in ends], fill=int(random.randint(60, 130)))
    for start, end, brightness in LIMBS:
        # PIL's places are x and y, from the centre of the first pixel.
        line = [tuple(places[joint, ::-1] - 0.5) for joint in (start, end)]
        draw.line(line, fill=brightness, width=2)
    y, x = places[0] - 0.5
    radius = 0.09 * np.ptp(places[:, 0])
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=220)
    return np.asarray(picture), np.float32(places / SIDE)


def pose(random: np.random.RandomState) -> Float[np.ndarray, "13 2"]:
    """Draws the places of the joints, y and x in pixels; some may be outside the image."""
    height = random.uniform(26, 50)
    shoulders, hips, trunk, limb = (share * height for share in (0.13, 0.09, 0.32, 0.23))

    def ray(start: np.ndarray, length: float, degrees: float) -> np.ndarray:
        """Returns the end of a limb; 0 degrees look down, positive ones to the right."""
        angle = np.deg2rad(degrees)
        return start + length * np.array([np.cos(angle), np.sin(angle)])

    neck = np.zeros(2)
    found = {0: np.array([-0.14 * height, 0.0])}
    pelvis = np.array([trunk, 0.0])
    # The figure looks at us, so its left is at our right.
    for side, sign in ((0, 1), (1, -1)):
        found[1 + side] = neck + np.array([0, sign * shoulders])
        upper = sign * random.uniform(-10, 140)
        found[3 + side] = ray(found[1 + side], limb, upper)
        found[5 + side] = ray(found[3 + side], limb, upper + sign * random.uniform(-20, 110))
        found[7 + side] = pelvis + np.array([0, sign * hips])
        thigh = sign * random.uniform(-10, 60)
        found[9 + side] = ray(found[7 + side], limb, thigh)
        found[11 + side] = ray(found[9 + side], limb, thigh - sign * random.uniform(0, 50))
    places = np.stack([found[i] for i in range(len(JOINTS))])
    turn = np.deg2rad(random.uniform(-30, 30))
    cos, sin = np.cos(turn), np.sin(turn)
    places = (places - pelvis / 2) @ np.array([[cos, sin], [-sin, cos]])
    return places + SIDE / 2 + random.uniform(-10, 10, 2)
