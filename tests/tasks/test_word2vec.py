"""word2vec: its loss and gradient against the formula, and what it draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence.word_vectors import WordVectors
from library.task import TrainState
from library.tasks import word2vec

VOCAB, WIDTH, NEGATIVES, WINDOW = 6, 3, 2, 2
MODEL = WordVectors(VOCAB, WIDTH)
TOKENS = np.array([[1, 2, 3, 2, 5], [4, 0, 1, 1, 2]], np.int32)
COUNTS = np.array([0, 8, 4, 2, 2, 1], np.float64)


def params():
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.asarray(TOKENS))["params"]
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda p: jnp.asarray(draw.normal(size=p.shape), p.dtype), shapes)


@functools.cache
def drawing():
    kept = word2vec.keep_probabilities(COUNTS, None)
    noise = word2vec.noise_distribution(COUNTS)

    def each(key, tokens, segments):
        return word2vec.draw(key, tokens, segments, kept, noise, WINDOW, NEGATIVES)

    return jax.jit(jax.vmap(each))


def drawn(tokens=TOKENS, segments=None, seed=0):
    segments = np.ones_like(tokens) if segments is None else segments
    keys = jax.random.split(jax.random.key(seed), len(tokens))
    return drawing()(keys, jnp.asarray(tokens), jnp.asarray(segments))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(form, p, found):
    """Returns the loss, the number of pairs and the gradients of both tables, a pair at a time."""
    v, u = (np.asarray(p[name]["embedding"], np.float64) for name in ("inputs", "answers"))
    gradients, loss, pairs = {"inputs": np.zeros_like(v), "answers": np.zeros_like(u)}, 0.0, 0
    neighbours, there, noise = (np.asarray(x) for x in found)
    for row, at in np.ndindex(TOKENS.shape):
        near = neighbours[row, at][there[row, at]].tolist()
        word = TOKENS[row, at]
        given = [([word], each) for each in near] if form == "skip_gram" else [(near, word)]
        for inputs, answer in given if near else []:
            h, pairs = np.mean([v[i] for i in inputs], axis=0), pairs + 1
            others = [n for n in noise[row, at] if n != answer]
            for each, label in [(answer, 1), *((n, 0) for n in others)]:
                p_yes = sigmoid(u[each] @ h)
                loss -= np.log(p_yes if label else 1 - p_yes)
                gradients["answers"][each] += (p_yes - label) * h
                for i in inputs:
                    gradients["inputs"][i] += (p_yes - label) * u[each] / len(inputs)
    return loss, pairs, gradients


@pytest.mark.parametrize("form", word2vec.FORMS)
def test_loss_and_gradient_are_those_of_the_formula(form):
    found = drawn()

    def total(p):
        loss, count = word2vec.losses(MODEL, p, jnp.asarray(TOKENS), found, form)["loss"]
        return loss, count

    (loss, count), slopes = jax.jit(jax.value_and_grad(total, has_aux=True))(params())
    expected, pairs, gradients = by_hand(form, params(), found)
    assert int(count) == pairs > 0
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for name, values in gradients.items():
        np.testing.assert_allclose(slopes[name]["embedding"], values, rtol=1e-4, atol=1e-5)


def test_pairs_are_near_known_and_of_one_text():
    segments = np.array([[1, 1, 2, 2, 0], [1] * 5], np.int32)
    seen = set()
    for seed in range(30):
        found = drawn(segments=segments, seed=seed)
        neighbours, there = np.asarray(found.neighbours), np.asarray(found.there)
        for row, at, n in np.argwhere(there).tolist():
            other = at + [-2, -1, 1, 2][n]
            assert neighbours[row, at, n] == TOKENS[row, other]
            seen.add((row, at, other))
    first = {(0, 0, 1), (0, 1, 0), (0, 2, 3), (0, 3, 2)}
    # The second word of the second text is unknown.
    places = [(0, 2), (2, 0), (2, 3), (3, 2), (2, 4), (4, 2), (3, 4), (4, 3)]
    assert seen == first | {(1, *each) for each in places}


def test_the_near_are_drawn_more_often_than_the_far():
    tokens = np.full((200, 5), 1, np.int32)
    there = np.asarray(drawn(tokens).there)
    # A neighbour one step away always counts, one two steps away half of the time.
    assert there[:, 2, 1:3].all()
    assert 0.4 < there[:, 2, [0, 3]].mean() < 0.6
    np.testing.assert_array_equal(there[:, 2, 0], there[:, 2, 3])


def test_frequent_words_are_left_out_and_noise_follows_the_counts():
    kept = word2vec.keep_probabilities(COUNTS, 0.1)
    share = COUNTS[1:] / 17
    np.testing.assert_allclose(kept[1:], np.minimum(np.sqrt(0.1 / share) + 0.1 / share, 1), 1e-6)
    assert kept[0] == 0
    assert kept[5] == 1
    weights = COUNTS**0.75
    steps = np.diff(word2vec.noise_distribution(COUNTS), prepend=0)
    np.testing.assert_allclose(steps, weights / weights.sum(), rtol=1e-4, atol=1e-7)
    many = np.asarray(drawn(np.full((500, 4), 1, np.int32)).noise).ravel()
    assert set(many.tolist()) == {1, 2, 3, 4, 5}
    assert abs((many == 1).mean() - steps[1]) < 0.05


class _Learner:
    init = update = None


def task(**options):
    known = dict(vocab_size=VOCAB, token_counts=tuple(COUNTS.astype(int).tolist()))
    return word2vec.word2vec(MODEL, lambda loss: _Learner(), **{**known, **options})


def test_a_padding_example_does_not_count():
    batch = {"tokens": jnp.asarray(TOKENS), "index": jnp.arange(2, dtype=jnp.uint32)}
    state = TrainState(None, params(), {}, None, None)
    made = task(subsample=None)
    measure = jax.jit(lambda mask: made.evaluate(state, {**batch, "mask": mask}, jax.random.key(3)))
    both, first, second = (
        measure(jnp.array(mask, jnp.float32))["loss"] for mask in ([1, 1], [1, 0], [0, 1])
    )
    np.testing.assert_allclose(np.add(first, second), both, rtol=1e-5)
    assert first[1] > 0
    assert second[1] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(window=0), "window=0: valid are 1 and more"),
        (dict(subsample=0.0), r"subsample=0\.0: valid are shares above 0"),
        (dict(token_counts=(1, 2)), "there are 2 counts and 6 tokens"),
        (dict(unknown=6), "unknown=6: valid are 0 to 5"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        task(**options)
