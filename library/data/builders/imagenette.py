"""Imagenette: ten classes of ImageNet that are easy to distinguish, in two splits and three sizes.

Howard, "Imagenette", https://github.com/fastai/imagenette, 2019. Labels, order and version are
those of TFDS. People use the second split into train and validation ("-v2").
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making

CLASSES = (
    *("n01440764", "n02102040", "n02979186", "n03000684", "n03028079"),
    *("n03394916", "n03417042", "n03425413", "n03445777", "n03888257"),
)
_BASE = "https://s3.amazonaws.com/fast-ai-imageclas"
_SPLITS = {
    "imagenette2": {"train": 9_469, "validation": 3_925},
    "imagenette": {"train": 12_894, "validation": 500},
}
# Bytes and SHA-256 of each archive.
_ARCHIVES = {
    "imagenette2": (
        1_557_161_267,
        "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
    ),
    "imagenette2-320": (
        341_663_724,
        "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    ),
    "imagenette2-160": (
        99_003_388,
        "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    ),
    "imagenette": (
        1_556_495_367,
        "1bd650bc16884ca88e4f0f537ed8569b1f8d7ae865d37eba8ecdd87d9cd9dcfa",
    ),
    "imagenette-320": (
        341_289_752,
        "0e3ac85d7f3fd0a63d5e27d85c68511be9ac4dae260345b6f7434a0d4fa24b3f",
    ),
    "imagenette-160": (
        98_752_094,
        "4bacf19aa3f2454e330ac366c98ac1e470ccc6bebca8ff63ecc7f339cb2ead11",
    ),
}


def _variant(archive: str, size: int, sha256: str) -> making.Variant:
    base, _, side = archive.partition("-")
    name = (f"{side}px" if side else "full-size") + ("-v2" if base == "imagenette2" else "")
    origin = origins.below(_BASE, {f"{archive}.tgz": (size, f"sha256:{sha256}")})
    return making.Variant(name=name, splits=_SPLITS[base], origin=origin)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images with their original bytes; the -v2 variants: train 9,469, validation 3,925."""

    name = "imagenette"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "imagenette"
    HOMEPAGE = "https://github.com/fastai/imagenette"
    LICENCE = "Apache-2.0 for the choice (not checked); ImageNet's terms for the images"
    CITATION = "Howard, Imagenette, 2019"
    KINDS: ClassVar[dict[str, str]] = {}
    BUILDER_CONFIGS: ClassVar[list] = [
        _variant(archive, size, sha256) for archive, (size, sha256) in _ARCHIVES.items()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        return {"train": _read(path, "train"), "validation": _read(path, "val")}

    _generate_examples = making.examples


def _read(path: Path, folder: str) -> Iterator[tuple[str, dict]]:
    for name, data in making.members(path, (".JPEG",)):
        *_, split, wnid, file = PurePosixPath(name).parts
        if split != folder:
            continue
        if wnid not in CLASSES:
            raise ConfigError(f"{path} holds {name}, whose class is not one of Imagenette")
        yield file, {"image": making.encoded(data), "label": wnid}
