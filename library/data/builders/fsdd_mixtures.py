"""Two people who speak at once: sums of two recordings of FSDD, each scaled to the same loudness.

The longer recording is cut to the shorter. Training and test take theirs from the recordings of
their own split, see fsdd.py.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.data.builders import fsdd, making, packed

# Root mean square of a voice, so that the sum of two hardly reaches full scale.
LOUDNESS = 2_500.0
MOST = 8_000


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`audio` (t,) and `voices` (t, 2), int16 at 8,000 Hz, t up to 8,000; train 5,000, test 500."""

    name = "fsdd_mixtures"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}
    FOLDER = fsdd.Builder.FOLDER
    FILES = fsdd.Builder.FILES
    HOMEPAGE = fsdd.Builder.HOMEPAGE
    LICENCE = fsdd.Builder.LICENCE
    CITATION = fsdd.Builder.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 5_000, "test": 500}
    KINDS: ClassVar[dict[str, str]] = {"audio": "audio", "voices": "audio"}
    ORIGIN = fsdd.Builder.ORIGIN
    pack = staticmethod(fsdd.Builder.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16),
            "voices": tfds.features.Tensor(shape=(None, 2), dtype=np.int16),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        arrays = packed.load(self.paths["fsdd.npz"], fsdd.KEYS)
        return {
            split: mixtures(arrays, split == "test", count) for split, count in self.SPLITS.items()
        }

    _generate_examples = making.examples


def mixtures(
    arrays: Mapping[str, np.ndarray], test: bool, count: int
) -> Iterator[tuple[int, dict]]:
    """Yields `count` mixtures of two people's recordings, the same ones each time."""
    generator = np.random.Generator(np.random.Philox(int(test)))
    audio, offsets, speaker = fsdd.samples(arrays), arrays["offsets"], arrays["speaker"]
    rows = np.flatnonzero((arrays["take"] < 5) == test)
    for at in range(count):
        first = int(generator.choice(rows))
        second = int(generator.choice(rows[speaker[rows] != speaker[first]]))
        parts = [audio[offsets[row] : offsets[row + 1]] for row in (first, second)]
        length = min(MOST, *map(len, parts))
        voices = np.stack([_loud(part[:length].astype(np.float64)) for part in parts], axis=1)
        voices = np.clip(np.rint(voices), -(2**14), 2**14 - 1).astype(np.int16)
        mixture = voices.sum(axis=1).astype(np.int16)
        yield at, {"audio": mixture, "voices": voices, "id": f"{at}_{first}_{second}"}


def _loud(wave: np.ndarray) -> np.ndarray:
    return wave * (LOUDNESS / max(np.sqrt(np.mean(np.square(wave))), 1.0))
