"""Bach's chorales by voice: 368 pieces for soprano, alto, tenor and bass in sixteenths.

They are from the corpus of Cuthbert and Ariza, "music21: a toolkit for computer-aided musicology",
ISMIR 2010. Some encodings are for non-commercial use. Two pieces occur twice.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data.builders import making, packed


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`series` (t, 4): MIDI pitch of each voice, -1 for a rest; train 331 and test 37.

    `onset` (t, 4): 1 where a note begins. Every tenth piece is in test. The user makes the file
    from music21's corpus by hand; it is not downloaded.
    """

    name = "bach_chorales"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "bach_chorales"
    FILES = ("bach_chorales.npz",)
    HOMEPAGE = "https://github.com/cuthbertLab/music21"
    LICENCE = "BSD-3-Clause for music21; some encodings are for non-commercial use"
    CITATION = "Cuthbert and Ariza, music21, ISMIR 2010"
    SPLITS: ClassVar[dict[str, int]] = {"train": 331, "test": 37}
    KINDS: ClassVar[dict[str, str]] = {"series": "series", "onset": "array"}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "bach_chorales/bach_chorales.npz with pitch: int16 (t, 4); onset: bool (t, 4); offsets: "
        "int32 (n + 1,); names, keys: str (n,)."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "series": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "onset": tfds.features.Tensor(shape=(None, 4), dtype=np.int32),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        keys = ("pitch", "onset", "offsets", "names", "keys")
        arrays = packed.load(self.paths["bach_chorales.npz"], keys)
        test = np.arange(len(arrays["names"])) % 10 == 0
        rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
        return {split: _read(arrays, rows[split]) for split in self.SPLITS}

    _generate_examples = making.examples


def _read(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[tuple[int, dict]]:
    offsets = arrays["offsets"]
    for row in rows.tolist():
        part = slice(offsets[row], offsets[row + 1])
        yield (
            row,
            {
                "series": arrays["pitch"][part].astype(np.float32),
                "onset": arrays["onset"][part].astype(np.int32),
                "id": f"{arrays['names'][row]}, {arrays['keys'][row]}",
            },
        )
