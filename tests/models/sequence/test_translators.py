"""What holds for every encoder-decoder: steps are the whole, padding is nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.layers import alignment, positions
from library.models.sequence import seq2seq, transformer
from tests import often

VOCAB, SOURCE, TARGET, BATCH = 11, 6, 5, 3
SMALL = dict(width=8, embedding=6)
BLOCKS = dict(width=8, depth=2, num_heads=2, feed_forward=12)
MODELS = {
    "bahdanau": seq2seq.bahdanau(VOCAB, **SMALL),
    "deep_lstm": seq2seq.bahdanau(VOCAB, cell="lstm", depth=2, score="general", **SMALL),
    "luong": seq2seq.luong(VOCAB, score="dot", **SMALL),
    "local": seq2seq.luong(VOCAB, score="concat", window=2, **SMALL),
    "sutskever": seq2seq.sutskever(VOCAB, depth=2, **SMALL),
    "post": transformer.Transformer(VOCAB, **BLOCKS),
    "pre": transformer.Transformer(VOCAB, norm="pre", **BLOCKS),
}
NAMES = often.only(["bahdanau", "post"], MODELS)
RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(3, VOCAB, (BATCH, SOURCE)).astype(np.int32)
WRITTEN = RANDOM.integers(3, VOCAB, (BATCH, TARGET)).astype(np.int32)
MASK = np.float32(np.arange(SOURCE) < np.array([[6], [3], [1]]))


@functools.cache
def drawn(name):
    """Returns weights that leave no term out."""
    shapes = jax.eval_shape(MODELS[name].init, jax.random.key(0), TOKENS, MASK, WRITTEN)
    draw = np.random.default_rng(1)
    return jax.tree.map(lambda x: jnp.float32(0.5 * draw.normal(size=x.shape)), shapes)


@functools.cache
def hidden(name):
    """Returns the compiled features and attention of a model, with their logits."""

    def whole(model, *inputs):
        features, attention = model.hidden(*inputs)
        return features, attention, model.attend(features)

    run = jax.jit(functools.partial(MODELS[name].apply, drawn(name), method=whole))
    return lambda *x: jax.device_get(run(*x))


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_the_whole(name):
    model, weights = MODELS[name], drawn(name)
    _, attention, wanted = hidden(name)(TOKENS, MASK, WRITTEN)
    apply = functools.partial(model.apply, weights)
    memory, cache = jax.jit(lambda *x: apply(*x, TARGET, method="encode"))(TOKENS, MASK)
    step = jax.jit(functools.partial(apply, method="step"))
    shapes = jax.tree.map(jnp.shape, cache)
    for at in range(TARGET):
        logits, seen, cache = step(WRITTEN[:, at], memory, cache, at)
        np.testing.assert_allclose(logits, wanted[:, at], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(seen, attention[:, at], rtol=1e-4, atol=1e-6)
    assert jax.tree.map(jnp.shape, cache) == shapes


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_in_padding_changes_no_bit_and_its_length_nothing(name):
    run = hidden(name)
    ours = run(TOKENS, MASK, WRITTEN)
    other = np.where(MASK > 0, TOKENS, (TOKENS + 5) % VOCAB)
    for a, b in zip(ours, run(other, MASK, WRITTEN)):
        np.testing.assert_array_equal(a, b)
    longer = [np.pad(x, ((0, 0), (0, 3))) for x in (other, MASK)]
    features, attention, _ = run(*longer, WRITTEN)
    np.testing.assert_allclose(features, ours[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(attention[..., :SOURCE], ours[1], rtol=1e-4, atol=1e-6)
    assert not attention[..., SOURCE:].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_token_changes_nothing_before_it(name):
    run = hidden(name)
    changed = WRITTEN.copy()
    changed[:, 3] = (changed[:, 3] - 2) % VOCAB
    ours, theirs = (run(TOKENS, MASK, x)[0] for x in (WRITTEN, changed))
    np.testing.assert_array_equal(ours[:, :3], theirs[:, :3])
    assert (ours[:, 3:] != theirs[:, 3:]).any(-1).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_model_reads_its_source(name):
    run = hidden(name)
    changed = TOKENS.copy()
    changed[:, 0] = (changed[:, 0] - 2) % VOCAB
    assert (run(changed, MASK, WRITTEN)[0] != run(TOKENS, MASK, WRITTEN)[0]).any((1, 2)).all()


@functools.partial(jax.jit, static_argnames="window")
def attended(weights, values, there, state, window=None):
    return alignment.attended(weights, alignment.remembered(weights, values, there), state, window)


def test_bahdanaus_score_and_mean_by_hand():
    draw = np.random.default_rng(2)
    W, U, v = (np.float32(draw.normal(size=s)) for s in ((4, 4), (3, 4), (4,)))
    values, state = (np.float32(draw.normal(size=s)) for s in ((2, 5, 3), (2, 4)))
    there = np.arange(5) < np.array([[5], [2]])
    weights = alignment.Weights(W, U, v, None, None)
    context, found = attended(weights, values, there, state)
    for row, count in enumerate((5, 2)):
        scores = [v @ np.tanh(state[row] @ W + values[row, j] @ U) for j in range(count)]
        expected = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(found[row, :count], expected, rtol=1e-5)
        np.testing.assert_allclose(context[row], expected @ values[row, :count], rtol=1e-4)
    assert not found[1, 2:].any()


def test_local_attention_is_a_gaussian_about_the_place_that_it_predicts():
    values = np.zeros((1, 8, 2), np.float32)
    # v tanh(W h) = 0, so that the place is the middle of the six tokens.
    weights = alignment.Weights(None, None, None, jnp.zeros((2, 2)), jnp.ones(2))
    _, found = attended(weights, values, np.arange(8)[None] < 6, np.ones((1, 2)), window=2)
    distance = np.arange(8) - 3.0
    inside = (abs(distance) <= 2) & (np.arange(8) < 6)
    expected = np.where(inside, np.exp(-(distance**2) / (2 * (2 / 2) ** 2)) / inside.sum(), 0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_positions_by_the_formula():
    found = np.asarray(positions.sinusoidal(7, 6))
    for t in range(7):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            np.testing.assert_allclose(
                found[t, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6
            )


@pytest.mark.parametrize(
    ("build", "vocab_size", "count"),
    [
        (transformer.base, 37_000, 63_045_632),
        (transformer.big, 37_000, 214_171_648),
        (transformer.tiny, 10_003, 2_599_296),
    ],
)
def test_transformers_have_about_the_published_number_of_params(build, vocab_size, count):
    def init(key):
        one = jnp.zeros((1, 2), jnp.int32)
        return build(vocab_size).init(key, one, jnp.ones((1, 2)), one)

    shapes = jax.eval_shape(init, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: seq2seq.bahdanau(5, score="dot"), "nearest: score='general'"),
        (lambda: seq2seq.Seq2Seq(5, reverse=True), "reads both ways already"),
        (lambda: seq2seq.bahdanau(5, cell="grou"), "grou.*gru"),
        (lambda: seq2seq.Seq2Seq(5, attends="never", window=2), "window=2 with attends='never'"),
        (lambda: seq2seq.luong(5, window=0), "window=0"),
        (lambda: transformer.base(5, norm="both"), "both"),
        (lambda: transformer.Transformer(5, width=10, num_heads=4), "num_heads=4; nearest: 5"),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
