"""The biaxial LSTM: polyphonic music along time and along notes (Johnson 2017).

"Generating polyphonic music using tied parallel networks", EvoMUSART 2017, section 4.2. Each note
has a network along time. All these networks have the same weights, and see their surroundings at
their own pitch, so what is learnt in one key holds in all. A second network goes through the notes
of a frame from the lowest on. It decides about a note given what the first found for it, and given
the notes below in the same frame:

    p(x_1, x_2, ...) = prod_t prod_n p(x_t,n | x_1 ... x_(t-1), x_t,1 ... x_t,(n-1))
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import LSTMLayer, zero_state
from library.layers.series import present
from library.variants import variant

OCTAVE = 12


class Biaxial(nn.Module):
    """LSTMs along time, tied over notes, and LSTMs along notes, tied over time.

    Submodules are "time1", ..., "note1", ... and "head". Dropout applies to the output of each
    layer. Stores "features" (b, t, n, d), the input of the head.

    A past is the state of the layers along time, `{"time1": {"c": (b n, w), "h": (b n, w)}, ...}`,
    and a carry that of the layers along notes, `{"note1": {"c": (b, w), "h": (b, w)}, ...}`.

    Attributes:
      time_widths: units of the layers along time.
      note_widths: units of the layers along notes.
      lowest: the pitch of the first note, in MIDI.
      beats: bits of a frame's place, counted from the first frame: 4 tell 16 frames apart.
      dropout: dropout rate.
      dtype: type of the products; gates, states and logits are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    time_widths: tuple[int, ...] = (300, 300)
    note_widths: tuple[int, ...] = (100, 50)
    lowest: int = 21
    beats: int = 4
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"
    factored: ClassVar[bool] = True

    def __post_init__(self):
        check_sizes(time_widths=self.time_widths, note_widths=self.note_widths, beats=self.beats)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        for axis, widths in (("time", self.time_widths), ("note", self.note_widths)):
            for number, width in enumerate(widths):
                setattr(self, f"{axis}{number + 1}", LSTMLayer(width, **types))
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(1, **types)

    def __call__(
        self,
        frames: Float[Array, "b t n"],
        mask: Float[Array, "b t"] | None,
        following: Float[Array, "b t n"],
        train: bool = False,
    ) -> Float[Array, "b t n"]:
        """Returns the logits of the notes of the next frames, float32.

        Args:
          frames: 1 where a note sounds and 0 elsewhere.
          mask: 1 for the frames of the piece and 0 for padding at its end.
          following: the next frames. The logit of a note depends on the notes below it alone.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        hidden = self.hidden(frames, mask, train)
        b, t, n, d = hidden.shape
        below = jnp.pad(following[..., :-1], ((0, 0), (0, 0), (1, 0)))
        x = jnp.concatenate([hidden, below[..., None].astype(hidden.dtype)], axis=-1)
        # The layers run along the first axis, here notes.
        x = x.reshape(b * t, n, d + 1).swapaxes(0, 1)
        for name, zero in self.initial_carry(b * t).items():
            _, x = getattr(self, name)(x, zero)
            x = self.drop(x, deterministic=not train)
        x = x.swapaxes(0, 1).reshape(b, t, n, -1)
        store(self, "features", x)
        return self.head(x)[..., 0].astype(jnp.float32)

    def hidden(
        self,
        frames: Float[Array, "b t n"],
        mask: Float[Array, "b t"] | None,
        train: bool = False,
    ) -> Float[Array, "b t n d"]:
        """Returns what the layers along time find for each note, given the frames up to this one.

        Args:
          frames: 1 where a note sounds and 0 elsewhere.
          mask: 1 for the frames of the piece and 0 for padding at its end.
          train: whether to apply dropout.
        """
        b, t, n = frames.shape
        x = surroundings(present(frames, mask), self.lowest, self.beats).astype(self.dtype)
        x = x.transpose(1, 0, 2, 3).reshape(t, b * n, -1)
        moved = None if mask is None else jnp.repeat(mask.T, n, axis=1)[..., None]
        for name, zero in self.initial_past(b, n).items():
            _, x = getattr(self, name)(x, zero, mask=moved)
            x = self.drop(x, deterministic=not train)
        return x.reshape(t, b, n, -1).swapaxes(0, 1)

    def advance(
        self, frame: Float[Array, "b n"], place: Int[Array, ""], past: PyTree
    ) -> tuple[Float[Array, "b n d"], PyTree]:
        """Returns what `hidden` finds at one frame, and the past with this frame.

        Args:
          frame: 1 where a note sounds and 0 elsewhere.
          place: the number of the frame, from 0.
          past: the past before the frame.
        """
        b, n = frame.shape
        x = surroundings(frame[:, None], self.lowest, self.beats, place).astype(self.dtype)
        x, moved = x.reshape(1, b * n, -1), {}
        for name, state in past.items():
            moved[name], x = getattr(self, name)(x, state)
        return x.reshape(b, n, -1), moved

    def step(
        self, hidden: Float[Array, "b d"], below: Float[Array, " b"], carry: PyTree
    ) -> tuple[Float[Array, " b"], PyTree]:
        """Returns the logit of a note, and the carry after it.

        Args:
          hidden: what `hidden` returned for this note and frame.
          below: the note below in the next frame, 0 before the lowest.
          carry: the carry after the note below.
        """
        x = jnp.concatenate([hidden, below[:, None].astype(hidden.dtype)], axis=-1)[None]
        moved = {}
        for name, state in carry.items():
            moved[name], x = getattr(self, name)(x, state)
        return self.head(x[0])[:, 0].astype(jnp.float32), moved

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> PyTree:
        """Returns the carry before the lowest note: zero."""
        return _zeros("note", self.note_widths, batch_size)

    @nn.nowrap
    def initial_past(self, batch_size: int, notes: int) -> PyTree:
        """Returns the past before the first frame: zero."""
        return _zeros("time", self.time_widths, batch_size * notes)


def _zeros(axis: str, widths: tuple[int, ...], count: int) -> PyTree:
    return {f"{axis}{i + 1}": zero_state("lstm", count, width) for i, width in enumerate(widths)}


def surroundings(
    frames: Float[Array, "b t n"], lowest: int, beats: int, first: int | Int[Array, ""] = 0
) -> Float[Array, "b t n d"]:
    """Returns what the network of a note sees of a frame, d = 50 + beats numbers.

    They are the note's pitch, as a fraction of MIDI's 128; its pitch class, one-hot (12); the notes
    up to an octave below and above it (25); how many notes sound of each pitch class, from the
    note's own on upwards (12); and the bits of the frame's place.

    Args:
      frames: 1 where a note sounds and 0 elsewhere.
      lowest: the pitch of the first note, in MIDI.
      beats: bits of a frame's place.
      first: the place of the first frame.
    """
    b, t, n = frames.shape
    pitch = lowest + jnp.arange(n)
    padded = jnp.pad(frames, ((0, 0), (0, 0), (OCTAVE, OCTAVE)))
    vicinity = padded[..., jnp.arange(n)[:, None] + jnp.arange(2 * OCTAVE + 1)]
    classes = jax.nn.one_hot(pitch % OCTAVE, OCTAVE)
    counts = jnp.einsum("btn,nc->btc", frames, classes, precision="highest")
    context = counts[..., (pitch[:, None] + jnp.arange(OCTAVE)) % OCTAVE]
    bits = ((first + jnp.arange(t))[:, None] >> jnp.arange(beats)) & 1
    place = jnp.broadcast_to(bits[:, None].astype(jnp.float32), (b, t, n, beats))
    own = jnp.broadcast_to(pitch[:, None] / 128, (b, t, n, 1))
    classes = jnp.broadcast_to(classes, (b, t, n, OCTAVE))
    return jnp.concatenate([own, classes, vicinity, context, place], axis=-1)


biaxial = variant(Biaxial, "biaxial")
