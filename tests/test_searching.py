"""Searches of a small decoder, held to all outputs that it has."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import searching
from library.config import ConfigError

VOCAB, LENGTH, PLACES, EXAMPLES = 5, 4, 3, 3
ALPHABET = searching.Alphabet(begin=1, end=2, never=(0,))
WORDS = (3, 4)
RANDOM = np.random.default_rng(1)
EMBED = RANDOM.normal(size=(VOCAB, 6)).astype(np.float32)
MIX = RANDOM.normal(size=(6, 6)).astype(np.float32)
OUT = (2 * RANDOM.normal(size=(6, VOCAB))).astype(np.float32)
LOOK = (2 * RANDOM.normal(size=(6, PLACES))).astype(np.float32)
# Ends are rare, so that the best outputs differ in length.
BIAS = np.float32([0, 0, -3, 0, 0])
MEMORY = RANDOM.normal(size=(EXAMPLES, 6)).astype(np.float32)
THERE = np.float32([[1, 1, 1], [1, 1, 0], [1, 0, 0]])


def step(xp, tokens, memory, cache, position):
    """Is a recurrent net with attention, of numpy or of JAX."""
    cache = xp.tanh(cache @ MIX + xp.asarray(EMBED)[tokens] + memory + 0.3 * position)
    look = xp.exp(cache @ LOOK)
    return cache @ OUT + BIAS, look / look.sum(-1, keepdims=True), cache


def log_softmax(x):
    x = np.float64(x)
    return x - np.log(np.exp(x - x.max()).sum()) - x.max()


def scored(example, words, length_penalty, coverage):
    """Returns the score of an output, words and an end, by the formula of Wu et al."""
    cache, last, total, seen = np.zeros(6, np.float32), 1, 0.0, np.zeros(PLACES)
    for at, token in enumerate((*words, 2)):
        logits, look, cache = step(np, last, MEMORY[example], cache, at)
        total += log_softmax(logits)[token]
        seen += look
        last = token
    missed = np.log(np.minimum(seen, 1))[THERE[example] > 0].sum()
    return total / ((5 + len(words) + 1) / 6) ** length_penalty + coverage * missed


def every_output():
    for count in range(LENGTH):
        yield from itertools.product(WORDS, repeat=count)


@functools.partial(jax.jit, static_argnames="beams")
def searched(beams, length_penalty=0.0, coverage=0.0):
    cache = jnp.zeros((EXAMPLES, 6))
    options = dict(length=LENGTH, beams=beams, length_penalty=length_penalty, coverage=coverage)
    by = functools.partial(step, jnp)
    return searching.beam_search(by, MEMORY, cache, jnp.asarray(THERE), ALPHABET, **options)


@functools.partial(jax.jit, static_argnames="length")
def outputs(memory, keys, settings, length):
    by, cache = functools.partial(step, jnp), jnp.zeros((len(keys), 6))
    return searching.drawn(by, memory, cache, keys, settings, ALPHABET, length=length)


def written(words):
    return [*words, 2, *[0] * (LENGTH - 1 - len(words))]


@pytest.mark.parametrize(("length_penalty", "coverage"), [(0.0, 0.0), (1.0, 0.0), (0.6, 0.4)])
def test_a_search_that_holds_all_outputs_finds_them_in_the_order_of_their_scores(
    length_penalty, coverage
):
    found = searched(16, length_penalty, coverage)
    for example in range(EXAMPLES):
        known = {w: scored(example, w, length_penalty, coverage) for w in every_output()}
        order = sorted(known, key=known.get, reverse=True)
        assert found.tokens[example, 0].tolist() == written(order[0])
        np.testing.assert_allclose(found.scores[example, 0], known[order[0]], rtol=1e-5)
        for tokens, score in zip(found.tokens[example].tolist(), found.scores[example]):
            words = tuple(tokens[: tokens.index(2)]) if 2 in tokens else None
            assert (words is None) == np.isneginf(score)
            if words is not None:
                np.testing.assert_allclose(score, known[words], rtol=1e-5)


def by_hand(example, beams, length_penalty, coverage):
    """Returns the best output of a search with few beams, written with lists."""
    alive, found = [(0.0, (), np.zeros(6, np.float32), np.zeros(PLACES))], []
    for at in range(LENGTH):
        each = []
        for total, words, cache, seen in alive:
            last = words[-1] if words else 1
            logits, look, after = step(np, last, MEMORY[example], cache, at)
            allowed = (2,) if at == LENGTH - 1 else (2, *WORDS)
            for token in allowed:
                value = total + log_softmax(logits)[token]
                each.append((value, (*words, token), after, seen + look))
        each.sort(key=lambda one: -one[0])
        found += [one[1][:-1] for one in each[:beams] if one[1][-1] == 2]
        alive = [one for one in each[: 2 * beams] if one[1][-1] != 2][:beams]
        if len(found) >= beams:
            break
    return max(found, key=lambda words: scored(example, words, length_penalty, coverage))


@pytest.mark.parametrize("beams", [1, 2, 3])
@pytest.mark.parametrize(("length_penalty", "coverage"), [(0.0, 0.0), (1.0, 0.2)])
def test_a_search_with_few_beams_is_that_of_lists(beams, length_penalty, coverage):
    found = searched(beams, length_penalty, coverage)
    for example in range(EXAMPLES):
        words = by_hand(example, beams, length_penalty, coverage)
        assert found.tokens[example, 0].tolist() == written(words)


def test_draws_at_temperature_0_take_the_likeliest_token_and_end():
    settings = (jnp.zeros(EXAMPLES), jnp.zeros(EXAMPLES, int), jnp.ones(EXAMPLES))
    keys = jax.random.split(jax.random.key(0), EXAMPLES)
    drawn = outputs(MEMORY, keys, settings, length=LENGTH)
    greedy = searched(1).tokens[:, 0]
    for ours, theirs in zip(drawn.tolist(), greedy.tolist()):
        # The search must end at the last token; a draw need not.
        last = theirs.index(2)
        assert ours[:last] == theirs[:last]
        assert last == LENGTH - 1 or ours == theirs


def test_draws_have_the_probabilities_of_the_decoder():
    count = 4000
    settings = (jnp.ones(count), jnp.zeros(count, int), jnp.ones(count))
    keys = jax.random.split(jax.random.key(1), count)
    drawn = outputs(np.tile(MEMORY[:1], (count, 1)), keys, settings, length=1)[:, 0]
    logits, _, _ = step(np, 1, MEMORY[0], np.zeros(6, np.float32), 0)
    wanted = np.exp(log_softmax(logits[2:]))
    np.testing.assert_allclose(np.bincount(drawn, minlength=VOCAB)[2:] / count, wanted, atol=0.04)
    assert drawn.min() >= 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0, 0.0, 0.0), "beams=0: valid are 1"),
        ((1, -1.0, 0.0), "length_penalty=-1.0: valid are 0"),
        ((1, 0.0, float("nan")), "coverage=nan: valid are 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        searching.check_search(*settings)
