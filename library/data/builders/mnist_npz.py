"""MNIST from one npz file: 70,000 grey images of 28x28, ten classes.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86, 1998. It has the same images as `mnist`, in another order.
"""

import io
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

from library.data.builders import mnist, packed


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (28, 28, 1), lossless; train 60,000 and test 10,000."""

    name = "mnist_npz"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "mnist"
    FILES = ("mnist.npz",)
    HOMEPAGE = mnist.Builder.HOMEPAGE
    LICENCE = mnist.Builder.LICENCE
    CITATION = mnist.Builder.CITATION
    SPLITS: ClassVar[dict[str, int]] = mnist.Builder.SPLITS
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = mnist.Builder.ORIGIN
    pack = staticmethod(mnist.Builder.pack)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "mnist/mnist.npz with x_train, x_test: uint8 (n, 28, 28); y_train, y_test: uint8 (n,)."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="MNIST handwritten digits, 28x28 grey.",
            features=features,
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        path = packed.find(dl_manager.manual_dir, self.FOLDER, self.FILES) / self.FILES[0]
        digits = packed.load_digits(path)
        return {split: self._generate_examples(split, *found) for split, found in digits.items()}

    def _generate_examples(
        self, split: str, images: UInt8[np.ndarray, "n 28 28"], labels: UInt8[np.ndarray, " n"]
    ) -> Iterator[tuple[int, dict]]:
        for row, (pixels, label) in enumerate(zip(images, labels)):
            image = io.BytesIO()
            Image.fromarray(pixels).save(image, "PNG")
            image.seek(0)
            yield row, {"image": image, "label": int(label), "id": f"{split} {row}"}
