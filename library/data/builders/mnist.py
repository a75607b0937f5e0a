"""MNIST: 70,000 grey images of handwritten digits, 28x28, ten classes.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86, 1998. Files, labels, order and version are those of TFDS.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import idx, making, packed


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (28, 28, 1), lossless; train 60,000 and test 10,000."""

    name = "mnist"
    VERSION = tfds.core.Version("3.0.1")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "mnist"
    FILES = ("mnist.npz",)
    HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"
    LICENCE = "CC BY-SA 3.0, as others state (not checked)"
    CITATION = "LeCun et al., Gradient-based learning applied to document recognition, 1998"
    SPLITS: ClassVar[dict[str, int]] = {"train": 60_000, "test": 10_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.below(
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        {
            "t10k-images-idx3-ubyte.gz": (
                1648877,
                "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                4542,
                "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
            "train-images-idx3-ubyte.gz": (
                9912422,
                "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            "train-labels-idx1-ubyte.gz": (
                28881,
                "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["mnist.npz"]
        arrays = packed.load(path, [f"{x}_{split}" for split in idx.SPLITS for x in "xy"])
        return {
            split: idx.pairs(path, arrays[f"x_{split}"], arrays[f"y_{split}"], 10)
            for split in idx.SPLITS
        }

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Writes mnist.npz, a file that Keras has under the same name."""
        arrays = {}
        for split, prefix in idx.SPLITS.items():
            arrays[f"x_{split}"] = idx.read(paths[f"{prefix}-images-idx3-ubyte.gz"])
            arrays[f"y_{split}"] = idx.read(paths[f"{prefix}-labels-idx1-ubyte.gz"])
        np.savez_compressed(folder / "mnist.npz", **arrays)

    _generate_examples = making.examples
