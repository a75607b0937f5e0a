"""Moving digits: clips of 16 frames of 64x64 in which a handwritten digit moves in one direction.

This project makes them from the digits of MNIST: those of its training set for train, and those of
its test set for test.
"""

import io
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

from library.data.builders import making, packed

FRAMES, SIDE, DIGIT = 16, 64, 28
# Rows and columns per step of the directions.
DIRECTIONS = {"right": (0, 1), "left": (0, -1), "up": (-1, 0), "down": (1, 0)}
CLASSES = tuple(f"{digit} {direction}" for direction in DIRECTIONS for digit in range(10))
# Pixels from frame to frame. The fastest digit just crosses the frame.
SPEEDS = (1.0, 2.4)
_SEEDS = {"train": 0, "test": 1}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`image`, a clip (16, 64, 64, 1), and `label`, one of 40: the digit and its direction.

    The label is 10 times the direction (right, left, up, down), plus the digit. A digit moves 1 to
    2.4 pixels from frame to frame and stays in the frame. Clips are animated PNGs. Train 10,000 and
    test 2,000.
    """

    name = "moving_digits"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "mnist"
    FILES = ("mnist.npz",)
    HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"
    LICENCE = "that of MNIST, CC BY-SA 3.0 (not checked)"
    CITATION = "made by this project; LeCun et al., Gradient-based learning, 1998"
    SPLITS: ClassVar[dict[str, int]] = {"train": 10_000, "test": 2_000}
    KINDS: ClassVar[dict[str, str]] = {"image": "clip"}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(SIDE, SIDE, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        digits = packed.load_digits(self.paths["mnist.npz"])
        return {
            split: _clips(*digits[split], _SEEDS[split], count)
            for split, count in self.SPLITS.items()
        }

    _generate_examples = making.examples


def _clips(
    digits: UInt8[np.ndarray, "n 28 28"], labels: np.ndarray, seed: int, count: int
) -> Iterator[tuple[int, dict]]:
    for row in range(count):
        # NumPy never changes the stream of RandomState (NEP 19); that of Generator may change.
        random = np.random.RandomState([seed, row])
        which, direction = random.randint(len(digits)), random.randint(len(DIRECTIONS))
        clip = moving(digits[which], direction, random)
        yield row, {"image": animated(clip), "label": 10 * direction + int(labels[which])}


def moving(
    digit: UInt8[np.ndarray, "28 28"], direction: int, random: np.random.RandomState
) -> UInt8[np.ndarray, "16 64 64"]:
    """Returns the frames of a digit that moves from a random place at a random speed."""
    step = np.array([*DIRECTIONS.values()][direction]) * random.uniform(*SPEEDS)
    path = np.arange(FRAMES)[:, None] * step
    low, high = -path.min(0), SIDE - DIGIT - path.max(0)
    places = np.floor(random.uniform(low, high) + path + 1e-9).astype(int)
    frames = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    for frame, (top, left) in zip(frames, np.clip(places, 0, SIDE - DIGIT)):
        frame[top : top + DIGIT, left : left + DIGIT] = digit
    return frames


def animated(clip: UInt8[np.ndarray, "t h w"]) -> io.BytesIO:
    """Encodes the frames of a clip as an animated PNG, without loss.

    Frames that follow each other must differ: PIL joins equal ones.
    """
    first, *others = (Image.fromarray(frame) for frame in clip)
    file = io.BytesIO()
    first.save(file, "PNG", save_all=True, append_images=others, duration=40)
    file.seek(0)
    return file
