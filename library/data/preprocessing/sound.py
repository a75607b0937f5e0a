"""Decoding of sound files into waves of one rate, and waves as tokens."""

import functools

import numpy as np

from library.audio import companding, sound_files
from library.config import ConfigError, check_choice
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import (
    CorruptExample,
    Example,
    Operation,
    feature,
    positive,
    without,
)


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


def mu_law(levels: int = 256, key: str = "audio", kinds: Kinds = features.USUAL) -> Operation:
    """Turns the wave `key` into tokens, its levels by the mu-law, for models of single samples.

    The feature `tokens`, int32 (t,), takes the place of the wave, and `segments`, int32 (t,), that
    of its mask: 1 for data and 0 for padding. Integers are scaled to [-1, 1).

    Args:
      levels: number of levels.
      key: the feature with the wave.
      kinds: the kinds of the features.

    Raises:
      ConfigError: there are fewer than 2 levels, or the feature is no audio.
    """
    if levels < 2:
        raise ConfigError(f"mu_law, levels={levels}: valid are 2 or more, usually 256")
    check_choice("feature of mu_law", key, features.named(kinds, "audio"))
    operation = functools.partial(_mu_law, levels=levels, key=key)
    return features.making(operation, tokens="tokens", segments="array")


def _mu_law(example: Example, rng: np.random.Generator, *, levels: int, key: str) -> Example:
    wave = np.asarray(feature(example, key))
    mask = example.get(f"{key}_mask", np.ones(wave.shape, np.float32))
    if np.issubdtype(wave.dtype, np.integer):
        wave = wave / -float(np.iinfo(wave.dtype).min)
    rest = without(without(example, key), f"{key}_mask")
    tokens = companding.to_levels(wave, levels)
    return {**rest, "tokens": tokens, "segments": (mask > 0).astype(np.int32)}


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
