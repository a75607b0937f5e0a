"""Pascal VOC of 2007 and 2012: photographs with a box around each object of twenty classes.

"0712" trains on training and validation of both years and tests on 2007, as detectors do.

Everingham et al., "The Pascal visual object classes (VOC) challenge", IJCV 2010. Difficult objects
have boxes, too, and a mark. The test split of 2012 has no boxes and is left out.
"""

import itertools
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data.builders import making
from library.data.origins import Origin

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_BASE = "https://thor.robots.ox.ac.uk/pascal/VOC"
_TRAINVAL_2007 = Origin(
    "VOCtrainval_06-Nov-2007.tar",
    f"{_BASE}/voc2007/VOCtrainval_06-Nov-2007.tar",
    460_032_000,
    "sha256:7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
)
_TEST_2007 = Origin(
    "VOCtest_06-Nov-2007.tar",
    f"{_BASE}/voc2007/VOCtest_06-Nov-2007.tar",
    451_020_800,
    "sha256:6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
)
_TRAINVAL_2012 = Origin(
    "VOCtrainval_11-May-2012.tar",
    f"{_BASE}/voc2012/VOCtrainval_11-May-2012.tar",
    1_999_639_040,
    "sha256:e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images with their original bytes; 2007: train 2,501, validation 2,510 and test 4,952.

    `boxes` are (n, 4), (ymin, xmin, ymax, xmax) as fractions of the image; `boxes_label` and
    `boxes_difficult` (n,). Edges are inclusive pixels that count from 1, as in the files.
    """

    name = "voc"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "voc"
    HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC/"
    LICENCE = "Flickr's terms of use for the photographs (not checked)"
    CITATION = "Everingham et al., The Pascal visual object classes challenge, IJCV 2010"
    KINDS: ClassVar[dict[str, str]] = {
        "boxes": "boxes",
        "boxes_label": "label",
        "boxes_difficult": "array",
    }
    BUILDER_CONFIGS: ClassVar[list] = [
        making.Variant(
            name="2007",
            splits={"train": 2_501, "validation": 2_510, "test": 4_952},
            origin=(_TRAINVAL_2007, _TEST_2007),
        ),
        making.Variant(
            name="2012",
            splits={"train": 5_717, "validation": 5_823},
            origin=(_TRAINVAL_2012,),
        ),
        making.Variant(
            name="0712",
            splits={"train": 16_551, "test": 4_952},
            origin=(_TRAINVAL_2007, _TRAINVAL_2012, _TEST_2007),
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "boxes_label": tfds.features.Sequence(tfds.features.ClassLabel(names=CLASSES)),
            "boxes_difficult": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        if self.builder_config.name == "0712":
            one, two, last = (self.paths[each.file] for each in making.origin(self))
            both = (_read(one, "2007", "trainval"), _read(two, "2012", "trainval"))
            return {"train": itertools.chain(*both), "test": _read(last, "2007", "test")}
        listed = {"train": "train", "validation": "val", "test": "test"}
        trainval, *test = (self.paths[each.file] for each in making.origin(self))
        year = self.builder_config.name
        return {
            split: _read(test[0] if split == "test" else trainval, year, listed[split])
            for split in self.builder_config.splits
        }

    _generate_examples = making.examples


def _read(path: Path, year: str, split: str) -> Iterator[tuple[str, dict]]:
    """Yields the photographs of a split, in the order of its list, without unpacking the tar."""
    with making.checked(path, lambda: tarfile.open(path, "r:")) as archive:

        def read(name: str) -> bytes:
            return making.checked(
                path, lambda: archive.extractfile(f"VOCdevkit/VOC{year}/{name}").read()
            )

        for name in read(f"ImageSets/Main/{split}.txt").decode().split():
            boxes, labels, difficult = objects(path, read(f"Annotations/{name}.xml"))
            yield (
                name,
                {
                    "image": making.encoded(read(f"JPEGImages/{name}.jpg")),
                    "boxes": boxes,
                    "boxes_label": labels,
                    "boxes_difficult": difficult,
                    "id": name,
                },
            )


def objects(path: Path, annotation: bytes) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Reads an annotation: boxes (n, 4) as fractions, class names, and marks of difficult objects.

    Raises:
      ConfigError: an object has an unknown class, or the annotation is not XML.
    """
    root = making.checked(path, lambda: ElementTree.fromstring(annotation))
    height, width = (float(root.find(f"size/{side}").text) for side in ("height", "width"))
    boxes, labels, difficult = [], [], []
    for found in root.findall("object"):
        edges = [float(found.find(f"bndbox/{x}").text) for x in ("ymin", "xmin", "ymax", "xmax")]
        boxes.append(np.array(edges) / (height, width, height, width))
        labels.append(found.find("name").text.strip().lower())
        difficult.append(int(found.findtext("difficult", "0")))
        if labels[-1] not in CLASSES:
            raise ConfigError(f"{path}: an object is {labels[-1]!r}, which is not a class of VOC")
    return np.array(boxes, np.float32).reshape(-1, 4), labels, np.array(difficult, np.int32)
