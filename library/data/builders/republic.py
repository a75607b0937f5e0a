"""The Republic: 1,195,155 characters of Plato in English, 80 distinct.

Benjamin Jowett's translation, Project Gutenberg's text without its header and footer; in the public
domain.
"""

import functools
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import plain_text


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One document in each split: train is the first 1,075,639 characters (90 %), test the rest."""

    name = "republic"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "text"
    FILES = ("republic_en.txt.gz",)
    SHA256 = ("a40d56f2f23ba9f67d3f6e597b205673bdae40a9d3ec5d716d6d6a01f9780f58",)
    HOMEPAGE = "https://github.com/jbrownlee/Datasets"
    LICENCE = "in the public domain"
    CITATION = "Plato, The Republic, translated by Jowett"
    SPLITS: ClassVar[dict[str, int]] = {"train": 1, "test": 1}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.on_github(
        "jbrownlee/Datasets",
        "d20fcb6402ae34e653d4513b00f39257bb37ed7f",
        {
            "republic.txt": (
                1214385,
                "sha256:fd025e38db153a7223aa0e6f1eb85076280784d13bcc4807bfa3b3f79858bed6",
            ),
        },
    )
    pack = staticmethod(
        functools.partial(
            plain_text.pack, names={"republic.txt": "republic_en.txt.gz"}, gutenberg=True
        )
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "text/republic_en.txt.gz: Project Gutenberg's text without header and footer, gzipped."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return plain_text.info(
            self,
            description="Plato, The Republic, translated by Benjamin Jowett.",
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        return plain_text.halves(self, dl_manager.manual_dir)

    _generate_examples = staticmethod(plain_text.document)
