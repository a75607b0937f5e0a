"""Decoding of sound files into waves of one rate."""

import functools

import numpy as np

from library.audio import sound_files
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import CorruptExample, Example, Operation, positive


def decode_audio(rate: int, kinds: Kinds = features.USUAL) -> Operation:
    """Decodes sound files into waves of one channel, int16 (t,), at `rate` samples per second.

    Channels are averaged. Other rates are resampled, see `library.audio.sound_files`.

    Args:
      rate: samples per second.
      kinds: the kinds of the features.

    Raises (the operation):
      CorruptExample: the file is damaged, empty or of an unknown format.
    """
    names = features.named(kinds, "audio")
    return functools.partial(_decode_audio, rate=positive(rate), names=names)


def _decode_audio(
    example: Example, rng: np.random.Generator, *, rate: int, names: list[str]
) -> Example:
    found = dict(example)
    for name in (name for name in names if isinstance(example.get(name), bytes)):
        try:
            samples, held = sound_files.read(example[name])
        except ValueError as error:
            raise CorruptExample(f"{name}: {error}") from error
        wave = sound_files.resampled(samples.mean(axis=1), held, rate)
        found[name] = np.clip(np.rint(wave * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    return found
