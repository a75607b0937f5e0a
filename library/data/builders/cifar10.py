"""CIFAR-10: 60,000 colour images of 32x32, ten classes.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009. Labels, order and version
are those of TFDS.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import cifar10_jpeg, making, packed

HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
LICENCE = "not stated"
CITATION = "Krizhevsky, Learning multiple layers of features from tiny images, 2009"
_PIXELS = 3 * 32 * 32


def read(
    paths: Mapping[str, Path],
    files: Sequence[str],
    prefix: str,
    num_classes: Mapping[str, int],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the examples of a split, with their place in the files.

    Args:
      paths: the path of the archive, by name.
      files: names of the split's files, in order. For each image a file holds one byte for each
        label, and then all red pixels by rows, all green and all blue ones.
      prefix: prefix of the examples' ids.
      num_classes: number of classes of each label, in the order of the bytes.

    Raises:
      ConfigError: the archive lacks a file, or a file does not hold whole images with valid labels.
    """
    ((_, path),) = paths.items()
    held = making.contents(path, files, top=False)
    records = []
    for file in files:
        data = np.frombuffer(making.member(path, held, file), np.uint8)
        if not data.size or data.size % (_PIXELS + len(num_classes)):
            raise ConfigError(f"{path}: {file} has {data.size:,} bytes, not a number of images")
        records.append(data.reshape(-1, _PIXELS + len(num_classes)))
    rows = np.concatenate(records)
    for column, (key, size) in enumerate(num_classes.items()):
        packed.check_labels(f"{path}, {key}", rows[:, column], len(rows), size)
    for row, record in enumerate(rows):
        pixels = record[len(num_classes) :].reshape(3, 32, 32).transpose(1, 2, 0)
        labels = dict(zip(num_classes, record[: len(num_classes)].tolist()))
        image = making.png(np.ascontiguousarray(pixels))
        yield row, {"id": f"{prefix}{row:05d}", "image": image, **labels}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (32, 32, 3), lossless; train 50,000 and test 10,000."""

    name = "cifar10"
    VERSION = tfds.core.Version("3.0.2")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "cifar10"
    HOMEPAGE, LICENCE, CITATION = HOMEPAGE, LICENCE, CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 50_000, "test": 10_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.below(
        "https://www.cs.toronto.edu/~kriz",
        {
            "cifar-10-binary.tar.gz": (
                170_052_171,
                "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            )
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=cifar10_jpeg.CLASSES),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        train = [f"data_batch_{number}.bin" for number in range(1, 6)]
        return {
            "train": read(self.paths, train, "train_", {"label": 10}),
            "test": read(self.paths, ["test_batch.bin"], "test_", {"label": 10}),
        }

    _generate_examples = making.examples
