"""Recurrent encoders and decoders: Sutskever's, Bahdanau's and Luong's.

Sutskever, Vinyals & Le 2014 (arXiv 1409.3215): a deep LSTM reads the source from its end to its
beginning, and its last state is the first state of a second one, which writes. Bahdanau, Cho &
Bengio 2015 (arXiv 1409.0473): a bidirectional GRU reads, and before each token the writer attends
to all places of the source. Luong, Pham & Manning 2015 (arXiv 1508.04025): a deep LSTM attends
after its step, and what it attends to goes into the next step (input feeding).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from library.config import ConfigError, check_choice
from library.layers import alignment
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.recurrence import LAYERS, UNITS, RecurrentUnit, UnitWeights, zero_state
from library.variants import variant

# When a decoder attends: before its step (Bahdanau), after it (Luong), or not at all (Sutskever).
ATTENDS = ("before", "after", "never")


class Decoder(NamedTuple):
    """The weights of the decoder, from which its steps are computed.

    Attributes:
      layers: the weights of each recurrent layer.
      align: the weights of the attention, or None.
      combine: of "after", the matrix of tanh(W [context, h]), (d + w, w); or None.
      window: D of "local-p", or None.
      attends: one of ATTENDS.
      embedding: the size of a token's embedding, which is the first part of an input.
    """

    layers: tuple[UnitWeights, ...]
    align: alignment.Weights | None
    combine: Float[Array, "n w"] | None
    window: int | None
    attends: str
    embedding: int

    def projected(self, embedded: Float[Array, "*n e"]) -> Float[Array, "*n g"]:
        """Returns the contribution of tokens to the gates of the first layer."""
        first = self.layers[0]
        return embedded.astype(first.input.dtype) @ first.input[: self.embedding] + first.bias

    def advanced(
        self, memory: alignment.Memory, state: PyTree, given: Array, dropped: list[Array]
    ) -> tuple[PyTree, dict[str, Array]]:
        """Returns the state after a step, and its "top", "context" and "attention".

        Args:
          memory: what the decoder attends to.
          state: the state before.
          given: what `projected` returns for the token.
          dropped: the factors of dropout on what each layer passes on.
        """
        moved, fed = {}, state.get("feed")
        top = state[f"layer{len(self.layers)}"]["h"]
        context = jnp.zeros((len(given), 0))
        weights = jnp.zeros(memory.there.shape)
        if self.attends == "before":
            fed, weights = alignment.attended(self.align, memory, top, self.window)
            context = fed
        if fed is not None:
            given = given + fed.astype(given.dtype) @ self.layers[0].input[self.embedding :]
        for number, (layer, factor) in enumerate(zip(self.layers, dropped), 1):
            name = f"layer{number}"
            moved[name] = layer.advanced(state[name], given)
            top = moved[name]["h"]
            if number < len(self.layers):
                given = self.layers[number].projected(top * factor)
        if self.attends == "after":
            context, weights = alignment.attended(self.align, memory, top, self.window)
            both = jnp.concatenate([context, top.astype(context.dtype)], axis=-1)
            top = jnp.tanh(both @ self.combine).astype(jnp.float32)
            moved["feed"] = top
        return moved, {"top": top, "context": context, "attention": weights}


class Seq2Seq(nn.Module):
    """A recurrent encoder, and a recurrent decoder that may attend to it.

    Submodules are "source_tokens" and "target_tokens" (embeddings); "encoder1", ... and, if it
    reads in both directions, "backward1", ...; "initial1", ..., which make the decoder's first
    state of a bidirectional encoder; "decoder1", ...; "alignment" (if it attends); "combine" of
    Luong, or "deep" of Bahdanau's maxout layer; and "head". Padding of the source changes nothing.
    Stores "features" (b, t, f), the input of the head.

    With a bidirectional encoder, each layer of the decoder starts at h = tanh(W h'), where h' is
    the state of the encoder's layer that has read back to the first token, and at c = 0. Otherwise
    it starts at the encoder's last state of that layer.

    Attributes:
      vocab_size: number of tokens of both languages.
      cell: "gru" or "lstm".
      width: units of each layer, in each direction.
      depth: number of layers of the encoder and of the decoder.
      embedding: size of a token's embedding.
      bidirectional: whether the encoder reads in both directions.
      reverse: whether an encoder of one direction reads from the end to the beginning.
      attends: when the decoder attends: "before" or "after" its step, or "never".
      score: the score of the attention, see `library.layers.alignment`.
      window: D of "local-p"; None attends to all places.
      tied: whether both languages share their embeddings.
      dropout: rate on embeddings, on what a layer passes to the next, and before the head.
      dtype: type of the products; gates, states and logits are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a cell, a time to attend, a score or a dtype is unknown; a rate is outside
        [0, 1); a size is below 1; "reverse" with a bidirectional encoder; a window without
        attention; or the score "dot" with states of another size than the places.
    """

    vocab_size: int
    cell: str = "gru"
    width: int = 256
    depth: int = 1
    embedding: int = 256
    bidirectional: bool = True
    reverse: bool = False
    attends: str = "before"
    score: str = "concat"
    window: int | None = None
    tied: bool = True
    dropout: float = 0.0
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size, width=self.width, depth=self.depth)
        check_sizes(embedding=self.embedding, window=1 if self.window is None else self.window)
        check_choice("cell", self.cell, UNITS)
        check_choice("attends", self.attends, ATTENDS)
        check_choice("score", self.score, alignment.SCORES)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        if self.reverse and self.bidirectional:
            raise ConfigError("reverse=True with bidirectional=True: it reads both ways already")
        if self.window is not None and self.attends == "never":
            raise ConfigError(f"window={self.window} with attends='never': valid is None")
        if self.attends != "never" and self.score == "dot" and self.bidirectional:
            raise ConfigError(
                f"score='dot' compares a state of {self.width} units with places of "
                f"{2 * self.width}, those of a bidirectional encoder; nearest: score='general'"
            )
        super().__post_init__()

    def setup(self):
        """Makes the submodules."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        embed = dict(embedding_init=nn.initializers.normal(0.1), **types)
        self.source_tokens = nn.Embed(self.vocab_size, self.embedding, **embed)
        if not self.tied:
            self.target_tokens = nn.Embed(self.vocab_size, self.embedding, **embed)
        seen = self._values()
        fed = {"before": seen, "after": self.width, "never": 0}[self.attends]
        for number in range(1, self.depth + 1):
            setattr(self, f"encoder{number}", LAYERS[self.cell](self.width, **types))
            if self.bidirectional:
                setattr(self, f"backward{number}", LAYERS[self.cell](self.width, **types))
                setattr(self, f"initial{number}", nn.Dense(self.width, **types))
            given = self.embedding + fed if number == 1 else self.width
            unit = RecurrentUnit(self.cell, given, self.width, **types)
            setattr(self, f"decoder{number}", unit)
        if self.attends != "never":
            self.alignment = alignment.Alignment(
                self.score, self.width, seen, self.window is not None, **types
            )
        if self.attends == "after":
            init, shape = nn.initializers.lecun_normal(), (seen + self.width, self.width)
            self.combine = self.param("combine", init, shape, self.param_dtype)
        if self.attends == "before":
            self.deep = nn.Dense(2 * self.width, **types)
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(self.vocab_size, **types)

    def __call__(
        self,
        source: Int[Array, "b s"],
        source_mask: Float[Array, "b s"],
        target: Int[Array, "b t"],
        train: bool = False,
    ) -> Float[Array, "b t v"]:
        """Returns the logits of the token after each token of the target, float32."""
        return self.attend(self.hidden(source, source_mask, target, train=train)[0])

    def hidden(
        self,
        source: Int[Array, "b s"],
        source_mask: Float[Array, "b s"],
        target: Int[Array, "b t"],
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "b t f"], Float[Array, "b t s"]]:
        """Returns the features from which `attend` computes logits, and the attention.

        Args:
          source: tokens of the source.
          source_mask: 1 for a token of the source and 0 for padding.
          target: the tokens that are given, from the one that begins an output.
          train: whether to apply dropout, from the rng stream "dropout".
        """
        memory, state = self._encoded(source, source_mask, train)
        decoder, embedded = self._decoder(), self._embed(target.T, train)
        dropped = [self._factors(target, train) for _ in decoder.layers]

        def step(state: PyTree, inputs: Any) -> tuple[PyTree, dict[str, Array]]:
            return decoder.advanced(memory, state, *inputs)

        inputs = (decoder.projected(embedded), dropped)
        _, found = jax.lax.scan(step, state, inputs)
        features = self._features(found, embedded, train).swapaxes(0, 1)
        store(self, "features", features)
        return features, found["attention"].swapaxes(0, 1)

    def attend(self, hidden: Float[Array, "*n f"]) -> Float[Array, "*n v"]:
        """Returns the logits of features, float32."""
        return self.head(hidden.astype(self.dtype)).astype(jnp.float32)

    def encode(
        self, source: Int[Array, "b s"], source_mask: Float[Array, "b s"], length: int
    ) -> tuple[PyTree, PyTree]:
        """Returns what the decoder attends to, and its state before the first token.

        The state's size does not depend on `length`, the most tokens of an output.
        """
        return self._encoded(source, source_mask, False)

    def step(
        self, tokens: Int[Array, " b"], memory: PyTree, cache: PyTree, position: Int[Array, ""]
    ) -> tuple[Float[Array, "b v"], Float[Array, "b s"], PyTree]:
        """Returns the logits of the next token, the attention, and the state after the given one.

        Args:
          tokens: the last token of each output.
          memory: what the decoder attends to.
          cache: the state before the token.
          position: ignored, as a recurrent model does not need it.
        """
        decoder, embedded = self._decoder(), self._embed(tokens, False)
        kept = [jnp.ones(())] * self.depth
        cache, found = decoder.advanced(memory, cache, decoder.projected(embedded), kept)
        return self.attend(self._features(found, embedded, False)), found["attention"], cache

    @nn.nowrap
    def _values(self) -> int:
        return 2 * self.width if self.bidirectional else self.width

    def _embed(self, tokens: Int[Array, "*n"], train: bool) -> Float[Array, "*n e"]:
        table = self.source_tokens if self.tied else self.target_tokens
        return self.drop(table(tokens), deterministic=not train)

    def _encoded(self, source, source_mask, train) -> tuple[alignment.Memory, PyTree]:
        x = self.drop(self.source_tokens(source.T), deterministic=not train)
        there = source_mask.T[..., None]
        state = {}
        for number in range(1, self.depth + 1):
            name, start = f"layer{number}", zero_state(self.cell, len(source), self.width)
            layer = getattr(self, f"encoder{number}")
            last, y = layer(x, start, mask=there, reverse=self.reverse)
            if self.bidirectional:
                layer = getattr(self, f"backward{number}")
                last, back = layer(x, start, mask=there, reverse=True)
                y = jnp.concatenate([y, back], axis=-1)
                made = jnp.tanh(getattr(self, f"initial{number}")(last["h"]))
                last = start | {"h": made.astype(jnp.float32)}
            state[name] = last
            x = self.drop(y, deterministic=not train)
        if self.attends == "after":
            state["feed"] = jnp.zeros((len(source), self.width))
        values, seen = x.swapaxes(0, 1).astype(self.dtype), source_mask > 0
        if self.attends == "never":
            return alignment.Memory(values[..., :0], values[..., :0], seen), state
        return alignment.remembered(self.alignment(), values, seen), state

    def _decoder(self) -> Decoder:
        layers = tuple(getattr(self, f"decoder{n}")() for n in range(1, self.depth + 1))
        align = self.alignment() if self.attends != "never" else None
        combine = self.combine.astype(self.dtype) if self.attends == "after" else None
        return Decoder(layers, align, combine, self.window, self.attends, self.embedding)

    def _factors(self, target: Int[Array, "b t"], train: bool) -> Float[Array, "t ..."]:
        """Returns the factors of dropout for what a layer of the decoder passes on."""
        if not train or not self.dropout:
            return jnp.ones((target.shape[1], 1, 1))
        shape = (target.shape[1], len(target), self.width)
        return self.drop(jnp.ones(shape), deterministic=False)

    def _features(self, found: dict[str, Array], embedded: Array, train: bool) -> Array:
        top = found["top"].astype(self.dtype)
        if self.attends == "before":
            # Bahdanau et al. 2015, appendix A.2.2: pairs of units, of which the larger one counts.
            given = jnp.concatenate([top, embedded, found["context"].astype(self.dtype)], axis=-1)
            deep = self.deep(given)
            top = jnp.max(deep.reshape(*deep.shape[:-1], -1, 2), axis=-1)
        return self.drop(top, deterministic=not train)


bahdanau = variant(
    Seq2Seq, "bahdanau", attends="before", reverse=False, bidirectional=True, window=None
)
luong = variant(
    Seq2Seq,
    "luong",
    attends="after",
    reverse=False,
    bidirectional=False,
    defaults=dict(cell="lstm", depth=2, score="general"),
)
sutskever = variant(
    Seq2Seq,
    "sutskever",
    attends="never",
    bidirectional=False,
    window=None,
    score="concat",
    defaults=dict(cell="lstm", depth=4, reverse=True),
)
