"""Attention of a decoder's state to the places of a source: Bahdanau's and Luong's alignments.

Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473), section 3.1, and Luong, Pham & Manning 2015
(arXiv 1508.04025), section 3. A score compares a state h of the decoder with a place s of the
source:

    concat   v tanh(W h + U s), Bahdanau's score and, with [W U] as one matrix, Luong's "concat"
    general  h W s
    dot      h s

"local-p" predicts the place p to look at, p = S sigmoid(v tanh(W h)) for a source of S tokens, and
looks at the places up to D away, whose weights are multiplied by a Gaussian of deviation D / 2.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

SCORES = ("concat", "general", "dot")


class Memory(NamedTuple):
    """What a decoder attends to.

    Attributes:
      keys: what scores are computed from, (b, s, k).
      values: what the weights average, (b, s, d).
      there: False on padding, (b, s).
    """

    keys: Float[Array, "b s k"]
    values: Float[Array, "b s d"]
    there: Bool[Array, "b s"]


class Weights(NamedTuple):
    """The weights of an alignment; None where its score has none.

    Attributes:
      query: W of "concat", (w, k).
      key: U of "concat", (d, k), or W of "general", (d, w).
      vector: v of "concat", (k,).
      place: W of the place of "local-p", (w, w).
      place_vector: v of that place, (w,).
    """

    query: Float[Array, "w k"] | None
    key: Float[Array, "d k"] | None
    vector: Float[Array, " k"] | None
    place: Float[Array, "w w"] | None
    place_vector: Float[Array, " w"] | None


class Alignment(nn.Module):
    """The weights of an alignment.

    Attributes:
      score: one of SCORES; "dot" needs states and values of one size.
      width: w, the size of a state of the decoder.
      features: d, the size of a value.
      local: whether it predicts the place to look at.
      dtype: type of the weights in the computation.
      param_dtype: type of the params.
    """

    score: str
    width: int
    features: int
    local: bool
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self) -> Weights:
        """Returns the weights, in the type of the computation."""
        dense, normal = nn.initializers.lecun_normal(), nn.initializers.normal(0.1)
        shapes = dict.fromkeys(Weights._fields)
        if self.score == "concat":
            shapes["query"], shapes["vector"] = (self.width, self.width), (self.width,)
        if self.score != "dot":
            shapes["key"] = (self.features, self.width)
        if self.local:
            shapes["place"], shapes["place_vector"] = (self.width, self.width), (self.width,)
        found = {
            name: shape
            and self.param(name, normal if len(shape) == 1 else dense, shape, self.param_dtype)
            for name, shape in shapes.items()
        }
        return jax.tree.map(lambda x: x.astype(self.dtype), Weights(**found))


def remembered(
    weights: Weights, values: Float[Array, "b s d"], there: Bool[Array, "b s"]
) -> Memory:
    """Returns what a decoder attends to; the products with all places are computed here, once."""
    keys = values if weights.key is None else values @ weights.key
    return Memory(keys, values, there)


def attended(
    weights: Weights, memory: Memory, state: Float[Array, "b w"], window: int | None = None
) -> tuple[Float[Array, "b d"], Float[Array, "b s"]]:
    """Returns the mean of the values by the weights of attention, and these weights, float32.

    Args:
      weights: the weights of the alignment.
      memory: what to attend to.
      state: the decoder's state.
      window: D of "local-p"; None attends to all places. The Gaussian makes the sum of the weights
        less than 1.
    """
    state = state.astype(memory.keys.dtype)
    if weights.vector is None:
        scores = jnp.einsum("bk,bsk->bs", state, memory.keys)
    else:
        scores = jnp.tanh((state @ weights.query)[:, None] + memory.keys) @ weights.vector
    scores, allowed, factor = scores.astype(jnp.float32), memory.there, 1.0
    if window is not None:
        distance = jnp.arange(scores.shape[1]) - _place(weights, memory, state)[:, None]
        allowed &= jnp.abs(distance) <= window
        factor = jnp.exp(-2 * jnp.square(distance / window))
    # A finite number, because a padding example has no place to attend to.
    scores = jnp.where(allowed, scores, -1e30)
    found = jnp.where(allowed, jax.nn.softmax(scores, axis=-1) * factor, 0)
    context = jnp.einsum("bs,bsd->bd", found.astype(memory.values.dtype), memory.values)
    return context, found


def _place(weights: Weights, memory: Memory, state: Float[Array, "b w"]) -> Float[Array, " b"]:
    share = nn.sigmoid(jnp.tanh(state @ weights.place) @ weights.place_vector)
    return jnp.sum(memory.there, axis=-1) * share.astype(jnp.float32)
