"""BCCD: 364 photographs of blood under the microscope, 640x480, with a box around each cell.

Shenggan, "BCCD dataset", https://github.com/Shenggan/BCCD_Dataset, 2017.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed

CLASSES = ("RBC", "WBC", "Platelets")
_KEYS = ("data", "offsets", "ids", "split", "boxes", "box_class", "box_image")


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (480, 640, 3) with their original bytes; train 205, val 87 and test 72.

    `boxes` are (n, 4), (ymin, xmin, ymax, xmax) as fractions of the image; `boxes_label` (n,).
    """

    name = "bccd"
    VERSION = tfds.core.Version("2.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "bccd"
    FILES = ("bccd.npz",)
    HOMEPAGE = "https://github.com/Shenggan/BCCD_Dataset"
    LICENCE = "MIT"
    CITATION = "Shenggan, BCCD dataset, 2017"
    SPLITS: ClassVar[dict[str, int]] = {"train": 205, "val": 87, "test": 72}
    KINDS: ClassVar[dict[str, str]] = {"boxes": "boxes", "boxes_label": "label"}
    ORIGIN = origins.archive("Shenggan/BCCD_Dataset", "d272fb14cdff6e473fafeeeba32aba5f560e9e43")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(480, 640, 3), encoding_format="jpeg"),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "boxes_label": tfds.features.Sequence(tfds.features.ClassLabel(names=CLASSES)),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["bccd.npz"]
        arrays = packed.load(path, _KEYS)
        packed.check_offsets(path, arrays["data"], arrays["offsets"])
        packed.check_labels(path, arrays["box_class"], len(arrays["boxes"]), len(CLASSES))
        return {split: _read(arrays, split) for split in self.SPLITS}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the photographs and the boxes of their annotations; drops empty boxes."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".jpg", ".xml", ".txt"), top=False)
        split_of = {}
        for split in ("train", "val", "test"):
            listed = making.member(path, held, f"BCCD/ImageSets/Main/{split}.txt").decode()
            split_of |= dict.fromkeys(listed.split(), split)
        ids = sorted(
            PurePosixPath(name).stem for name in held if name.startswith("BCCD/JPEGImages/")
        )
        images = [making.member(path, held, f"BCCD/JPEGImages/{name}.jpg") for name in ids]
        found = [
            (row, label, box)
            for row, name in enumerate(ids)
            for label, box in _boxes(making.member(path, held, f"BCCD/Annotations/{name}.xml"))
        ]
        rows, labels, boxes = zip(*found)
        np.savez_compressed(
            folder / "bccd.npz",
            **making.pack_images(images),
            ids=np.array(ids),
            split=np.array([split_of[name] for name in ids]),
            boxes=np.array(boxes, np.int16),
            box_class=np.array(labels, np.uint8),
            box_image=np.array(rows, np.int32),
            classes=np.array(CLASSES),
        )

    _generate_examples = making.examples


def _boxes(annotation: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yields the class and (xmin, ymin, xmax, ymax) in pixels of each box that is not empty."""
    for cell in ElementTree.fromstring(annotation).iter("object"):
        edges = [int(cell.find(f"bndbox/{edge}").text) for edge in ("xmin", "ymin", "xmax", "ymax")]
        if edges[2] > edges[0] and edges[3] > edges[1]:
            yield CLASSES.index(cell.find("name").text.strip()), edges


def _read(arrays: Mapping[str, np.ndarray], split: str) -> Iterator[tuple[int, dict]]:
    images = making.unpack(arrays)
    for row in np.flatnonzero(arrays["split"] == split).tolist():
        cells = arrays["box_image"] == row
        xmin, ymin, xmax, ymax = arrays["boxes"][cells].astype(np.float32).T
        boxes = np.stack([ymin / 480, xmin / 640, ymax / 480, xmax / 640], axis=1)
        yield (
            row,
            {
                "image": making.encoded(images[row]),
                "boxes": np.clip(boxes, 0, 1).astype(np.float32),
                "boxes_label": arrays["box_class"][cells].tolist(),
                "id": str(arrays["ids"][row]),
            },
        )
