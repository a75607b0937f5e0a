"""CamVid at 480x360: 701 road scenes with a class for each pixel, eleven classes and unlabelled.

Brostow, Fauqueur and Cipolla, "Semantic object classes in video", 2008, with the splits and classes
of SegNet (Badrinarayanan et al., 2017). Class 11 is unlabelled: leave it out of losses and metrics.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data.builders import camvid240, making


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (360, 480, 3) and maps (360, 480, 1) of 0..11; train 367, val 101 and test 233."""

    name = "camvid"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "camvid"
    HOMEPAGE = camvid240.Builder.HOMEPAGE
    LICENCE, CITATION = camvid240.Builder.LICENCE, camvid240.Builder.CITATION
    SPLITS: ClassVar[dict[str, int]] = camvid240.Builder.SPLITS
    KINDS: ClassVar[dict[str, str]] = {"map": "map"}
    # Without "unlabelled", which is not a class: segmentation ignores it with ignore=11.
    LABEL_NAMES = camvid240.CLASSES[:-1]
    ORIGIN = camvid240.Builder.ORIGIN

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(360, 480, 3), encoding_format="png"),
            "map": tfds.features.Image(shape=(360, 480, 1), encoding_format="png"),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        return {split: _read(path, split) for split in self.SPLITS}

    _generate_examples = making.examples


def _read(path: Path, split: str) -> Iterator[tuple[str, dict]]:
    held = making.contents(path, (".png", ".txt"), top=False)
    for name in camvid240.listed(path, held, split):
        image = making.member(path, held, f"CamVid/{split}/{name}.png")
        labels = making.member(path, held, f"CamVid/{split}annot/{name}.png")
        yield name, {"image": making.encoded(image), "map": making.encoded(labels), "id": name}
