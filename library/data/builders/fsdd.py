"""FSDD: 3,000 recordings of spoken English digits by six people, 8 kHz.

Jackson et al., "Free spoken digit dataset", https://github.com/Jakobovski/free-spoken-digit-dataset.
"""

import io
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, packed

KEYS = ("hi", "lo", "offsets", "labels", "speaker", "speakers", "take")
FEATURES = {
    "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16),
    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
    "speaker": tfds.features.Scalar(np.int32),
    "id": tfds.features.Text(),
}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`audio` (t,) int16 at 8,000 Hz, and `speaker`; train 2,700 and test 300.

    Recordings 0 to 4 of each digit and speaker are in test, as the authors state.
    """

    name = "fsdd"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "fsdd"
    FILES = ("fsdd.npz",)
    HOMEPAGE = "https://github.com/Jakobovski/free-spoken-digit-dataset"
    LICENCE = "an open dataset, as its README says; probably CC BY-SA 4.0 (not checked)"
    CITATION = "Jackson et al., Free spoken digit dataset"
    SPLITS: ClassVar[dict[str, int]] = {"train": 2_700, "test": 300}
    KINDS: ClassVar[dict[str, str]] = {"audio": "audio", "speaker": "label"}
    ORIGIN = origins.archive(
        "Jakobovski/free-spoken-digit-dataset", "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return making.info(self, FEATURES)

    def _split_generators(self, dl_manager):
        path = self.paths["fsdd.npz"]
        arrays = packed.load(path, KEYS)
        packed.check_labels(path, arrays["labels"], len(arrays["offsets"]) - 1, 10)
        test = arrays["take"] < 5
        return {
            "train": examples_of(arrays, np.flatnonzero(~test)),
            "test": examples_of(arrays, np.flatnonzero(test)),
        }

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the high and the low bytes of the samples apart, which compresses better."""
        ((_, path),) = paths.items()
        held = making.contents(path, (".wav",), top=False)
        names = sorted(name for name in held if name.startswith("recordings/"))
        parts = [PurePosixPath(name).stem.split("_") for name in names]
        audio = [_samples(path, held[name]) for name in names]
        whole = np.concatenate(audio).view(np.uint16)
        speakers = sorted({speaker for _, speaker, _ in parts})
        np.savez_compressed(
            folder / "fsdd.npz",
            offsets=np.cumsum([0, *map(len, audio)], dtype=np.int64),
            labels=np.array([int(digit) for digit, *_ in parts], np.uint8),
            speaker=np.array([speakers.index(x) for _, x, _ in parts], np.uint8),
            speakers=np.array(speakers),
            take=np.array([int(take) for *_, take in parts], np.uint8),
            sample_rate=np.array(8000),
            hi=(whole >> 8).astype(np.uint8),
            lo=(whole & 255).astype(np.uint8),
        )

    _generate_examples = making.examples


def _samples(path: Path, data: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(data)) as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if form != (8000, 1, 2):
            raise ConfigError(f"{path} holds a recording of {form}, expected 8000 Hz, mono, 16 bit")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def samples(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the samples of all recordings of the packed file, one after the other, int16."""
    return (arrays["hi"].astype(np.uint16) << 8 | arrays["lo"]).view(np.int16)


def examples_of(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[tuple[int, dict]]:
    """Yields the examples of some rows of the packed file, with their rows as keys."""
    audio, offsets = samples(arrays), arrays["offsets"]
    for row in rows.tolist():
        digit, speaker = int(arrays["labels"][row]), int(arrays["speaker"][row])
        yield (
            row,
            {
                "audio": audio[offsets[row] : offsets[row + 1]],
                "label": digit,
                "speaker": speaker,
                "id": f"{digit}_{arrays['speakers'][speaker]}_{arrays['take'][row]}",
            },
        )
