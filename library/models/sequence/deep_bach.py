"""DeepBach: a network for each voice of a chorale, given all other notes.

Hadjeres, Pachet & Nielsen 2017, "DeepBach: a steerable model for Bach chorales generation", ICML
2017 (arXiv 1612.01010), section 2. The network of a voice gives the token of each step from the
past of all voices, by an LSTM, from their future, by an LSTM that reads backwards, and from the
other voices at this step. `library.tasks.harmonization` draws chorales with it by Gibbs sampling.

The paper's network reads a window about one step. Here the LSTMs go through the whole example, so
all steps are learnt at once. Meter is the sixteenth of its quarter; fermatas and keys are left out.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.chorales import STEPS_A_BEAT
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import LSTMLayer, zero_state
from library.variants import variant


class VoiceNetwork(nn.Module):
    """The network of one voice: logits of its tokens given all others.

    Submodules are "notes1", ..., embeddings of each voice's tokens; "beats"; "past1", "future1",
    ..., LSTMs; "others", dense; "hidden", dense; and "head".

    Attributes:
      voice: the number of the voice.
      vocab_size: number of tokens of a voice.
      embedding: size of embeddings.
      width: units of each layer.
      depth: LSTMs in each direction.
      dropout: dropout rate.
      dtype: type of the products.
      param_dtype: type of the params.
    """

    voice: int
    vocab_size: int
    embedding: int
    width: int
    depth: int
    dropout: float
    dtype: str
    param_dtype: str

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "b t v"],
        mask: Float[Array, "b t"],
        beat: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b t k"]:
        """Returns the logits, float32; arguments are those of `DeepBach`."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        def embedded(count: int, name: str, numbers: Array) -> Array:
            init = nn.initializers.normal(1.0)
            return nn.Embed(count, self.embedding, embedding_init=init, name=name, **types)(numbers)

        def drop(x: Array, name: str) -> Array:
            return nn.Dropout(self.dropout, deterministic=not train, name=f"drop_{name}")(x)

        voices = range(tokens.shape[-1])
        notes = [embedded(self.vocab_size, f"notes{v + 1}", tokens[..., v]) for v in voices]
        beats = embedded(STEPS_A_BEAT, "beats", beat)
        around = jnp.concatenate([*notes, beats], axis=-1).swapaxes(0, 1)
        past, future = (
            self._read(name, around, mask, name == "future", drop) for name in ("past", "future")
        )
        now = jnp.concatenate([*(notes[v] for v in voices if v != self.voice), beats], axis=-1)
        now = nn.relu(nn.Dense(self.width, name="others", **types)(now))
        # The states before and after this step have not seen it.
        past = jnp.pad(past[:, :-1], ((0, 0), (1, 0), (0, 0)))
        future = jnp.pad(future[:, 1:], ((0, 0), (0, 1), (0, 0)))
        x = drop(jnp.concatenate([past, now, future], axis=-1), "all")
        x = drop(nn.relu(nn.Dense(self.width, name="hidden", **types)(x)), "hidden")
        store(self, "features", x)
        return nn.Dense(self.vocab_size, name="head", **types)(x).astype(jnp.float32)

    def _read(self, name: str, x: Array, mask: Array, reverse: bool, drop) -> Array:
        for number in range(self.depth):
            layer = LSTMLayer(self.width, self.dtype, self.param_dtype, name=f"{name}{number + 1}")
            zero = zero_state("lstm", x.shape[1], self.width)
            x = layer(x, zero, mask=mask.T[..., None], reverse=reverse)[1]
            x = drop(x, f"{name}{number + 1}")
        return x.swapaxes(0, 1)


class DeepBach(nn.Module):
    """A network for each voice.

    Submodules are "voice1", ... Each stores "features" (b, t, d), the input of its head.

    Attributes:
      vocab_size: number of tokens of a voice, see `library.chorales`.
      voices: number of voices.
      embedding: size of the embeddings of tokens and of places in a beat.
      width: units of each layer.
      depth: LSTMs of a voice in each direction.
      dropout: dropout rate, after each layer.
      dtype: type of the products; gates, states and logits are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    vocab_size: int = 48
    voices: int = 4
    embedding: int = 20
    width: int = 200
    depth: int = 2
    dropout: float = 0.2
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size, voices=self.voices, embedding=self.embedding)
        check_sizes(width=self.width, depth=self.depth)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        names = ("vocab_size", "embedding", "width", "depth", "dropout", "dtype", "param_dtype")
        sizes = {name: getattr(self, name) for name in names}
        for number in range(self.voices):
            setattr(self, f"voice{number + 1}", VoiceNetwork(number, **sizes))

    def __call__(
        self,
        tokens: Int[Array, "b t v"],
        mask: Float[Array, "b t"],
        beat: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b t v k"]:
        """Returns the logits of each token given all others, float32.

        Args:
          tokens: tokens of the voices.
          mask: 1 for the steps of a piece and 0 for padding at its end.
          beat: the sixteenth of its quarter, 0 to 3.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        each = [self.of_voice(tokens, mask, beat, voice, train) for voice in range(self.voices)]
        return jnp.stack(each, axis=-2)

    def of_voice(
        self,
        tokens: Int[Array, "b t v"],
        mask: Float[Array, "b t"],
        beat: Int[Array, "b t"],
        voice: int,
        train: bool = False,
    ) -> Float[Array, "b t k"]:
        """Returns the logits of one voice, by its number; the others are not computed."""
        return getattr(self, f"voice{voice + 1}")(tokens, mask, beat, train)


deep_bach = variant(DeepBach, "deep_bach")
