"""Two classes of Tiny ImageNet: 1,100 photographs of 64x64 of golden retrievers and Persian cats.

A part of tinyimagenet20, for networks that tell two kinds of pictures apart.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data.builders import making, packed, tinyimagenet, tinyimagenet20

CHOSEN = ("golden retriever", "Persian cat")


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG images (64, 64, 3) with their original bytes; train 1,000 and val 100."""

    name = "tinyimagenet2"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = tinyimagenet20.Builder.FOLDER
    FILES = tinyimagenet20.Builder.FILES
    HOMEPAGE, LICENCE = tinyimagenet.HOMEPAGE, tinyimagenet.LICENCE
    CITATION = tinyimagenet.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 1_000, "val": 100}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = tinyimagenet.ORIGIN
    pack = staticmethod(tinyimagenet20.Builder.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=CHOSEN),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {split: _read(self.paths[f"{split}.npz"]) for split in self.SPLITS}

    _generate_examples = making.examples


def _read(path: Path) -> Iterator[tuple[int, dict]]:
    names = [*tinyimagenet20.CLASSES.values()]
    arrays = packed.load_packed(path, len(names))
    labels = {names.index(name): label for label, name in enumerate(CHOSEN)}
    images = making.unpack(arrays)
    for row, number in enumerate(arrays["labels"].tolist()):
        if number in labels:
            yield row, {"image": making.encoded(images[row]), "label": labels[number]}
