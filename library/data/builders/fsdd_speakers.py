"""FSDD by speaker: the test split is all recordings of one person, whom training never hears."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import check_choice
from library.data.builders import fsdd, making, packed

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def _variants() -> list[making.Variant]:
    splits = {"train": 2_500, "test": 500}
    origin, files = fsdd.Builder.ORIGIN, fsdd.Builder.FILES
    return [
        making.Variant(name=name, splits=splits, origin=origin, files=files) for name in SPEAKERS
    ]


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`audio` (t,) int16 at 8,000 Hz, and `speaker`; train 2,500 of five people, test 500 of one.

    The variant names the speaker of test: `fsdd_speakers/theo`.
    """

    name = "fsdd_speakers"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}
    FOLDER = fsdd.Builder.FOLDER
    HOMEPAGE = fsdd.Builder.HOMEPAGE
    LICENCE = fsdd.Builder.LICENCE
    CITATION = fsdd.Builder.CITATION
    KINDS: ClassVar[dict[str, str]] = fsdd.Builder.KINDS
    BUILDER_CONFIGS: ClassVar[list[making.Variant]] = _variants()
    pack = staticmethod(fsdd.Builder.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        return making.info(self, fsdd.FEATURES)

    def _split_generators(self, dl_manager):
        path = self.paths["fsdd.npz"]
        arrays = packed.load(path, fsdd.KEYS)
        packed.check_labels(path, arrays["labels"], len(arrays["offsets"]) - 1, 10)
        names = [str(name) for name in arrays["speakers"]]
        wanted = self.builder_config.name
        check_choice(f"speaker of {path}", wanted, names)
        here = arrays["speaker"] == names.index(wanted)
        return {
            "train": fsdd.examples_of(arrays, np.flatnonzero(~here)),
            "test": fsdd.examples_of(arrays, np.flatnonzero(here)),
        }

    _generate_examples = making.examples
