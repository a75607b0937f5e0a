"""Oranges and lemons: unpaired photographs of 64x64 of two domains, from Tiny ImageNet.

It replaces the fruits and animals of Zhu et al., "Unpaired image-to-image translation using
cycle-consistent adversarial networks", ICCV 2017. Greyscale files are left out.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from library.data.builders import making, packed, tinyimagenet

_DOMAINS = {"A": "n07747607", "B": "n07749582"}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (64, 64, 3) with their original bytes; a split for each domain.

    trainA has 500 oranges, trainB 499 lemons, testA 50 oranges and testB 50 lemons, from the
    official training and validation files.
    """

    name = "orange2lemon64"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "orange2lemon64"
    FILES = ("orange2lemon.npz",)
    HOMEPAGE, LICENCE = tinyimagenet.HOMEPAGE, tinyimagenet.LICENCE
    CITATION = tinyimagenet.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"trainA": 500, "trainB": 499, "testA": 50, "testB": 50}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = tinyimagenet.ORIGIN

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg")
        return making.info(self, {"image": image})

    def _split_generators(self, dl_manager):
        path = self.paths["orange2lemon.npz"]
        keys = [f"{split}_{part}" for split in self.SPLITS for part in ("data", "offsets")]
        arrays = packed.load(path, keys)
        return {split: _read(path, arrays, split) for split in self.SPLITS}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the colour photographs of both classes, sorted by number."""
        ((_, path),) = paths.items()
        arrays = {}
        with tinyimagenet.open_archive(path) as archive:
            for split, official in (("train", "train"), ("test", "val")):
                listed = list(tinyimagenet.files(archive, official, _DOMAINS.values()))
                for domain, wnid in _DOMAINS.items():
                    images = [archive.read(file) for file, found, _ in listed if found == wnid]
                    colour = [x for x in images if Image.open(io.BytesIO(x)).mode == "RGB"]
                    made = making.pack_images(colour)
                    arrays |= {f"{split}{domain}_{part}": made[part] for part in made}
        np.savez_compressed(folder / "orange2lemon.npz", **arrays)

    _generate_examples = making.examples


def _read(path: Path, arrays: Mapping[str, np.ndarray], split: str) -> Iterator[tuple[int, dict]]:
    packed.check_offsets(path, arrays[f"{split}_data"], arrays[f"{split}_offsets"])
    for row, image in enumerate(making.unpack(arrays, f"{split}_")):
        yield row, {"image": making.encoded(image)}
