"""Optical recognition of handwritten digits: 1,797 grey images of 8x8, ten classes.

The test set of Alpaydin and Kaynak, "Cascading classifiers", Kybernetika 34, 1998. scikit-learn
contains it, so nothing is downloaded.
"""

import io
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from PIL import Image


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (8, 8, 1) with pixels 0..16 scaled to 0..255; train 1,437 and test 360."""

    name = "digits"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    HOMEPAGE = "https://archive.ics.uci.edu/dataset/80"
    LICENCE = "CC BY 4.0 (not checked); bundled with scikit-learn"
    CITATION = "Alpaydin and Kaynak, Cascading classifiers, Kybernetika 34, 1998"
    SPLITS: ClassVar[dict[str, int]] = {"train": 1_437, "test": 360}
    KINDS: ClassVar[dict[str, str]] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten digits of scikit-learn, 8x8 grey.",
            features=features,
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        from sklearn.datasets import load_digits

        digits = load_digits()
        train, test = split_rows(digits.target)
        return {
            "train": self._generate_examples(digits, train),
            "test": self._generate_examples(digits, test),
        }

    def _generate_examples(self, digits, rows: np.ndarray) -> Iterator[tuple[int, dict]]:
        for row in rows.tolist():
            pixels = np.rint(digits.images[row] * (255 / 16)).astype(np.uint8)
            image = io.BytesIO()
            Image.fromarray(pixels).save(image, "PNG")
            image.seek(0)
            yield row, {"image": image, "label": int(digits.target[row]), "id": str(row)}


def split_rows(
    target: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Returns the rows of the training and the test split.

    The images are permuted and then sorted by class; every fifth one is in test. The test split
    thus has a fifth of each class, to within one image. Writers are in both splits: this is not the
    split by writer of the original paper.
    """
    # NumPy never changes the stream of RandomState (NEP 19); that of Generator may change.
    order = np.random.RandomState(0).permutation(len(target))
    order = order[np.argsort(target[order], kind="stable")]
    test = np.arange(len(target)) % 5 == 0
    return np.sort(order[~test]), np.sort(order[test])
