"""Overlapping digits: images of 64x64 with two or three handwritten digits, a mask for each.

This project makes them from the digits of MNIST: those of its training set for train, and those of
its test set for test.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8

from library.data.builders import making, packed

SIDE, DIGIT, MOST = 64, 28, 3
# The least brightness of a pixel of a digit's mask, and the least distance of two digits.
INK, APART = 64, 12
_SEEDS = {"train": 0, "test": 1}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`image` (64, 64, 1), `map` (64, 64), whose bit i is the mask of digit i, and `digits` (3,).

    `digits` has the class of each digit, and -1 in place of a third one that is not there. The
    masks are whole: where digits overlap, a pixel is in both. Train 10,000 and test 1,000.
    """

    name = "overlapping_digits"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "mnist"
    FILES = ("mnist.npz",)
    HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"
    LICENCE = "that of MNIST, CC BY-SA 3.0 (not checked)"
    CITATION = "made by this project; LeCun et al., Gradient-based learning, 1998"
    SPLITS: ClassVar[dict[str, int]] = {"train": 10_000, "test": 1_000}
    KINDS: ClassVar[dict[str, str]] = {"map": "map", "digits": "array"}
    LABEL_NAMES = tuple(str(digit) for digit in range(10))

    def _info(self) -> tfds.core.DatasetInfo:
        shape = dict(shape=(SIDE, SIDE, 1), encoding_format="png")
        features = {
            "image": tfds.features.Image(**shape),
            "map": tfds.features.Image(**shape),
            "digits": tfds.features.Tensor(shape=(MOST,), dtype=np.int32),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        digits = packed.load_digits(self.paths["mnist.npz"])
        return {
            split: _scenes(*digits[split], _SEEDS[split], count)
            for split, count in self.SPLITS.items()
        }

    _generate_examples = making.examples


def _scenes(
    images: UInt8[np.ndarray, "n 28 28"], labels: np.ndarray, seed: int, count: int
) -> Iterator[tuple[int, dict]]:
    for row in range(count):
        # NumPy never changes the stream of RandomState (NEP 19); that of Generator may change.
        random = np.random.RandomState([seed, row])
        which = random.randint(len(images), size=random.randint(2, MOST + 1))
        image, bits = scene(images[which], random)
        digits = np.full(MOST, -1, np.int32)
        digits[: len(which)] = labels[which]
        yield row, {"image": making.png(image), "map": making.png(bits), "digits": digits}


def scene(
    digits: UInt8[np.ndarray, "d 28 28"], random: np.random.RandomState
) -> tuple[UInt8[np.ndarray, "64 64"], UInt8[np.ndarray, "64 64"]]:
    """Returns digits at random places, each pixel the brightest of them, and the bits of masks."""
    while True:
        places = random.randint(SIDE - DIGIT + 1, size=(len(digits), 2))
        gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
        if (gaps + 1000 * np.eye(len(digits))).min() >= APART:
            break
    image, bits = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    for i, (digit, (top, left)) in enumerate(zip(digits, places)):
        here = np.s_[top : top + DIGIT, left : left + DIGIT]
        image[here] = np.maximum(image[here], digit)
        bits[here] |= (digit >= INK).astype(np.uint8) << i
    return image, bits


def masks_of(
    bits: Int[np.ndarray, "*b h w"], count: int = MOST
) -> UInt8[np.ndarray, "*b count h w"]:
    """Returns the masks, 0 or 1, that a map of bits holds."""
    return np.stack([(bits >> i) & 1 for i in range(count)], axis=-3).astype(np.uint8)
