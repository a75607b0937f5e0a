"""Strings of 3 to 5 spoken digits, joined from the recordings of FSDD.

A string has one speaker. A silence of up to a tenth of a second comes before each digit and at the
end. Training and test take theirs from the recordings of their own split, see fsdd.py. Recordings
longer than 0.7 s, 4 in 100, are left out, so that no string is longer than LONGEST.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data.builders import digit_strings, fsdd, making, packed

MOST = 5_600
SILENCE = 800
LONGEST = 5 * MOST + 6 * SILENCE


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`audio` (t,) int16 at 8,000 Hz, t at most 32,800, and `tokens`; train 3,000, test 300."""

    name = "fsdd_strings"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}
    FOLDER = fsdd.Builder.FOLDER
    FILES = fsdd.Builder.FILES
    HOMEPAGE = fsdd.Builder.HOMEPAGE
    LICENCE = fsdd.Builder.LICENCE
    CITATION = fsdd.Builder.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 3_000, "test": 300}
    KINDS: ClassVar[dict[str, str]] = {"audio": "audio", "tokens": "tokens", "speaker": "label"}
    LABEL_NAMES = tuple(str(digit) for digit in range(10))
    ORIGIN = fsdd.Builder.ORIGIN
    pack = staticmethod(fsdd.Builder.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16),
            "tokens": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "speaker": tfds.features.Scalar(np.int32),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["fsdd.npz"]
        arrays = packed.load(path, fsdd.KEYS)
        packed.check_labels(path, arrays["labels"], len(arrays["offsets"]) - 1, 10)
        return {
            split: strings(arrays, split == "test", count) for split, count in self.SPLITS.items()
        }

    _generate_examples = making.examples


def strings(arrays: Mapping[str, np.ndarray], test: bool, count: int) -> Iterator[tuple[int, dict]]:
    """Yields `count` strings of the packed file's recordings, the same ones each time."""
    generator = np.random.Generator(np.random.Philox(int(test)))
    audio, offsets, speaker = fsdd.samples(arrays), arrays["offsets"], arrays["speaker"]
    usable = ((arrays["take"] < 5) == test) & (np.diff(offsets) <= MOST)
    groups = [np.flatnonzero(usable & (speaker == each)) for each in np.unique(speaker[usable])]
    for at, rows in enumerate(digit_strings.drawn(groups, count, generator)):
        silences = generator.integers(SILENCE + 1, size=len(rows) + 1)
        parts = [np.zeros(silences[0], np.int16)]
        for row, silence in zip(rows, silences[1:]):
            parts += [audio[offsets[row] : offsets[row + 1]], np.zeros(silence, np.int16)]
        tokens, who = arrays["labels"][rows].astype(np.int32), int(speaker[rows[0]])
        read = "".join(map(str, tokens))
        yield (
            at,
            {
                "audio": np.concatenate(parts),
                "tokens": tokens,
                "speaker": who,
                "id": f"{at}_{arrays['speakers'][who]}_{read}",
            },
        )
