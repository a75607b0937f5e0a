"""EMNIST: 814,255 grey images of handwritten letters and digits, 28x28, in six variants.

Cohen, Afshar, Tapson and van Schaik, "EMNIST: an extension of MNIST to handwritten letters", 2017,
arXiv:1702.05373. Images are transposed, and labels are the same as in the files and in TFDS: those
of `emnist/letters` are 1 to 26, and no image has class 0.
"""

import string
from collections.abc import Iterator
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import idx, making

_MERGED = (*string.digits, *string.ascii_uppercase, *"abdefghnqrt")
# Classes, training and test examples.
_ARRANGEMENTS = {
    "byclass": (
        (*string.digits, *string.ascii_uppercase, *string.ascii_lowercase),
        697_932,
        116_323,
    ),
    "bymerge": (_MERGED, 697_932, 116_323),
    "balanced": (_MERGED, 112_800, 18_800),
    "letters": (("none", *string.ascii_lowercase), 88_800, 14_800),
    "digits": (tuple(string.digits), 240_000, 40_000),
    "mnist": (tuple(string.digits), 60_000, 10_000),
}
_ORIGIN = origins.below(
    "https://biometrics.nist.gov/cs_links/EMNIST",
    {
        "gzip.zip": (
            561_753_746,
            "sha256:fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
        )
    },
)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG images (28, 28, 1), lossless; train and test."""

    name = "emnist"
    VERSION = tfds.core.Version("3.1.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "emnist"
    HOMEPAGE = "https://www.nist.gov/itl/products-and-services/emnist-dataset"
    LICENCE = "not stated"
    CITATION = "Cohen et al., EMNIST: an extension of MNIST to handwritten letters, 2017"
    KINDS: ClassVar[dict[str, str]] = {}
    BUILDER_CONFIGS: ClassVar[list] = [
        making.Variant(
            name=name,
            splits={"train": train, "test": test},
            origin=_ORIGIN,
            details={"classes": classes},
        )
        for name, (classes, train, test) in _ARRANGEMENTS.items()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        classes = self.builder_config.details["classes"]
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=classes),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        return {split: self._read(split) for split in ("train", "test")}

    def _read(self, split: str) -> Iterator[tuple[int, dict]]:
        path, prefix = self.paths["gzip.zip"], f"emnist-{self.builder_config.name}-{split}"
        names = [f"gzip/{prefix}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        held = making.contents(path, names)
        images, labels = (
            idx.read(path, making.gunzip(path, making.member(path, held, x))) for x in names
        )
        return idx.pairs(path, images, labels, len(self.builder_config.details["classes"]))

    _generate_examples = making.examples
