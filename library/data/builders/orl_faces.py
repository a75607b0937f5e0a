"""AT&T's (ORL's) faces: 40 people, ten grey photographs of 92x112 each.

Samaria and Harter, "Parameterisation of a stochastic model for human face identification", 1994.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (112, 92, 1), lossless; train 320, eight of each person, and test 80, two."""

    name = "orl_faces"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "orl_faces"
    FILES = ("orl.npz",)
    HOMEPAGE = "https://github.com/hakawa-bernardi/orl-face-recognition-pca-svm"
    LICENCE = "not stated; credit the Olivetti Research Laboratory"
    CITATION = "Samaria and Harter, Parameterisation of a stochastic model, 1994"
    SPLITS: ClassVar[dict[str, int]] = {"train": 320, "test": 80}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.archive(
        "hakawa-bernardi/orl-face-recognition-pca-svm", "3edc842bc89bddbd3d6bcf12d23a4f9c2a493883"
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(112, 92, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=[f"s{person}" for person in range(1, 41)]),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["orl.npz"]
        arrays = packed.load(path, ("images", "subject"))
        packed.check_labels(path, arrays["subject"], len(arrays["images"]), 40)
        test = np.arange(len(arrays["images"])) % 10 >= 8
        rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
        return {split: _read(arrays, rows[split]) for split in self.SPLITS}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the photographs, sorted by person and number."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".pgm",), top=False)
        names = [f"orl_faces/s{person}/{n}.pgm" for person in range(1, 41) for n in range(1, 11)]
        images = [np.asarray(making.decoded(making.member(path, held, x), "L")) for x in names]
        subject = np.repeat(np.arange(40, dtype=np.uint8), 10)
        np.savez_compressed(folder / "orl.npz", images=np.stack(images), subject=subject)

    _generate_examples = making.examples


def _read(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[tuple[int, dict]]:
    for row in rows.tolist():
        image, label = making.png(arrays["images"][row]), int(arrays["subject"][row])
        yield row, {"image": image, "label": label}
