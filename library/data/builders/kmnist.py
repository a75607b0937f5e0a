"""Kuzushiji-MNIST: 70,000 grey images of cursive hiragana, 28x28, ten classes.

Clanuwat et al., "Deep learning for classical Japanese literature", 2018, arXiv:1812.01718. Labels,
order and version are those of TFDS.
"""

from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import idx, making

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (28, 28, 1), lossless; train 60,000 and test 10,000."""

    name = "kmnist"
    VERSION = tfds.core.Version("3.0.1")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "kmnist"
    HOMEPAGE = "http://codh.rois.ac.jp/kmnist/"
    LICENCE = "CC BY-SA 4.0 (not checked)"
    CITATION = (
        "Clanuwat et al., Deep learning for classical Japanese literature, 2018, arXiv:1812.01718"
    )
    SPLITS: ClassVar[dict[str, int]] = {"train": 60_000, "test": 10_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.below(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
        {
            "t10k-images-idx3-ubyte.gz": (
                3041136,
                "sha256:edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                5120,
                "sha256:20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
            "train-images-idx3-ubyte.gz": (
                18165135,
                "sha256:51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            "train-labels-idx1-ubyte.gz": (
                29497,
                "sha256:e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return idx.splits(self.paths, 10)

    _generate_examples = making.examples
