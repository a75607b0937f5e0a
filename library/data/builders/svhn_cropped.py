"""SVHN: 630,420 colour images of digits in house numbers, 32x32, ten classes.

Netzer et al., "Reading digits in natural images with unsupervised feature learning", 2011. Labels,
order and version are those of TFDS: the digit 0 is class 0, not 10 as in the files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.io
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (32, 32, 3), lossless; train 73,257, test 26,032 and extra 531,131."""

    name = "svhn_cropped"
    VERSION = tfds.core.Version("3.1.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "svhn_cropped"
    HOMEPAGE = "http://ufldl.stanford.edu/housenumbers/"
    LICENCE = "for non-commercial use, as others say that the origin states (not checked)"
    CITATION = "Netzer et al., Reading digits in natural images, 2011"
    SPLITS: ClassVar[dict[str, int]] = {"train": 73_257, "test": 26_032, "extra": 531_131}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.below(
        "http://ufldl.stanford.edu/housenumbers",
        {
            "train_32x32.mat": (
                182_040_794,
                "sha256:435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            ),
            "test_32x32.mat": (
                64_275_384,
                "sha256:cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            ),
            "extra_32x32.mat": (
                1_329_278_602,
                "sha256:a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
            ),
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=10),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {
            split: _read(self.paths[f"{split}_32x32.mat"], f"{split}_") for split in self.SPLITS
        }

    _generate_examples = making.examples


def _read(path: Path, prefix: str) -> Iterator[tuple[int, dict]]:
    arrays = making.checked(path, lambda: scipy.io.loadmat(path, variable_names=("X", "y")))
    images, labels = making.checked(path, lambda: (arrays["X"], arrays["y"].reshape(-1)))
    labels = np.where(labels == 10, 0, labels)
    packed.check_labels(path, labels, images.shape[-1], 10)
    for row, label in enumerate(labels.tolist()):
        image = making.png(np.ascontiguousarray(images[..., row]))
        yield row, {"image": image, "label": label, "id": f"{prefix}{row:06d}"}
