"""Handwritten strings of 3 to 5 digits, joined from the images of MNIST.

Each digit is cut to the columns that have ink. 2 to 6 empty columns come before each digit and at
the end. Training and test take theirs from the images of their own split.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8

from library.data.builders import digit_strings, making, mnist, packed

GAP = (2, 6)
WIDEST = 5 * 28 + 6 * GAP[1]


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (28, w, 1), w at most 176, and `tokens`; train 20,000, test 2,000."""

    name = "mnist_strings"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}
    FOLDER = "mnist"
    FILES = ("mnist.npz",)
    HOMEPAGE = mnist.Builder.HOMEPAGE
    LICENCE = mnist.Builder.LICENCE
    CITATION = mnist.Builder.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 20_000, "test": 2_000}
    KINDS: ClassVar[dict[str, str]] = {"tokens": "tokens"}
    LABEL_NAMES = tuple(str(digit) for digit in range(10))
    ORIGIN = mnist.Builder.ORIGIN
    pack = staticmethod(mnist.Builder.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(28, None, 1), encoding_format="png"),
            "tokens": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["mnist.npz"]
        arrays = packed.load(path, ("x_train", "y_train", "x_test", "y_test"))
        found = {}
        for at, (split, count) in enumerate(self.SPLITS.items()):
            images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
            packed.check_labels(path, labels, len(images), 10)
            found[split] = strings(images, labels, count, seed=at)
        return found

    _generate_examples = making.examples


def strings(
    images: UInt8[np.ndarray, "n 28 28"], labels: Int[np.ndarray, " n"], count: int, seed: int
) -> Iterator[tuple[int, dict]]:
    """Yields `count` strings of the images, the same ones each time."""
    generator = np.random.Generator(np.random.Philox(seed))
    for at, rows in enumerate(digit_strings.drawn([np.arange(len(images))], count, generator)):
        gaps = generator.integers(GAP[0], GAP[1] + 1, size=len(rows) + 1)
        parts = [np.zeros((28, gaps[0]), np.uint8)]
        for row, gap in zip(rows, gaps[1:]):
            parts += [_ink(images[row]), np.zeros((28, gap), np.uint8)]
        tokens = labels[rows].astype(np.int32)
        image = making.png(np.concatenate(parts, axis=1))
        yield at, {"image": image, "tokens": tokens, "id": f"{at}_{''.join(map(str, tokens))}"}


def _ink(image: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h c"]:
    columns = np.flatnonzero(image.any(axis=0))
    return image[:, columns[0] : columns[-1] + 1] if len(columns) else image[:, :1]
