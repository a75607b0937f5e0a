"""Blood cells in 364 microscope photographs, a box around each of 4,886: BCCD.

Shenggan & others, "BCCD Dataset" (github.com/Shenggan/BCCD_Dataset), after data of cosmicad and
akshaylamba. Red cells are most of them, 4,153; white cells and platelets about one an image.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data.builders import packed

CLASSES = ("RBC", "WBC", "Platelets")
SPLITS = ("train", "val", "test")
HEIGHT, WIDTH = 480, 640


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (480, 640, 3), their bytes untouched; train 205, val 87 and test 72.

    `boxes` are (ymin, xmin, ymax, xmax) as fractions of the image, and `boxes_label` their classes.
    """

    name = "bccd"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # nothing is downloaded; TFDS would look for checksums
    KINDS: ClassVar[dict] = {"boxes": "boxes"}
    FOLDER = "bccd"
    FILES = ("bccd.npz",)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "bccd/bccd.npz with data: uint8, all JPEG files one after the other; offsets: int64 (n+1,);"
        " ids and split (n,): strings; boxes: int16 (m, 4), pixels xmin, ymin, xmax, ymax; "
        "box_class and box_image (m,)."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        label = tfds.features.ClassLabel(names=list(CLASSES))
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(HEIGHT, WIDTH, 3), encoding_format="jpeg"),
                "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
                "boxes_label": tfds.features.Sequence(label),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="BCCD blood cells, 640x480 colour, with boxes.",
            features=features,
            homepage="https://github.com/Shenggan/BCCD_Dataset",
        )

    def _split_generators(self, dl_manager):
        path = packed.find(dl_manager.manual_dir, self.FOLDER, self.FILES) / self.FILES[0]
        keys = ("data", "offsets", "ids", "split", "boxes", "box_class", "box_image")
        arrays = packed.load(path, keys)
        packed.check_offsets(path, arrays["data"], arrays["offsets"])
        _check_boxes(path, arrays)
        return {split: self._generate_examples(arrays, split) for split in SPLITS}

    def _generate_examples(
        self, arrays: dict[str, np.ndarray], split: str
    ) -> Iterator[tuple[int, dict]]:
        data, offsets = arrays["data"], arrays["offsets"]
        sides = np.float32([HEIGHT, WIDTH, HEIGHT, WIDTH])
        for row in np.flatnonzero(arrays["split"] == split).tolist():
            own = arrays["box_image"] == row
            xmin, ymin, xmax, ymax = arrays["boxes"][own].astype(np.float32).T
            boxes = np.stack([ymin, xmin, ymax, xmax], axis=1) / sides
            yield (
                row,
                {
                    "image": io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes()),
                    "boxes": np.clip(boxes, 0, 1),
                    "boxes_label": arrays["box_class"][own].tolist(),
                    "id": str(arrays["ids"][row]),
                },
            )


def _check_boxes(path: Path, arrays: dict[str, np.ndarray]) -> None:
    count, num_images = len(arrays["boxes"]), len(arrays["offsets"]) - 1
    packed.check_labels(path, arrays["box_class"], count, len(CLASSES))
    packed.check_labels(path, arrays["box_image"], count, num_images)
    if arrays["boxes"].shape != (count, 4) or arrays["split"].shape != (num_images,):
        raise ConfigError(
            f"{path}: boxes {arrays['boxes'].shape} and split {arrays['split'].shape} of "
            f"{num_images} images"
        )
