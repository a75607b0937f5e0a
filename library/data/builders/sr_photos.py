"""Set5, Set14 and CBSD68: photographs for the evaluation of super-resolution and denoising.

Bevilacqua et al., 2012; Zeyde et al., 2010; Martin et al., "A database of human segmented natural
images", ICCV 2001. Set5 and Set14 are lossless; CBSD68 is JPEG of quality 90 without subsampling.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import making, packed

_ORIGIN = origins.archive(
    "majedelhelou/denoising_datasets", "58234876fef6f1b56306705c78dfd40cdb837b86"
)
_SETS = {"set5": ("CSet5", 5), "set14": ("CSet14", 14), "cbsd68": ("CBSD68", 68)}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Colour photographs of different sizes; all are in test."""

    name = "sr_photos"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "sr_photos"
    HOMEPAGE = "https://github.com/majedelhelou/denoising_datasets"
    LICENCE = "not stated; benchmarks for research"
    CITATION = "Bevilacqua et al., 2012; Zeyde et al., 2010; Martin et al., ICCV 2001"
    KINDS: ClassVar[dict[str, str]] = {}
    BUILDER_CONFIGS: ClassVar[list] = [
        making.Variant(
            name=name,
            splits={"test": count},
            origin=_ORIGIN,
            files=(f"{folder.lower()}.npz",),
            details={"folder": folder},
        )
        for name, (folder, count) in _SETS.items()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        form = "jpeg" if self.builder_config.name == "cbsd68" else "png"
        features = {
            "image": tfds.features.Image(encoding_format=form),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        return {"test": _read(path)}

    def pack(self, paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the photographs of one set, sorted by name."""
        ((_, path),) = paths.items()
        wanted = self.builder_config.details["folder"]
        held = making.contents(path, (".png",), top=False)
        names = sorted(name for name in held if PurePosixPath(name).parent.name == wanted)
        images = [_encode(held[name], lossless=wanted != "CBSD68") for name in names]
        ids = np.array([PurePosixPath(name).stem for name in names])
        file = folder / self.builder_config.files[0]
        np.savez_compressed(file, **making.pack_images(images), ids=ids)

    _generate_examples = making.examples


def _encode(data: bytes, lossless: bool) -> bytes:
    image = making.decoded(data)
    if not lossless:
        return making.jpeg(image, 90, subsampling=0)
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=100, method=6)
    return file.getvalue()


def _read(path: Path) -> Iterator[tuple[int, dict]]:
    arrays = packed.load(path, ("data", "offsets", "ids"))
    packed.check_offsets(path, arrays["data"], arrays["offsets"])
    for row, image in enumerate(making.unpack(arrays)):
        if image[:4] == b"RIFF":  # TFDS cannot read WebP
            image = making.png(np.asarray(making.decoded(image))).getvalue()
        yield row, {"image": making.encoded(image), "id": str(arrays["ids"][row])}
