"""Tiny ImageNet: 110,000 photographs of 64x64, two hundred classes, one object box each.

The dataset of Stanford's CS231N, a reduced ImageNet (Russakovsky et al., "ImageNet large scale
visual recognition challenge", IJCV 2015). Some photographs are grey. The test files have no labels
and are left out.
"""

import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32

from library.config import ConfigError
from library.data.builders import making
from library.data.origins import Origin

ORIGIN = (
    Origin(
        "tiny-imagenet-200.zip",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        248_100_043,
        "md5:90528d7ca1a48142e341f4ef8d21d0de",
    ),
)
HOMEPAGE = "https://cs231n.stanford.edu"
LICENCE = "ImageNet's terms of access: non-commercial research and education"
CITATION = "Stanford CS231N; Russakovsky et al., ImageNet challenge, IJCV 2015"
_TOP = "tiny-imagenet-200"


def open_archive(path: Path) -> zipfile.ZipFile:
    """Opens the published zip.

    Raises:
      ConfigError: the file is damaged.
    """
    return making.checked(path, lambda: zipfile.ZipFile(path))


def wnids(archive: zipfile.ZipFile) -> list[str]:
    """Returns the wnids of the two hundred classes, sorted, which is the order of the labels."""
    return sorted(archive.read(f"{_TOP}/wnids.txt").decode().split())


def names(archive: zipfile.ZipFile) -> dict[str, str]:
    """Returns the words for each class of ImageNet, by wnid."""
    lines = archive.read(f"{_TOP}/words.txt").decode().splitlines()
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def files(
    archive: zipfile.ZipFile, split: str, classes: Collection[str]
) -> Iterator[tuple[str, str, list[int]]]:
    """Yields (path in the archive, wnid, inclusive box xmin, ymin, xmax, ymax) of "train" or "val".

    Files of "train" come by class, in the order of `classes`, and then by number; those of "val"
    come in the order of the archive's list.
    """
    if split == "val":
        lines = archive.read(f"{_TOP}/val/val_annotations.txt").decode().splitlines()
        for file, wnid, *box in (line.split() for line in lines if line):
            if wnid in classes:
                yield f"{_TOP}/val/images/{file}", wnid, [int(edge) for edge in box]
        return
    for wnid in classes:
        lines = archive.read(f"{_TOP}/train/{wnid}/{wnid}_boxes.txt").decode().splitlines()
        boxes = {file: box for file, *box in (line.split() for line in lines if line)}
        for file in sorted(boxes, key=lambda name: int(name.partition("_")[2].partition(".")[0])):
            path = f"{_TOP}/train/{wnid}/images/{file}"
            yield path, wnid, [int(edge) for edge in boxes[file]]


def fractions(box: list[int]) -> Float32[np.ndarray, "4"]:
    """Converts an inclusive box in pixels to (ymin, xmin, ymax, xmax), fractions of the image."""
    xmin, ymin, xmax, ymax = box
    return np.array([ymin, xmin, ymax + 1, xmax + 1], np.float32) / 64


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (64, 64, 3) with their original bytes; train 100,000 and val 10,000.

    `box` is (ymin, xmin, ymax, xmax) as fractions of the image.
    """

    name = "tinyimagenet"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "tinyimagenet"
    HOMEPAGE, LICENCE, CITATION = HOMEPAGE, LICENCE, CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 100_000, "val": 10_000}
    KINDS: ClassVar[dict[str, str]] = {"box": "target"}
    ORIGIN = ORIGIN

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=200),
            "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        with open_archive(path) as archive:
            self.info.features["label"].names = making.checked(path, lambda: wnids(archive))
        return {split: _read(path, split) for split in self.SPLITS}

    _generate_examples = making.examples


def _read(path: Path, split: str) -> Iterator[tuple[str, dict]]:
    with open_archive(path) as archive:
        listed = making.checked(path, lambda: list(files(archive, split, wnids(archive))))
        if not listed:
            raise ConfigError(f"{path} holds no images of {split}")
        for file, wnid, box in listed:
            image = making.encoded(making.checked(path, lambda file=file: archive.read(file)))
            name = file.rpartition("/")[2]
            yield name, {"image": image, "label": wnid, "box": fractions(box), "id": name}
