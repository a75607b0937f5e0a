"""Search for an output of a decoder: greedy, by sampling, and by beam search, on the device.

A decoder is known here only as a function of one step,

    step(tokens (b,), memory, cache, position ()) -> logits (b, v), attention (b, s), cache

`tokens` are the last tokens, `memory` is what it knows of the source, and `cache` its state after
the tokens before, arrays with an axis of b. `attention` are the weights by which it looks at the
source.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library import decoding, rng
from library.config import ConfigError

Step = Callable[[Array, PyTree, PyTree, Array], tuple[Array, Array, PyTree]]
# The least sum of attention that counts: the logarithm of 0 would forbid an output.
LEAST_COVERAGE = 1e-9


class Alphabet(NamedTuple):
    """The tokens of a vocabulary that mean something to a search.

    Attributes:
      begin: the token before the first one.
      end: the token that ends an output.
      never: tokens that no output has.
    """

    begin: int
    end: int
    never: tuple[int, ...] = ()


class Beams(NamedTuple):
    """The outputs of a beam search, the best first.

    Attributes:
      tokens: (b, k, t), with the token that ends an output, and 0 after it.
      scores: (b, k), -inf where fewer than k outputs were found.
    """

    tokens: Int[Array, "b k t"]
    scores: Float[Array, "b k"]


class _Search(NamedTuple):
    """The state of a beam search. `alive` are log-probabilities of outputs that go on."""

    at: Int[Array, ""]
    alive: Float[Array, "b k"]
    tokens: Int[Array, "b k t"]
    coverage: Float[Array, "b k s"]
    cache: PyTree
    found: Beams
    settled: Bool[Array, " b"]


def check_search(beams: int, length_penalty: float, coverage: float) -> None:
    """Raises ConfigError unless the settings of `beam_search` are in their ranges."""
    if beams < 1:
        raise ConfigError(f"beams={beams}: valid are 1 (greedy) and more")
    for name, value in (("length_penalty", length_penalty), ("coverage", coverage)):
        if not 0 <= value < math.inf:
            raise ConfigError(f"{name}={value}: valid are 0 (none) and more, finite")


def beam_search(
    step: Step,
    memory: PyTree,
    cache: PyTree,
    there: Float[Array, "b s"],
    alphabet: Alphabet,
    *,
    length: int,
    beams: int,
    length_penalty: float = 0.0,
    coverage: float = 0.0,
) -> Beams:
    """Finds outputs of high score, Wu et al. 2016 (arXiv 1609.08144), section 7:

        log P(Y) / ((5 + |Y|) / 6)^length_penalty + coverage sum_j log(min(sum_i a_ij, 1))

    |Y| counts the token that ends the output, and a_ij is the attention of token i to place j. At
    each step the 2 k best continuations of the k outputs are looked at. Those of the first k that
    end an output are kept, and the k best of those that do not go on. An example is done when it
    has k outputs, or none that goes on can become better than the best. With k=1 this is greedy,
    and with a k that holds all outputs it is exact. At the last token every output ends.

    Args:
      step: a step of the decoder, see the module.
      memory: what the decoder knows of the source.
      cache: the state of the decoder before the first token.
      there: 1 for a token of the source and 0 for padding.
      alphabet: the tokens that begin and end an output, and that are never chosen.
      length: the most tokens of an output, with the one that ends it.
      beams: k, the number of outputs that are looked at together.
      length_penalty: how much longer outputs are favoured, from 0.
      coverage: how much it counts that all of the source is attended to, from 0.
    """
    count = len(there)
    memory, cache = (_repeated(x, beams) for x in (memory, cache))
    nothing = jnp.full((count, beams), -jnp.inf)
    tokens = jnp.zeros((count, beams, length), jnp.int32)
    state = _Search(
        at=jnp.zeros((), jnp.int32),
        # All outputs start alike, so that all but one are left out.
        alive=nothing.at[:, 0].set(0.0),
        tokens=tokens,
        coverage=jnp.zeros((count, beams, there.shape[1])),
        cache=cache,
        found=Beams(tokens, nothing),
        settled=jnp.zeros(count, bool),
    )

    def scored(total: Array, size: Array, covered: Array) -> Array:
        least = jnp.log(jnp.clip(covered, LEAST_COVERAGE, 1))
        missed = jnp.sum(jnp.where(there[:, None] > 0, least, 0), axis=-1)
        return total / _lengthened(size, length_penalty) + coverage * missed

    def body(state: _Search) -> _Search:
        total, covered, cache = _continued(step, memory, state, alphabet, length)
        looked = min(2 * beams, total.shape[-1] * beams)
        best, place = jax.lax.top_k(total.reshape(count, -1), looked)
        parent, token = place // total.shape[-1], (place % total.shape[-1]).astype(jnp.int32)
        tokens = _of(state.tokens, parent).at[:, :, state.at].set(token)
        ends = token == alphabet.end
        finished = ends & (jnp.arange(looked) < beams) & (best > -jnp.inf)
        scores = scored(best, state.at + 1, _of(covered, parent))
        scores = jnp.where(finished & ~state.settled[:, None], scores, -jnp.inf)
        found = _merged(state.found, Beams(tokens, scores), beams)
        alive, kept = jax.lax.top_k(jnp.where(ends, -jnp.inf, best), beams)
        parent = jnp.take_along_axis(parent, kept, axis=1)
        # Scores only fall with further tokens, and the longest output divides by the most.
        bound = jnp.max(alive, axis=1) / _lengthened(length, length_penalty)
        full = jnp.sum(found.scores > -jnp.inf, axis=1) >= beams
        done = full | (jnp.max(found.scores, axis=1) >= bound)
        moved = jax.tree.map(lambda x: _flat(_of(_split(x, beams), parent)), cache)
        covered = _of(covered, parent)
        tokens = _of(tokens, kept)
        return _Search(state.at + 1, alive, tokens, covered, moved, found, state.settled | done)

    def unfinished(state: _Search) -> Array:
        return (state.at < length) & ~jnp.all(state.settled)

    return jax.lax.while_loop(unfinished, body, state).found


def drawn(
    step: Step,
    memory: PyTree,
    cache: PyTree,
    keys: PRNGKeyArray,
    settings: tuple[Array, Array, Array],
    alphabet: Alphabet,
    *,
    length: int,
) -> Int[Array, "b t"]:
    """Draws outputs token by token; after the token that ends an output come zeros.

    Args:
      step: a step of the decoder, see the module.
      memory: what the decoder knows of the source.
      cache: the state of the decoder before the first token.
      keys: a random key for each example, (b,).
      settings: temperature, top_k and top_p of each example, see `library.decoding.sample`.
      alphabet: the tokens that begin and end an output, and that are never chosen.
      length: the most tokens of an output.
    """
    count = len(keys)

    def body(at: Array, carry: Any) -> Any:
        tokens, last, cache, ended = carry
        logits, _, cache = step(last, memory, cache, at)
        logits = _allowed(logits, alphabet)
        token = decoding.sample(jax.vmap(rng.at_step, (0, None))(keys, at), logits, *settings)
        token = jnp.where(ended, 0, token)
        return tokens.at[:, at].set(token), token, cache, ended | (token == alphabet.end)

    begin = jnp.full(count, alphabet.begin, jnp.int32)
    carry = (jnp.zeros((count, length), jnp.int32), begin, cache, jnp.zeros(count, bool))
    return jax.lax.fori_loop(0, length, body, carry)[0]


def _continued(
    step: Step, memory: PyTree, state: _Search, alphabet: Alphabet, length: int
) -> tuple[Array, Array, PyTree]:
    """Returns the log-probabilities (b, k, v) of all continuations, the coverage, the cache."""
    beams = state.alive.shape[1]
    last = jax.lax.dynamic_index_in_dim(
        state.tokens, jnp.maximum(state.at - 1, 0), axis=2, keepdims=False
    )
    last = jnp.where(state.at == 0, alphabet.begin, last)
    logits, attention, cache = step(_flat(last), memory, state.cache, state.at)
    each = _allowed(jax.nn.log_softmax(logits.astype(jnp.float32)), alphabet)
    others = (jnp.arange(each.shape[-1]) != alphabet.end) & (state.at == length - 1)
    each = jnp.where(others, -jnp.inf, each)
    total = state.alive[..., None] + _split(each, beams)
    return total, state.coverage + _split(attention, beams), cache


def _allowed(scores: Float[Array, "n v"], alphabet: Alphabet) -> Float[Array, "n v"]:
    never = [token for token in (alphabet.begin, *alphabet.never) if token != alphabet.end]
    return scores.at[:, jnp.array(never)].set(-jnp.inf) if never else scores


def _merged(held: Beams, new: Beams, beams: int) -> Beams:
    """Returns the best of the outputs that were found before and now."""
    scores = jnp.concatenate([held.scores, new.scores], axis=1)
    tokens = jnp.concatenate([held.tokens, new.tokens], axis=1)
    best, place = jax.lax.top_k(scores, beams)
    return Beams(_of(tokens, place), best)


def _lengthened(size: Any, penalty: float) -> Any:
    return ((5.0 + size) / 6.0) ** penalty


def _of(x: Float[Array, "b k ..."], place: Int[Array, "b j"]) -> Float[Array, "b j ..."]:
    return jax.vmap(lambda each, i: each[i])(x, place)


def _repeated(tree: PyTree, beams: int) -> PyTree:
    return jax.tree.map(lambda x: jnp.repeat(x, beams, axis=0), tree)


def _flat(x: Float[Array, "b k ..."]) -> Float[Array, "n ..."]:
    return x.reshape(-1, *x.shape[2:])


def _split(x: Float[Array, "n ..."], beams: int) -> Float[Array, "b k ..."]:
    return x.reshape(-1, beams, *x.shape[1:])
