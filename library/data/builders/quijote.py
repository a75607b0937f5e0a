"""Don Quijote de la Mancha, both parts: 2,071,088 characters of Spanish, 90 distinct.

Miguel de Cervantes, 1605 and 1615, from the first chapter on; in the public domain.
"""

import functools
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import plain_text


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One document in each split: train is the first 1,863,979 characters (90 %), test the rest."""

    name = "quijote"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "text"
    FILES = ("quijote_es.txt.gz",)
    SHA256 = ("b565c1702fb7a6fa7945b5155ddc0f133e091b0abf7f4c0cf77752579378bf42",)
    HOMEPAGE = "https://github.com/alexbertis/QuijoteNet"
    LICENCE = "in the public domain"
    CITATION = "Cervantes, Don Quijote de la Mancha, 1605 and 1615"
    SPLITS: ClassVar[dict[str, int]] = {"train": 1, "test": 1}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.on_github(
        "alexbertis/QuijoteNet",
        "4d8f46aead05cf7e2aa36b6af8d9f30af6f41a95",
        {
            "quijote.txt": (
                2071088,
                "sha256:30d807e4fb3efcc901c37ba848413c46800f3ae13d693b3889eb6459a4e2dd10",
            ),
        },
    )
    pack = staticmethod(
        functools.partial(
            plain_text.pack, names={"quijote.txt": "quijote_es.txt.gz"}, encoding="latin-1"
        )
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "text/quijote_es.txt.gz: the text from its first chapter on, UTF-8, gzipped."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return plain_text.info(
            self,
            description="Miguel de Cervantes, Don Quijote de la Mancha, Spanish.",
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        return plain_text.halves(self, dl_manager.manual_dir)

    _generate_examples = staticmethod(plain_text.document)
