"""WikiText-2 without its training split: 2.4 million characters of English Wikipedia, tokenized.

Merity et al., "Pointer sentinel mixture models", ICLR 2017. Blanks separate words, and rare words
are "<unk>", as in the original. Each document is an article; both splits have 60.
"""

import functools
import re
from collections.abc import Iterator
from typing import ClassVar

import tensorflow_datasets as tfds

from library.data import origins
from library.data.builders import plain_text

# A title has blank lines around it; a line of a formula without them may look the same.
_TITLE = re.compile(r"^(?= \n = [^=\n]+ = \n \n)", re.MULTILINE)


def articles(text: str) -> list[str]:
    """Splits a text before the blank line before each title, " = Homarus gammarus = "."""
    return [part for part in _TITLE.split(text) if part]


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One article in each document; validation has 1,120,192 characters and test 1,255,018."""

    name = "wikitext2"
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES: ClassVar[dict] = {"2.0.0": "Each document is an article, not a whole split."}
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "text"
    FILES = ("wikitext2_valid.txt.gz", "wikitext2_test.txt.gz")
    SHA256 = (
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    )
    HOMEPAGE = "https://github.com/pytorch/examples"
    LICENCE = "CC BY-SA (Wikipedia)"
    CITATION = "Merity et al., Pointer sentinel mixture models, ICLR 2017"
    SPLITS: ClassVar[dict[str, int]] = {"validation": 60, "test": 60}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = origins.on_github(
        "pytorch/examples",
        "77f55b912142e11fcfdf5b530231fb9c52f181e8",
        {
            "word_language_model/data/wikitext-2/valid.txt": (
                1121681,
                "sha256:f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            ),
            "word_language_model/data/wikitext-2/test.txt": (
                1256449,
                "sha256:d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            ),
        },
    )
    pack = staticmethod(
        functools.partial(
            plain_text.pack,
            names={"valid.txt": "wikitext2_valid.txt.gz", "test.txt": "wikitext2_test.txt.gz"},
        )
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "text/wikitext2_valid.txt.gz and wikitext2_test.txt.gz: wiki.valid.tokens and "
        "wiki.test.tokens, gzipped."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return plain_text.info(
            self,
            description="WikiText-2 (rare words are <unk>), validation and test, by articles.",
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        validation, test = plain_text.texts(self, dl_manager.manual_dir)
        return {
            "validation": self._generate_examples(self.FILES[0], validation),
            "test": self._generate_examples(self.FILES[1], test),
        }

    def _generate_examples(self, file: str, text: str) -> Iterator[tuple[int, dict]]:
        for number, article in enumerate(articles(text)):
            yield number, {"text": article, "id": f"{file}, article {number}"}
