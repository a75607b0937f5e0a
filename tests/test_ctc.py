"""Readings of paths, their probabilities and their errors, against all paths of short inputs."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import ctc

FRAMES, LABELS = 5, 2


def scores(seed, frames=FRAMES, labels=LABELS):
    logits = np.random.default_rng(seed).normal(size=(frames, labels + 1), scale=1.5)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def by_brute_force(log_probabilities):
    """Returns the probability of each reading: the sum over all paths."""
    frames, symbols = log_probabilities.shape
    found = {}
    for path in itertools.product(range(symbols), repeat=frames):
        reading = ctc.collapse(path, symbols - 1)
        probability = np.exp(sum(log_probabilities[t, s] for t, s in enumerate(path)))
        found[reading] = found.get(reading, 0) + probability
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_search_gives_every_reading_its_probability(seed):
    expected = by_brute_force(scores(seed))
    found = ctc.prefix_beam_search(scores(seed), width=1000)
    assert {reading for reading, _ in found} == set(expected)
    for reading, log_probability in found:
        assert np.exp(log_probability) == pytest.approx(expected[reading], rel=1e-9)
    assert found[0][0] == max(expected, key=expected.get)
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)


def test_a_narrow_search_never_claims_too_much():
    expected = by_brute_force(scores(0))
    for reading, log_probability in ctc.prefix_beam_search(scores(0), width=2):
        assert np.exp(log_probability) <= expected[reading] * (1 + 1e-9)


def test_the_search_finds_what_the_best_path_misses():
    """The blank is likeliest at each of two frames, but three paths read as one label."""
    frame = np.log([0.4, 0.6])
    logits = np.stack([frame, frame])
    assert ctc.best_path(logits[None], np.ones((1, 2)))[0].tolist() == [-1, -1]
    (best, log_probability), *_ = ctc.prefix_beam_search(logits, width=5)
    assert best == (0,)
    assert np.exp(log_probability) == pytest.approx(0.64)


@pytest.mark.parametrize("query", [(0,), (1, 0), (0, 0), (0, 1, 0)])
def test_a_string_is_contained_with_the_probability_of_its_paths(query):
    found = by_brute_force(scores(5))
    size = len(query)

    def has(reading):
        return any(reading[i : i + size] == query for i in range(len(reading) - size + 1))

    expected = sum(p for reading, p in found.items() if has(reading))
    assert 0 < expected < 1
    assert ctc.containing(scores(5), query) == pytest.approx(expected, rel=1e-9)


def test_the_loss_is_that_of_all_paths():
    logits = np.stack([scores(seed) for seed in range(4)])
    labels = [(0, 0), (1,), (0, 1, 0), ()]
    padded = np.array([[*each, *[0] * (3 - len(each))] for each in labels])
    there = np.array([[1.0] * len(each) + [0.0] * (3 - len(each)) for each in labels])
    counts = np.array([5, 3, 4, 2])
    mask = (np.arange(FRAMES) < counts[:, None]).astype(np.float32)
    loss = jax.jit(functools.partial(optax.ctc_loss, blank_id=LABELS))
    found = loss(jnp.asarray(logits), 1 - mask, padded, 1 - there)
    for row, (reading, count) in enumerate(zip(labels, counts)):
        expected = -np.log(by_brute_force(logits[row, :count])[reading])
        assert float(found[row]) == pytest.approx(expected, rel=1e-5)


def test_the_best_path_reads_the_likeliest_label_of_each_frame():
    random = np.random.default_rng(0)
    logits, counts = random.normal(size=(40, 9, 4)), random.integers(0, 10, 40)
    mask = np.float32(np.arange(9) < counts[:, None])
    found = np.asarray(jax.jit(ctc.best_path)(logits, mask))
    for row, count in enumerate(counts):
        expected = ctc.collapse(logits[row, :count].argmax(-1).tolist(), 3)
        assert tuple(found[row, : len(expected)].tolist()) == expected
        assert (found[row, len(expected) :] == ctc.EMPTY).all()


@functools.cache
def distance(x, y):
    """Follows the recursion of the definition."""
    if not x or not y:
        return len(x) + len(y)
    change = distance(x[1:], y[1:]) + (x[0] != y[0])
    return min(change, distance(x[1:], y) + 1, distance(x, y[1:]) + 1)


def test_edit_distances_are_those_of_the_definition():
    random = np.random.default_rng(0)
    pairs = [
        [tuple(random.integers(0, 3, random.integers(0, most)).tolist()) for most in (7, 6)]
        for _ in range(60)
    ]

    def filled(readings, width):
        rows = [[*each, *[ctc.EMPTY] * (width - len(each))] for each in readings]
        return np.array(rows, np.int32)

    found, wanted = (filled(each, width) for each, width in zip(zip(*pairs), (6, 5)))
    distances, lengths = jax.jit(ctc.edit_distances)(found, wanted)
    expected = [distance(x, y) for x, y in pairs]
    assert distances.tolist() == expected
    assert lengths.tolist() == [len(y) for _, y in pairs]
    assert [ctc.edit_distance(x, y) for x, y in pairs] == expected


def test_the_word_error_rate_is_of_all_words():
    found, wanted = ["the cat sat", "a"], ["the cat sat down", "b a"]
    assert ctc.word_error_rate(found, wanted) == 2 / 6
    with pytest.raises(ValueError, match="have no words"):
        ctc.word_error_rate([""], [""])


def test_the_word_error_rate_is_jiwers():
    jiwer = pytest.importorskip("jiwer")
    random = np.random.default_rng(0)
    texts = [
        [" ".join(random.choice(list("abc"), random.integers(1, 8))) for _ in range(20)]
        for _ in range(2)
    ]
    assert ctc.word_error_rate(*texts) == pytest.approx(jiwer.wer(texts[1], texts[0]), rel=1e-12)
