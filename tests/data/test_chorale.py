"""Tokens of voices: what they say of notes, and what a crop and a transposition keep."""

import numpy as np
import pytest

from library import chorales, piano_rolls
from library.config import ConfigError
from library.data.preprocessing import UnfitExample
from library.data.preprocessing.chorale import chorale

H, R = chorales.HOLD, chorales.REST
PITCH = np.array([[60, 40], [60, 40], [60, -1], [62, -1], [62, 36], [-1, 36]])
ONSET = np.array([[1, 1], [0, 0], [1, 0], [1, 0], [0, 1], [0, 0]], bool)
# Pitch 36 is token 2.
TOKENS = [[26, 6], [H, H], [26, R], [28, R], [H, 2], [R, H]]


def example(length=6):
    pitch = np.resize(PITCH, (length, 2))
    return {"series": pitch.astype(np.float32), "onset": np.resize(ONSET, (length, 2)).astype(int)}


def test_a_token_is_a_note_its_continuation_or_a_rest():
    assert chorales.tokens(PITCH, ONSET).tolist() == TOKENS
    pitch, starts = chorales.pitches(np.array(TOKENS))
    np.testing.assert_array_equal(pitch, PITCH)
    np.testing.assert_array_equal(starts, ONSET)
    # A note that has begun before begins with the crop; a continuation of nothing is a rest.
    assert chorales.tokens(PITCH[1:], ONSET[1:])[0].tolist() == [26, 6]
    assert chorales.pitches(np.array([[H], [H], [4]]))[0].tolist() == [[-1], [-1], [38]]


def test_the_music_of_tokens():
    music = np.asarray(chorales.music(np.array(TOKENS), np.array([1, 1, 1, 1, 1, 0])))
    assert music.shape == (6, 2, 128)
    states = [piano_rolls.STARTED, piano_rolls.HELD, piano_rolls.STARTED, 0, 0, 0]
    assert music[:, 0, 60].tolist() == states
    assert music[:, 1, 36].tolist() == [0, 0, 0, 0, piano_rolls.STARTED, 0]
    assert np.count_nonzero(music) == 3 + 2 + 2 + 1


def test_a_piece_is_padded_with_its_mask_and_its_beat():
    made = chorale(8)({**example(), "id": "a"}, np.random.default_rng(0))
    assert sorted(made) == ["beat", "id", "tokens", "tokens_mask"]
    assert made["tokens"].tolist() == [*TOKENS, [0, 0], [0, 0]]
    assert made["tokens_mask"].tolist() == [1] * 6 + [0, 0]
    assert made["beat"].tolist() == [0, 1, 2, 3] * 2


def test_a_crop_begins_at_a_quarter_and_a_transposition_stays_in_the_range():
    operation = chorale(4, crop="random", transpose=3, lowest=35, highest=64)
    whole, seen = example(12), set()
    for seed in range(200):
        tokens = operation(whole, np.random.default_rng(seed))["tokens"]
        pitch, _ = chorales.pitches(tokens, 35)
        pitch = np.asarray(pitch)
        for start, shift in [(s, k) for s in (0, 4, 8) for k in range(-3, 4)]:
            there = whole["series"][start : start + 4]
            if np.array_equal(np.where(there >= 0, there + shift, -1), pitch):
                seen.add((start, shift))
    # 36 is one above the lowest pitch, and 62 two below the highest.
    assert seen == {(s, k) for s in (0, 4, 8) for k in range(-1, 3)}


def test_what_does_not_fit_is_refused():
    with pytest.raises(UnfitExample, match="6 steps, but chorale has length=4: increase length"):
        chorale(4)(example(), np.random.default_rng(0))
    with pytest.raises(UnfitExample, match="pitches 36 to 62, but chorale has lowest=40"):
        chorale(8, lowest=40)(example(), np.random.default_rng(0))
    with pytest.raises(ConfigError, match="transpose=-1: valid are 0 semitones and more"):
        chorale(4, transpose=-1)
    with pytest.raises(ValueError, match=r"series is float32 \(6, 2\) and onset int64 \(5, 2\)"):
        chorale(8)({**example(), "onset": example()["onset"][:5]}, np.random.default_rng(0))
