"""CIFAR-100: 60,000 colour images of 32x32, a hundred classes in twenty groups.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009. Labels, order and version
are those of TFDS.
"""

from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import cifar10, making

_SIZES = {"coarse_label": 20, "label": 100}
_NAMES = {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (32, 32, 3), lossless; train 50,000 and test 10,000."""

    name = "cifar100"
    VERSION = tfds.core.Version("3.0.2")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "cifar100"
    HOMEPAGE, LICENCE, CITATION = cifar10.HOMEPAGE, cifar10.LICENCE, cifar10.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 50_000, "test": 10_000}
    KINDS: ClassVar[dict[str, str]] = {"coarse_label": "label"}
    ORIGIN = origins.below(
        "https://www.cs.toronto.edu/~kriz",
        {
            "cifar-100-binary.tar.gz": (
                168_513_733,
                "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            )
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=_SIZES["label"]),
            "coarse_label": tfds.features.ClassLabel(num_classes=_SIZES["coarse_label"]),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        held = making.contents(path, list(_NAMES.values()), top=False)
        for label, file in _NAMES.items():
            self.info.features[label].names = making.member(path, held, file).decode().split()
        return {
            split: cifar10.read(self.paths, [f"{split}.bin"], f"{split}_", _SIZES)
            for split in self.SPLITS
        }

    _generate_examples = making.examples
