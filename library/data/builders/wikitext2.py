"""WikiText-2 without its training split: 2.4 million characters of Wikipedia, tokenized, English.

Merity et al., "Pointer sentinel mixture models", ICLR 2017. Words are separated by blanks and rare
ones are "<unk>", as in the original.
"""

from typing import ClassVar

import tensorflow_datasets as tfds

from library.data.builders import plain_text


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One document a split: validation 1,120,192 characters and test 1,255,018."""

    name = "wikitext2"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # nothing is downloaded; TFDS would look for checksums
    FOLDER = "text"
    FILES = ("wikitext2_valid.txt.gz", "wikitext2_test.txt.gz")
    SHA256 = (
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "text/wikitext2_valid.txt.gz and wikitext2_test.txt.gz: wiki.valid.tokens and "
        "wiki.test.tokens, gzipped."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return plain_text.info(
            self,
            description="WikiText-2 (rare words are <unk>), validation and test.",
            homepage="https://github.com/pytorch/examples",
        )

    def _split_generators(self, dl_manager):
        validation, test = plain_text.texts(self, dl_manager.manual_dir)
        return {
            "validation": plain_text.document(self.FILES[0], validation),
            "test": plain_text.document(self.FILES[1], test),
        }

    _generate_examples = staticmethod(plain_text.document)
