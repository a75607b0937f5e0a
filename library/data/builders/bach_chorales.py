"""Bach's chorales by voice: 368 pieces for soprano, alto, tenor and bass in sixteenths.

They are from the corpus of Cuthbert and Ariza, "music21: a toolkit for computer-aided musicology",
ISMIR 2010. Some encodings are for non-commercial use. Two pieces occur twice.

The corpus is a part of the package music21, and no file is downloaded. To make the dataset's file:

    pip install music21==10.5.1
    python -c "from library.data.builders import bach_chorales as b; b.make('data/bach_chorales')"
    python -m experiments.prepare --dataset=bach_chorales
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Int16

from library import files
from library.config import ConfigError
from library.data.builders import making, packed

# Later versions may have more pieces, or corrected ones.
MUSIC21 = "10.5.1"


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`series` (t, 4): MIDI pitch of each voice, -1 for a rest; train 331 and test 37.

    `onset` (t, 4): 1 where a note of the score begins, also one that is tied to the note before it.
    Every tenth piece is in test.
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
        f'`pip install music21=={MUSIC21}`, then `python -c "from library.data.builders import '
        "bach_chorales as b; b.make('data/bach_chorales')\"`, which takes some minutes"
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


def make(folder: str | Path) -> Path:
    """Makes bach_chorales.npz from the pieces of Bach in music21's corpus that have four parts.

    It holds `pitch` int16 (t, 4), `onset` bool (t, 4) and `offsets` int32 (n + 1,) of the pieces,
    sorted by file, and `names` and `keys` (n,), the file of each and its key by music21's analysis.

    Args:
      folder: where to write it, such as data/bach_chorales.

    Returns:
      The path of the file.

    Raises:
      ConfigError: music21 is not installed in the version that the dataset was made with.
    """
    music21 = _music21()
    pieces, names, keys = [], [], []
    for path in sorted(music21.corpus.corpora.CoreCorpus().getComposer("bach")):
        score = music21.corpus.parse(str(path))
        if len(score.parts) == 4:
            key = score.analyze("key")
            pieces.append(sixteenths(score))
            names.append(Path(path).name)
            keys.append(f"{key.tonic.name} {key.mode}")
    pitch, onset = (np.concatenate(arrays) for arrays in zip(*pieces))
    offsets = np.cumsum([0, *(len(pitch) for pitch, _ in pieces)], dtype=np.int32)
    path = Path(folder) / "bach_chorales.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = dict(pitch=pitch, onset=onset, offsets=offsets, names=names, keys=keys)
    with files.replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def sixteenths(score: Any) -> tuple[Int16[np.ndarray, "t 4"], Bool[np.ndarray, "t 4"]]:
    """Returns the pitch of each part at each sixteenth, -1 in rests, and where its notes begin.

    Of a chord the highest note counts.

    Args:
      score: a score of music21 with four parts.
    """
    length = max(round(4 * part.highestTime) for part in score.parts)
    pitch, onset = np.full((length, 4), -1, np.int16), np.zeros((length, 4), bool)
    for voice, part in enumerate(score.parts):
        for note in part.flatten().notes:
            first, last = round(4 * note.offset), round(4 * (note.offset + note.quarterLength))
            pitch[first:last, voice] = max(each.midi for each in note.pitches)
            onset[first : first + 1, voice] = True
    return pitch, onset


def _music21() -> Any:
    try:
        import music21
    except ImportError as error:
        raise ConfigError(f"music21 is missing: pip install music21=={MUSIC21}") from error
    if music21.__version__ != MUSIC21:
        raise ConfigError(
            f"music21 has version {music21.__version__}, and its corpus may differ: "
            f"pip install music21=={MUSIC21}"
        )
    return music21


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
