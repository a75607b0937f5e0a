"""Music of a finished run: MIDI files, and a picture of their piano rolls."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from library import files, piano_rolls, task
from library.apps import captions, generation
from library.config import ConfigError
from library.evaluation.context import collected
from library.reporting import mosaic
from library.run.session import Trained

EXTRA = "pip install 'compendium[music]' installs it"
# Ticks of a step, which is a sixteenth of MIDI's 480 ticks a quarter; how hard a key is struck.
_TICKS, _QUARTER, _VELOCITY = 120, 480, 80
_MICROSECONDS = 60_000_000


class Note(NamedTuple):
    """A note: it sounds from the step `start` up to the step before `end`."""

    voice: int
    pitch: int
    start: int
    end: int


def made(trained: Trained, request: generation.Request, split: str | None = None) -> np.ndarray:
    """Returns music that a task draws, uint8 (n, t, v, 128), see `library.piano_rolls`.

    Args:
      trained: the run.
      request: the number of pieces, and other settings.
      split: the split whose examples the task arranges; by default it makes music of nothing.

    Raises:
      ConfigError: mido, which writes the files, is missing.
    """
    _mido()
    output = trained.plan.task.outputs["music" if split is None else "arrangement"]

    def run(state: Any, batch: Any, key: Any) -> dict[str, Any]:
        return {"music": output(state, batch, key), "mask": batch["mask"]}

    context = trained.feed.context(seed=request.seed)
    size = generation.batch_size(trained, request)
    batches = context.draws(request.num, size)
    if split is not None:
        batches = captions.first(context.batches(split, size), request.num)
    state = task.learnt(trained.state, averages=request.ema)
    return collected(context.collect(run), state, batches)["music"][: request.num]


def write(
    music: UInt8[np.ndarray, "n t v 128"], folder: Path, name: str, frames_per_minute: int
) -> list[Path]:
    """Writes NAME_1.mid, ... and a picture of all, NAME.png.

    Only the first of several processes writes.

    Args:
      music: the pieces.
      folder: the folder of the files.
      name: the start of the files' names.
      frames_per_minute: the tempo.
    """
    paths = [folder / f"{name}_{number + 1}.mid" for number in range(len(music))]
    picture = folder / f"{name}.png"
    if jax.process_index():
        return [*paths, picture]
    folder.mkdir(exist_ok=True)
    for path, piece in zip(paths, music):
        with files.replacing(path) as partial, partial.open("wb") as file:
            midi(notes(piece), frames_per_minute).save(file=file)
    mosaic.save(np.asarray(piano_rolls.picture(jnp.asarray(music))), picture)
    return [*paths, picture]


def notes(music: UInt8[np.ndarray, "t v 128"]) -> list[Note]:
    """Returns the notes of music, by voice, start and pitch.

    A note that is held without a start begins where it is first held.
    """
    found = []
    sounds = np.pad(music != piano_rolls.SILENT, ((1, 1), (0, 0), (0, 0)))
    starts = np.pad(music == piano_rolls.STARTED, ((1, 1), (0, 0), (0, 0)))
    begins = sounds & (starts | ~np.roll(sounds, 1, axis=0))
    for step, voice, pitch in np.argwhere(begins):
        later = step + 1
        while sounds[later, voice, pitch] and not begins[later, voice, pitch]:
            later += 1
        found.append(Note(int(voice), int(pitch), int(step) - 1, int(later) - 1))
    return sorted(found, key=lambda note: (note.voice, note.start, note.pitch))


def midi(played: list[Note], frames_per_minute: int) -> Any:
    """Returns a file of mido with a track for each voice; a step is a sixteenth.

    Raises:
      ConfigError: mido is missing, or the tempo is below 1.
    """
    mido = _mido()
    if frames_per_minute < 1:
        raise ConfigError(f"frames_per_minute={frames_per_minute}: valid are 1 or more")
    file = mido.MidiFile(ticks_per_beat=_QUARTER)
    steps = _QUARTER // _TICKS
    # The longest quarter that the format can state takes 16.7 seconds.
    tempo = min(round(steps * _MICROSECONDS / frames_per_minute), 2**24 - 1)
    for voice in range(1 + max((note.voice for note in played), default=0)):
        track = file.add_track(f"voice {voice + 1}")
        if voice == 0:
            track.append(mido.MetaMessage("set_tempo", tempo=tempo))
        before = 0
        for step, kind, pitch in _events([note for note in played if note.voice == voice]):
            # Channel 9 is for drums.
            channel = voice if voice < 9 else min(voice + 1, 15)
            strength = dict(note=pitch, velocity=_VELOCITY, channel=channel)
            track.append(mido.Message(kind, time=(step - before) * _TICKS, **strength))
            before = step
    return file


def _events(played: list[Note]) -> list[tuple[int, str, int]]:
    """Returns the ends and starts of notes in order; a note ends before the next one starts."""
    ends = [(note.end, "note_off", note.pitch) for note in played]
    starts = [(note.start, "note_on", note.pitch) for note in played]
    return sorted([*ends, *starts])


def _mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise ConfigError(f"MIDI files need the package mido: {EXTRA}") from error
    return mido
