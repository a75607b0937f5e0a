"""STL-10: 13,000 colour images of 96x96 in ten classes, and 100,000 without labels.

Coates, Lee and Ng, "An analysis of single-layer networks in unsupervised feature learning",
AISTATS 2011. Labels, order and version are those of TFDS: an image without a label has -1.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, packed

CLASSES = (
    *("airplane", "bird", "car", "cat", "deer"),
    *("dog", "horse", "monkey", "ship", "truck"),
)
_PIXELS = 3 * 96 * 96
_FILES = {"train": "train", "test": "test", "unlabelled": "unlabeled"}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (96, 96, 3), lossless; train 5,000, test 8,000 and unlabelled 100,000."""

    name = "stl10"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "stl10"
    HOMEPAGE = "https://cs.stanford.edu/~acoates/stl10/"
    LICENCE = "not stated; the images are ImageNet's"
    CITATION = "Coates, Lee and Ng, An analysis of single-layer networks, AISTATS 2011"
    SPLITS: ClassVar[dict[str, int]] = {"train": 5_000, "test": 8_000, "unlabelled": 100_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.below(
        "http://ai.stanford.edu/~acoates/stl10",
        {
            "stl10_binary.tar.gz": (
                2_640_397_119,
                "sha256:f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
            )
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(96, 96, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["stl10_binary.tar.gz"]
        labels = making.contents(path, ("train_y.bin", "test_y.bin"), top=False)
        return {
            split: _read(path, f"{file}_X.bin", labels.get(f"{file}_y.bin"))
            for split, file in _FILES.items()
        }

    _generate_examples = making.examples


def _read(path: Path, file: str, labels: bytes | None) -> Iterator[tuple[int, dict]]:
    """Yields the images of one file of the archive, which need not fit in memory."""
    known = None if labels is None else np.frombuffer(labels, np.uint8).astype(int) - 1
    with tarfile.open(path, "r|*") as archive:
        member = next((each for each in archive if each.name.endswith(f"/{file}")), None)
        if member is None or member.size % _PIXELS:
            raise ConfigError(f"{path} has no {file} that holds whole images of 96x96")
        count = member.size // _PIXELS
        if known is not None:
            packed.check_labels(path, known, count, len(CLASSES))
        stream = archive.extractfile(member)
        for row in range(count):
            data = making.checked(path, lambda: stream.read(_PIXELS))
            # The file stores images by columns.
            pixels = np.frombuffer(data, np.uint8).reshape(3, 96, 96).transpose(2, 1, 0)
            label = -1 if known is None else int(known[row])
            yield row, {"image": making.png(np.ascontiguousarray(pixels)), "label": label}
