"""MIDI files of music: which notes they hold, and what a synthesizer would play."""

import builtins

import numpy as np
import pytest

from library import piano_rolls
from library.apps import music
from library.config import ConfigError

HELD, STARTED = piano_rolls.HELD, piano_rolls.STARTED
# Voice, pitch, first step, the step after the last.
NOTES = [(0, 60, 0, 2), (0, 64, 1, 4), (0, 60, 2, 3), (1, 48, 3, 4)]


def piece():
    found = np.zeros((4, 2, 128), np.uint8)
    for voice, pitch, start, end in NOTES:
        found[start, voice, pitch] = STARTED
        found[start + 1 : end, voice, pitch] = HELD
    return found


def test_notes_begin_and_end_where_they_sound():
    assert [tuple(note) for note in music.notes(piece())] == NOTES
    cut = piece()[1:]
    assert tuple(music.notes(cut)[0]) == (0, 60, 0, 1)


def played(file):
    """Returns the notes of a file as a synthesizer hears them, times in seconds."""
    found, sounding, now = [], {}, 0.0
    for message in file:
        now += message.time
        if message.type == "note_on":
            sounding[message.channel, message.note] = now
        elif message.type == "note_off":
            key = (message.channel, message.note)
            found.append((*key, sounding.pop(key), now))
    assert not sounding
    return sorted(found)


def test_a_file_plays_the_notes(tmp_path):
    mido = pytest.importorskip("mido", reason="MIDI files need mido")
    paths = music.write(piece()[None], tmp_path / "made", "music", frames_per_minute=120)
    assert [path.name for path in paths] == ["music_1.mid", "music.png"]
    heard = played(mido.MidiFile(paths[0]))
    expected = sorted((v, p, start / 2, end / 2) for v, p, start, end in NOTES)
    np.testing.assert_allclose(heard, expected, rtol=1e-6)
    assert all(path.stat().st_size for path in paths)


def test_a_tempo_below_1_and_a_missing_package_are_refused(monkeypatch):
    real = builtins.__import__

    def without(name, *given, **options):
        if name == "mido":
            raise ImportError(name)
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"the package mido: pip install 'compendium\[music\]'"):
        music.midi([], 120)
    monkeypatch.undo()
    pytest.importorskip("mido", reason="MIDI files need mido")
    with pytest.raises(ConfigError, match="frames_per_minute=0: valid are 1 or more"):
        music.midi([], 0)
