"""Voices as tokens, one for each sixteenth: HOLD, REST, or the pitch with which a note begins.

HOLD continues the note or the rest before it, as in DeepBach (Hadjeres, Pachet & Nielsen 2017,
section 2.1). Token FIRST + i is the pitch `lowest` + i of MIDI.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from library import piano_rolls

HOLD, REST, FIRST = 0, 1, 2
VOICES = ("soprano", "alto", "tenor", "bass")
STEPS_A_BEAT = 4
# The range of Bach's chorales.
LOWEST, HIGHEST = 36, 81


def tokens(
    pitch: Int[np.ndarray, "t v"], onset: Bool[np.ndarray, "t v"], lowest: int = LOWEST
) -> Int32[np.ndarray, "t v"]:
    """Returns the tokens of voices.

    Args:
      pitch: MIDI pitches, -1 for rests.
      onset: where a note begins. It also begins where the pitch changes, and at the first step.
      lowest: the pitch of the token FIRST.
    """
    before = np.concatenate([np.full_like(pitch[:1], -1), pitch[:-1]])
    sings = pitch >= 0
    held = sings & ~onset & (pitch == before)
    return np.where(held, HOLD, np.where(sings, FIRST + pitch - lowest, REST)).astype(np.int32)


def pitches(
    tokens: Int[Array, "*b t v"], lowest: int = LOWEST
) -> tuple[Int[Array, "*b t v"], Bool[Array, "*b t v"]]:
    """Returns the pitch of each voice, -1 for a rest, and where notes begin.

    A HOLD that continues nothing, because it comes first, is a rest.
    """
    axis = tokens.ndim - 2
    place = jnp.arange(tokens.shape[axis])[:, None]
    last = jax.lax.cummax(jnp.where(tokens == HOLD, -1, place), axis=axis)
    held = jnp.take_along_axis(tokens, jnp.maximum(last, 0), axis=axis)
    pitch = jnp.where((last >= 0) & (held >= FIRST), held - FIRST + lowest, -1)
    return pitch, tokens >= FIRST


def music(
    tokens: Int[Array, "*b t v"], mask: Float[Array, "*b t"], lowest: int = LOWEST
) -> piano_rolls.Music:
    """Returns the music of tokens, see `library.piano_rolls`; silence where the mask is 0."""
    pitch, starts = pitches(tokens, lowest)
    return piano_rolls.of_pitches(jnp.where(mask[..., None] > 0, pitch, -1), starts)
