"""El gaucho Martin Fierro: 66,302 characters of Spanish verse, 81 distinct.

Jose Hernandez, 1872; Project Gutenberg's text without its header and footer; in the public domain.
"""

import functools
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import plain_text


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One document in each split: train is the first 59,671 characters (90 %), test the rest."""

    name = "martin_fierro"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "text"
    FILES = ("martin_fierro_es.txt.gz",)
    SHA256 = ("93a8a4f301f989d0c181d752b4d30038af1f962d8f8e20df2571fee49438fd55",)
    HOMEPAGE = "https://github.com/argotanicolas/curso_IA"
    LICENCE = "in the public domain"
    CITATION = "Hernandez, El gaucho Martin Fierro, 1872"
    SPLITS: ClassVar[dict[str, int]] = {"train": 1, "test": 1}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.on_github(
        "argotanicolas/curso_IA",
        "f9c04f5c495f6e1007d0b95a315bc3d701e5fc4b",
        {
            "martin_fierro.txt": (
                71744,
                "sha256:5d575b20f5c7c6a24fa8f5cd18623f4ab9ac37f1a6f8b0104f97e3b182d6494b",
            ),
        },
    )
    pack = staticmethod(
        functools.partial(
            plain_text.pack, names={"martin_fierro.txt": "martin_fierro_es.txt.gz"}, gutenberg=True
        )
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "text/martin_fierro_es.txt.gz: Project Gutenberg's text without header and footer, gzipped."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return plain_text.info(
            self,
            description="Jose Hernandez, El gaucho Martin Fierro, Spanish verse.",
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        return plain_text.halves(self, dl_manager.manual_dir)

    _generate_examples = staticmethod(plain_text.document)
