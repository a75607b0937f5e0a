"""Tiny Shakespeare: 1,115,394 characters of the plays, 65 distinct.

The data of char-rnn: Karpathy, "The unreasonable effectiveness of recurrent neural networks", 2015.
"""

import functools
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import plain_text


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One document in each split: train is the first 1,003,854 characters (90 %), test the rest."""

    name = "tinyshakespeare"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "text"
    FILES = ("tinyshakespeare.txt.gz",)
    SHA256 = ("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",)
    HOMEPAGE = "https://github.com/karpathy/char-rnn"
    LICENCE = "in the public domain"
    CITATION = "Karpathy, The unreasonable effectiveness of recurrent neural networks, 2015"
    SPLITS: ClassVar[dict[str, int]] = {"train": 1, "test": 1}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.on_github(
        "karpathy/char-rnn",
        "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e",
        {
            "data/tinyshakespeare/input.txt": (
                1115394,
                "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        },
    )
    pack = staticmethod(
        functools.partial(plain_text.pack, names={"input.txt": "tinyshakespeare.txt.gz"})
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "text/tinyshakespeare.txt.gz: char-rnn's data/tinyshakespeare/input.txt, gzipped."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return plain_text.info(
            self,
            description="Forty thousand lines of Shakespeare's plays, English.",
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        return plain_text.halves(self, dl_manager.manual_dir)

    _generate_examples = staticmethod(plain_text.document)
