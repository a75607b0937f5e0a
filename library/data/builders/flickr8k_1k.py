"""The first 1,000 photographs of Flickr8k, with five English captions each.

Hodosh, Young and Hockenmaier, "Framing image description as a ranking task", JAIR 2013. The shorter
side is reduced to 128 pixels; images are JPEG of quality 82.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, packed

_SHORTER = 128
_ROWS = {"train": (0, 800), "val": (800, 900), "test": (900, 1000)}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images, the shorter side 128, and `captions` (5,); train 800, val 100 and test 100.

    `text` is the first caption. The splits are this project's own.
    """

    name = "flickr8k_1k"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "flickr8k_1k"
    FILES = ("images.npz", "captions.tsv")
    HOMEPAGE = "https://github.com/quantumnaan/sic_translator"
    LICENCE = "not stated; Flickr8k is known to be for non-commercial research"
    CITATION = "Hodosh et al., Framing image description as a ranking task, JAIR 2013"
    SPLITS: ClassVar[dict[str, int]] = {"train": 800, "val": 100, "test": 100}
    KINDS: ClassVar[dict[str, str]] = {"captions": "text"}
    ORIGIN = origins.archive(
        "quantumnaan/sic_translator", "d27da85cff2dbf143fcaf365aece667d66c4298f"
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "text": tfds.features.Text(),
            "captions": tfds.features.Sequence(tfds.features.Text()),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        arrays = packed.load(self.paths["images.npz"], ("data", "offsets", "ids"))
        packed.check_offsets(self.paths["images.npz"], arrays["data"], arrays["offsets"])
        captions = [[] for _ in arrays["ids"]]
        path = self.paths["captions.tsv"]
        for line in path.read_text(encoding="utf-8").splitlines():
            row, tab, caption = line.partition("\t")
            if not tab or not row.isdigit() or int(row) >= len(captions):
                raise ConfigError(f"{path}: {line[:60]!r} is not 'image index TAB caption'")
            captions[int(row)].append(caption)
        return {split: _read(arrays, captions, *_ROWS[split]) for split in self.SPLITS}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Reduces the photographs, sorted by name, and writes captions with image numbers."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".jpg", "data/captions.txt"), top=False)
        listed = making.member(path, held, "data/captions.txt").decode("utf-8")
        names = sorted(name for name in held if name.startswith("data/images/"))
        ids = [PurePosixPath(name).name for name in names]
        images = [making.jpeg(_reduced(making.decoded(held[name])), 82) for name in names]
        np.savez_compressed(folder / "images.npz", **making.pack_images(images), ids=np.array(ids))
        place = {name: row for row, name in enumerate(ids)}
        rows = [line for line in csv.reader(io.StringIO(listed)) if line and line[0] in place]
        lines = [(place[name], ",".join(caption).strip()) for name, *caption in rows]
        lines.sort(key=lambda pair: pair[0])
        text = "".join(f"{row}\t{caption}\n" for row, caption in lines)
        (folder / "captions.tsv").write_text(text, encoding="utf-8")

    _generate_examples = making.examples


def _reduced(image: Image.Image) -> Image.Image:
    scale = _SHORTER / min(image.size)
    size = tuple(round(side * scale) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


def _read(
    arrays: Mapping[str, np.ndarray], captions: list[list[str]], first: int, last: int
) -> Iterator[tuple[int, dict]]:
    images = making.unpack(arrays)
    for row in range(first, min(last, len(images))):
        yield (
            row,
            {
                "image": making.encoded(images[row]),
                "text": captions[row][0] if captions[row] else "",
                "captions": captions[row],
                "id": str(arrays["ids"][row]),
            },
        )
