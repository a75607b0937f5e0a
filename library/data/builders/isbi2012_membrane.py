"""Membranes of the ISBI 2012 challenge: 30 slices of the larval nerve cord of a fruit fly.

Cardona et al. 2010, "An integrated micro- and macroarchitectural analysis of the Drosophila brain
by computer-assisted serial section electron microscopy", PLoS Biology 8(10); the training set of
the challenge on segmentation of neuronal structures in EM stacks, on which U-Net was first shown.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from library.config import ConfigError
from library.data.builders import packed

CLASSES = ("membrane", "cell")
# The last slices, which lie together in the stack.
TEST = 6


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Grey images and maps (512, 512), PNG; train, the first 24 slices, and test, the last 6."""

    name = "isbi2012_membrane"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # nothing is downloaded; TFDS would look for checksums
    KINDS: ClassVar[dict] = {"map": "map"}
    LABEL_NAMES = CLASSES
    FOLDER = "isbi2012_membrane"
    FILES = ("membrane.npz",)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "isbi2012_membrane/membrane.npz with images: uint8 (30, 512, 512); labels: uint8 of that "
        "shape, 0 for membrane and 255 for cell."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(512, 512, 1), encoding_format="png"),
                "map": tfds.features.Image(shape=(512, 512, 1), encoding_format="png"),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="ISBI 2012 membranes, 512x512 grey.",
            features=features,
            homepage="https://imagej.net/events/isbi-2012-segmentation-challenge",
        )

    def _split_generators(self, dl_manager):
        path = packed.find(dl_manager.manual_dir, self.FOLDER, self.FILES) / self.FILES[0]
        arrays = packed.load(path, ("images", "labels"))
        images, labels = arrays["images"], arrays["labels"]
        if images.shape != labels.shape or images.ndim != 3 or len(images) <= TEST:
            raise ConfigError(f"{path}: images {images.shape} and labels {labels.shape}")
        first = len(images) - TEST
        return {
            "train": self._generate_examples(path, images, labels, range(first)),
            "test": self._generate_examples(path, images, labels, range(first, len(images))),
        }

    def _generate_examples(
        self, path: Path, images: np.ndarray, labels: np.ndarray, rows: range
    ) -> Iterator[tuple[int, dict]]:
        for row in rows:
            image, label = images[row], labels[row]
            wrong = np.setdiff1d(label, (0, 255))
            if wrong.size:
                raise ConfigError(f"{path}: label {wrong[0]} in slice {row} (valid: 0 and 255)")
            classes = (label > 0).astype(np.uint8)
            yield row, {"image": _png(image), "map": _png(classes), "id": f"slice {row}"}


def _png(pixels: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return file
