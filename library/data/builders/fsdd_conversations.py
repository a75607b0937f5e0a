"""Conversations of two or three people, joined from the recordings of FSDD.

A conversation has 8 to 12 turns. A turn is 2 to 4 digits of one person, and the next turn is
another person's. A silence of up to a tenth of a second comes before each digit and at the end.
Training and test take their digits from the recordings of their own split, see fsdd.py. Recordings
longer than 0.7 s are left out.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int32

from library.data.builders import fsdd, making, packed
from library.data.builders.fsdd_strings import MOST, SILENCE

TURNS, DIGITS = (8, 12), (2, 4)
LONGEST = TURNS[1] * DIGITS[1] * (MOST + SILENCE) + SILENCE
FRAME = 80


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`audio` (t,) int16 at 8,000 Hz, and `turns`, who speaks in each frame of 10 ms; 60 and 60.

    `turns` is 0 for silence and 1 + the number of the speaker, as in `fsdd`, for speech. No
    conversation is longer than 308,000 samples.
    """

    name = "fsdd_conversations"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}
    FOLDER = fsdd.Builder.FOLDER
    FILES = fsdd.Builder.FILES
    HOMEPAGE = fsdd.Builder.HOMEPAGE
    LICENCE = fsdd.Builder.LICENCE
    CITATION = fsdd.Builder.CITATION
    SPLITS: ClassVar[dict[str, int]] = {"train": 60, "test": 60}
    KINDS: ClassVar[dict[str, str]] = {"audio": "audio", "turns": "tokens"}
    ORIGIN = fsdd.Builder.ORIGIN
    pack = staticmethod(fsdd.Builder.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16),
            "turns": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        path = self.paths["fsdd.npz"]
        arrays = packed.load(path, fsdd.KEYS)
        packed.check_labels(path, arrays["labels"], len(arrays["offsets"]) - 1, 10)
        return {
            split: conversations(arrays, split == "test", count)
            for split, count in self.SPLITS.items()
        }

    _generate_examples = making.examples


def conversations(
    arrays: Mapping[str, np.ndarray], test: bool, count: int
) -> Iterator[tuple[int, dict]]:
    """Yields `count` conversations of the packed file's recordings, the same ones each time."""
    generator = np.random.Generator(np.random.Philox(int(test)))
    audio, offsets, speaker = fsdd.samples(arrays), arrays["offsets"], arrays["speaker"]
    usable = ((arrays["take"] < 5) == test) & (np.diff(offsets) <= MOST)
    people = np.unique(speaker[usable])
    for at in range(count):
        talking = generator.permutation(people)[: generator.integers(2, 4)]
        parts, who = [], []
        for person in _turns(talking, generator):
            rows = np.flatnonzero(usable & (speaker == person))
            for row in generator.choice(rows, generator.integers(DIGITS[0], DIGITS[1] + 1)):
                silence = generator.integers(SILENCE + 1)
                parts += [np.zeros(silence, np.int16), audio[offsets[row] : offsets[row + 1]]]
                who += [np.zeros(silence, np.int32), np.full(len(parts[-1]), 1 + person, np.int32)]
        last = generator.integers(SILENCE + 1)
        parts.append(np.zeros(last, np.int16))
        who.append(np.zeros(last, np.int32))
        names = "_".join(arrays["speakers"][talking])
        turns = frames(np.concatenate(who))
        yield at, {"audio": np.concatenate(parts), "turns": turns, "id": f"{at}_{names}"}


def frames(who: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " t"]:
    """Returns who speaks in the middle of each whole frame."""
    whole = len(who) // FRAME * FRAME
    return who[:whole].reshape(-1, FRAME)[:, FRAME // 2]


def _turns(talking: np.ndarray, generator: np.random.Generator) -> Iterator[int]:
    """Yields who speaks in each turn, all of them, and nobody twice in a row."""
    count, before = int(generator.integers(TURNS[0], TURNS[1] + 1)), None
    for turn in range(count):
        others = [int(person) for person in talking if person != before]
        before = int(talking[turn]) if turn < len(talking) else int(generator.choice(others))
        yield before
