"""Twenty classes of Tiny ImageNet: 11,000 photographs of 64x64, one object box each.

From the dataset of Stanford's CS231N, a reduced ImageNet (Russakovsky et al., "ImageNet large scale
visual recognition challenge", IJCV 2015). Some photographs are grey.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data.builders import making, packed, tinyimagenet

CLASSES = {
    "n01443537": "goldfish",
    "n01629819": "European fire salamander",
    "n01882714": "koala",
    "n01910747": "jellyfish",
    "n02056570": "king penguin",
    "n02099601": "golden retriever",
    "n02123394": "Persian cat",
    "n02165456": "ladybug",
    "n02279972": "monarch",
    "n02504458": "African elephant",
    "n02917067": "bullet train",
    "n03662601": "lifeboat",
    "n04146614": "school bus",
    "n04285008": "sports car",
    "n07734744": "mushroom",
    "n07753592": "banana",
    "n07873807": "pizza",
    "n09246464": "cliff",
    "n09256479": "coral reef",
    "n04398044": "teapot",
}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (64, 64, 3) with their original bytes; train 10,000 and val 1,000.

    `box` is (ymin, xmin, ymax, xmax) as fractions of the image, as in TFDS.
    """

    name = "tinyimagenet20"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "tinyimagenet20"
    FILES = ("train.npz", "val.npz")
    HOMEPAGE, LICENCE = tinyimagenet.HOMEPAGE, tinyimagenet.LICENCE
    CITATION = tinyimagenet.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 10_000, "val": 1_000}
    KINDS: ClassVar[dict[str, str]] = {"box": "target"}
    ORIGIN = tinyimagenet.ORIGIN
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "tinyimagenet20/train.npz and val.npz with data: uint8, all JPEG files one after the "
        "other; offsets: int64 (n + 1,); labels: uint8 (n,); boxes: uint8 (n, 4), inclusive "
        "pixels xmin, ymin, xmax, ymax."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=list(CLASSES.values())),
                "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="Tiny ImageNet, 20 classes, 64x64 colour.",
            features=features,
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        folder = packed.find(dl_manager.manual_dir, self.FOLDER, self.FILES)
        return {
            split: self._generate_examples(folder / f"{split}.npz") for split in ("train", "val")
        }

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the photographs of the twenty classes, sorted by class and number."""
        ((_, path),) = paths.items()
        order = {wnid: label for label, wnid in enumerate(CLASSES)}
        with tinyimagenet.open_archive(path) as archive:
            for split in ("train", "val"):
                listed = list(tinyimagenet.files(archive, split, order))
                listed.sort(key=lambda found: order[found[1]])
                arrays = making.pack_images([archive.read(file) for file, *_ in listed])
                np.savez_compressed(
                    folder / f"{split}.npz",
                    **arrays,
                    labels=np.array([order[wnid] for _, wnid, _ in listed], np.uint8),
                    boxes=np.array([box for *_, box in listed], np.uint8),
                    wnids=np.array(list(CLASSES)),
                    classes=np.array(list(CLASSES.values())),
                )

    def _generate_examples(self, path: Path) -> Iterator[tuple[int, dict]]:
        arrays = packed.load_packed(path, len(CLASSES), extra=("boxes",))
        data, offsets, labels = arrays["data"], arrays["offsets"], arrays["labels"]
        if arrays["boxes"].shape != (len(labels), 4):
            raise ConfigError(f"{path}: boxes of shape {arrays['boxes'].shape}, expected (n, 4)")
        xmin, ymin, xmax, ymax = arrays["boxes"].astype(np.float32).T
        boxes = np.stack([ymin, xmin, ymax + 1, xmax + 1], axis=1) / 64
        wnids = list(CLASSES)
        for row, label in enumerate(labels.tolist()):
            image = io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes())
            name = f"{wnids[label]}, row {row} of {path.name}"
            yield row, {"image": image, "label": label, "box": boxes[row], "id": name}
