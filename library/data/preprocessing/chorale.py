"""Voices that sing one note at a time, as tokens: a note, its continuation, or a rest."""

import functools
from typing import Literal

import numpy as np

from library import chorales
from library.config import ConfigError, check_choice
from library.data import features
from library.data.preprocessing._examples import (
    Example,
    Operation,
    UnfitExample,
    feature,
    positive,
    shown,
    without,
)


def chorale(
    length: int,
    crop: Literal["refuse", "start", "random"] = "refuse",
    transpose: int = 0,
    lowest: int = chorales.LOWEST,
    highest: int = chorales.HIGHEST,
) -> Operation:
    """Makes the tokens of voices from their pitches, and the place of each step in its beat.

    The features `series` (t, v), MIDI pitches in sixteenths and -1 for a rest, and `onset` (t, v),
    1 where a note begins, become `tokens` int32 (length, v), see `library.chorales`,
    `tokens_mask` float32 (length,), 0 in padding, and `beat` int32 (length,), 0 to 3, the sixteenth
    of its quarter. A crop begins at a quarter. A note that has begun before it begins with it.

    Args:
      length: steps per example.
      crop: the treatment of longer pieces: "refuse" raises an error, "start" takes the first steps,
        "random" takes steps from a random quarter on.
      transpose: the most semitones by which a piece is moved up or down, by a random number, as far
        as its pitches stay in the range.
      lowest: the lowest pitch.
      highest: the highest pitch.

    Raises:
      ConfigError: a number is out of range.
      ValueError: (the operation) `onset` does not fit `series`.
      UnfitExample: (the operation) a piece is too long, or has a pitch out of the range.
    """
    check_choice("chorale, crop", crop, ("refuse", "start", "random"))
    if transpose < 0:
        raise ConfigError(f"chorale, transpose={transpose}: valid are 0 semitones and more")
    if not 0 <= lowest <= highest <= 127:
        raise ConfigError(
            f"chorale, lowest={lowest}, highest={highest}: valid are pitches of MIDI, 0 to 127"
        )
    settings = dict(crop=crop, transpose=transpose, lowest=lowest, highest=highest)
    operation = functools.partial(_chorale, length=positive(length), **settings)
    return features.making(operation, tokens="tokens", tokens_mask="array", beat="array")


def _chorale(
    example: Example, rng: np.random.Generator, *, length, crop, transpose, lowest, highest
) -> Example:
    pitch, onset = (np.asarray(feature(example, key)) for key in ("series", "onset"))
    if pitch.ndim != 2 or pitch.shape != onset.shape:
        raise ValueError(f"series is {shown(pitch)} and onset {shown(onset)}: valid are two (t, v)")
    pitch, onset = pitch.astype(np.int32), onset > 0
    sung = pitch[pitch >= 0]
    if sung.size and not lowest <= sung.min() <= sung.max() <= highest:
        raise UnfitExample(
            f"a piece has pitches {sung.min()} to {sung.max()}, but chorale has lowest={lowest} "
            f"and highest={highest}: extend the range"
        )
    if len(pitch) > length and crop == "refuse":
        raise UnfitExample(
            f"a piece has {len(pitch)} steps, but chorale has length={length}: increase length, or "
            "set crop to 'start' or 'random'"
        )
    if transpose and sung.size:
        down, up = min(transpose, sung.min() - lowest), min(transpose, highest - sung.max())
        pitch = np.where(pitch >= 0, pitch + rng.integers(-down, up + 1), pitch)
    start, beat = 0, chorales.STEPS_A_BEAT
    if len(pitch) > length and crop == "random":
        start = beat * int(rng.integers((len(pitch) - length) // beat + 1))
    there = slice(start, start + length)
    tokens = chorales.tokens(pitch[there], onset[there], lowest)
    count, rest = len(tokens), length - len(tokens)
    return {
        **without(without(example, "series"), "onset"),
        "tokens": np.pad(tokens, ((0, rest), (0, 0))),
        "tokens_mask": (np.arange(length) < count).astype(np.float32),
        "beat": (np.arange(length) % beat).astype(np.int32),
    }
