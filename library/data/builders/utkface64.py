"""UTKFace at 64x64: 4,000 faces with age, gender and race.

Zhang, Song and Qi, "Age progression/regression by conditional adversarial autoencoder", CVPR 2017.
The faces are drawn at random from the 23,704 files with complete labels; utkface64.txt holds their
places among these files. They are reduced from 200x200 and stored as JPEG of quality 90. The labels
were estimated by a machine and checked by people.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from library.data import origins
from library.data.builders import making, packed

_ROWS = {"train": (0, 3200), "val": (3200, 3600), "test": (3600, 4000)}
_CHOSEN = Path(__file__).with_suffix(".txt")


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (64, 64, 3); train 3,200, val 400 and test 400, this project's own splits.

    `target` is the age in years. `gender` is 0 male or 1 female. `race` is 0 White, 1 Black,
    2 Asian, 3 Indian or 4 other, as the dataset names them.
    """

    name = "utkface64"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "utkface64"
    FILES = ("utkface.npz",)
    HOMEPAGE = "https://github.com/mattans/AgeProgression"
    LICENCE = "not stated; UTKFace is known to be for non-commercial research only"
    CITATION = "Zhang et al., Age progression/regression, CVPR 2017"
    SPLITS: ClassVar[dict[str, int]] = {"train": 3_200, "val": 400, "test": 400}
    KINDS: ClassVar[dict[str, str]] = {"target": "target", "gender": "label", "race": "label"}
    ORIGIN = origins.archive("mattans/AgeProgression", "2d937c615a3d10408db0ea795842e569bc9eedb0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg"),
            "target": tfds.features.Scalar(np.float32),
            "gender": tfds.features.ClassLabel(names=["male", "female"]),
            "race": tfds.features.ClassLabel(names=["White", "Black", "Asian", "Indian", "other"]),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["utkface.npz"]
        arrays = packed.load(path, ("data", "offsets", "age", "gender", "race"))
        packed.check_offsets(path, arrays["data"], arrays["offsets"])
        return {split: _read(arrays, *_ROWS[split]) for split in self.SPLITS}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Reduces the chosen faces, and reads their labels from the names of the files."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".jpg",), top=False)
        names = sorted(name for name in held if name.startswith("data/UTKFace/unlabeled/"))
        names = [name for name in names if PurePosixPath(name).name.count("_") == 3]
        chosen = [names[int(place)] for place in _CHOSEN.read_text().split()]
        labels = np.array([PurePosixPath(name).name.split("_")[:3] for name in chosen], np.uint8)
        faces = [making.decoded(held[name]) for name in chosen]
        reduced = [face.resize((64, 64), Image.Resampling.LANCZOS) for face in faces]
        np.savez_compressed(
            folder / "utkface.npz",
            **making.pack_images([making.jpeg(face, 90) for face in reduced]),
            **{key: labels[:, i] for i, key in enumerate(("age", "gender", "race"))},
        )

    _generate_examples = making.examples


def _read(arrays: Mapping[str, np.ndarray], first: int, last: int) -> Iterator[tuple[int, dict]]:
    images = making.unpack(arrays)
    for row in range(first, min(last, len(images))):
        yield (
            row,
            {
                "image": making.encoded(images[row]),
                "target": np.float32(arrays["age"][row]),
                "gender": int(arrays["gender"][row]),
                "race": int(arrays["race"][row]),
            },
        )
