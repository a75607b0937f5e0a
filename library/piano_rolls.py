"""Piano rolls: music as an array of pitches over time, and its picture.

Music of v voices is uint8 (t, v, 128), an entry for each step, voice and pitch of MIDI: SILENT,
HELD where a note sounds on, and STARTED where one begins.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from library import painting

PITCHES = 128
SILENT, HELD, STARTED = 0, 1, 2
# The keys of a piano, which a picture shows, and the pixels of a key and of a step.
LOWEST, HIGHEST = 21, 108
CELL = 3
# Pixels of silence, of the black keys' rows, and the share of its colour that a held note has.
_PAPER, _SHADE, _DIMMED = 255, 236, 0.6
_BLACK_KEYS = (1, 3, 6, 8, 10)

Music = UInt8[Array, "*b t v 128"]


def of_frames(frames: Float[Array, "*b t n"], lowest: int = LOWEST) -> Music:
    """Returns the music of one voice whose notes sound, 1, or not, 0, at each step.

    A note that sounds at the step before sounds on: frames do not tell a note that is struck again.

    Args:
      frames: the notes from `lowest` on.
      lowest: the pitch of the first note.
    """
    sounds = frames > 0
    before = jnp.pad(sounds, [(0, 0)] * (sounds.ndim - 2) + [(1, 0), (0, 0)])[..., :-1, :]
    states = jnp.where(sounds, jnp.where(before, HELD, STARTED), SILENT).astype(jnp.uint8)
    rest = PITCHES - lowest - frames.shape[-1]
    widths = [(0, 0)] * (sounds.ndim - 1) + [(lowest, rest)]
    return jnp.pad(states, widths)[..., None, :]


def of_pitches(pitch: Int[Array, "*b t v"], starts: Array) -> Music:
    """Returns the music of voices that each sing one note at a time.

    Args:
      pitch: the pitch of each voice, -1 for a rest.
      starts: (*b, t, v), whether a note begins.
    """
    there = pitch[..., None] == jnp.arange(PITCHES)
    return jnp.where(there, jnp.where(starts[..., None], STARTED, HELD), SILENT).astype(jnp.uint8)


def picture(music: Music) -> UInt8[Array, "*b h w 3"]:
    """Returns a picture of the keys of a piano, the highest on top, over time.

    Each voice has a colour, which is stronger where a note begins. Of voices on one pitch the first
    is seen.
    """
    voices, keys = music.shape[-2], np.arange(HIGHEST, LOWEST - 1, -1)
    music = jnp.moveaxis(music[..., keys], -3, -1)
    paper = np.where(np.isin(keys % 12, _BLACK_KEYS), _SHADE, _PAPER)
    drawn = jnp.broadcast_to(
        jnp.asarray(paper, jnp.float32)[:, None, None],
        (*music.shape[:-3], len(keys), music.shape[-1], 3),
    )
    table = painting.colours(voices + 1)[1:].astype(np.float32)
    for voice in reversed(range(voices)):
        state = music[..., voice, :, :, None]
        dimmed = _PAPER + _DIMMED * (table[voice] - _PAPER)
        drawn = jnp.where(state == SILENT, drawn, jnp.where(state == HELD, dimmed, table[voice]))
    drawn = jnp.repeat(jnp.repeat(drawn, CELL, axis=-3), CELL, axis=-2)
    return jnp.round(drawn).astype(jnp.uint8)
