"""BERT against its equations in numpy, its padding, and its numbers of params."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence import bert
from tests import often

VOCAB, COUNTS = 7, np.array([5, 3])
SIZES = dict(context=6, width=4, depth=2, num_heads=2, feed_forward=6, dropout=0.3)
TEXT = np.random.default_rng(0).integers(0, VOCAB, (2, 5)).astype(np.int32)
MASK = np.float32(np.arange(5) < COUNTS[:, None])
TYPES = np.int32([[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]])
ERF = np.vectorize(math.erf)


def given(build, **options):
    model = build(vocab_size=VOCAB, **SIZES, **options)
    shapes = jax.eval_shape(model.init, jax.random.key(0), TEXT, MASK, TYPES)
    draw = np.random.default_rng(1)
    params = jax.tree.map(lambda p: np.float32(draw.normal(size=p.shape)), shapes["params"])
    return model, params


def norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12) * p["scale"] + p["bias"]


def dense(p, x):
    return x @ p["kernel"].reshape(x.shape[-1], -1) + p["bias"].reshape(-1)


def gelu(x):
    return x * (1 + ERF(x / math.sqrt(2))) / 2


def attention(p, x):
    """Returns what each token attends to, a head after the other."""
    query, key, value = (
        dense(p[name], x).reshape(len(x), 2, 2) for name in ("query", "key", "value")
    )
    heads = []
    for head in range(2):
        scores = query[:, head] @ key[:, head].T / math.sqrt(2)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        heads.append(weights @ value[:, head])
    return dense(p["out"], np.concatenate(heads, axis=-1))


def encoded(p, text, types):
    x = p["tokens"]["embedding"][text] + p["types"]["embedding"][types]
    x = norm(p["norm"], x + p["positions"]["embedding"][: len(text)])
    for number in (1, 2):
        block = p[f"block{number}"]
        x = norm(block["norm1"], x + attention(block["attention"], x))
        x = norm(block["norm2"], x + dense(block["fc2"], gelu(dense(block["fc1"], x))))
    return x


def each():
    """Yields the row, the tokens and the types of each text without padding."""
    for row, count in enumerate(COUNTS):
        yield row, TEXT[row, :count], TYPES[row, :count]


def test_pre_training_follows_its_equations():
    model, params = given(bert.bert)
    logits, following = jax.jit(model.apply)({"params": params}, TEXT, MASK, TYPES)
    p = jax.tree.map(np.float64, params)
    for row, text, types in each():
        x = encoded(p["encoder"], text, types)
        pooled = np.tanh(dense(p["pooler"], x[0]))
        told = norm(p["transform_norm"], gelu(dense(p["transform"], x)))
        expected = told @ p["encoder"]["tokens"]["embedding"].T + p["bias"]
        close = dict(rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(logits[row, : len(text)], expected, **close)
        np.testing.assert_allclose(following[row], dense(p["next_sentence"], pooled), **close)


@pytest.mark.parametrize("pooling", often.first(1, bert.POOLINGS))
def test_a_classifier_follows_its_equations(pooling):
    model, params = given(bert.classifier, num_classes=3, pooling=pooling)
    logits = jax.jit(model.apply)({"params": params}, TEXT, MASK, TYPES)
    p = jax.tree.map(np.float64, params)
    for row, text, types in each():
        x = encoded(p["encoder"], text, types)
        x = x.mean(0) if pooling == "mean" else np.tanh(dense(p["pooler"], x[0]))
        np.testing.assert_allclose(logits[row], dense(p["head"], x), rtol=1e-3, atol=1e-4)


def test_the_vector_of_a_sentence_is_the_mean_token_at_length_1():
    model, params = given(bert.sentence_encoder)
    vectors = jax.jit(model.apply)({"params": params}, TEXT, MASK, TYPES)
    p = jax.tree.map(np.float64, params)
    for row, text, types in each():
        mean = encoded(p["encoder"], text, types).mean(0)
        np.testing.assert_allclose(vectors[row], mean / np.linalg.norm(mean), rtol=1e-3, atol=1e-4)


def test_what_is_in_the_padding_changes_no_bit():
    model, params = given(bert.classifier, num_classes=3, pooling="mean")
    apply = jax.jit(model.apply)
    others = (np.where(MASK > 0, x, 1 - x % 2) for x in (TEXT, TYPES))
    text, types = (x.astype(np.int32) for x in others)
    np.testing.assert_array_equal(
        apply({"params": params}, text, MASK, types), apply({"params": params}, TEXT, MASK, TYPES)
    )


@pytest.mark.full
def test_dropout_is_drawn_in_training_alone():
    model, params = given(bert.classifier, num_classes=3)
    apply = jax.jit(model.apply, static_argnames="train")

    def trained(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return np.asarray(apply({"params": params}, TEXT, MASK, TYPES, train=True, rngs=rngs))

    assert not np.array_equal(trained(0), trained(1))
    np.testing.assert_array_equal(trained(0), trained(0))


@pytest.mark.parametrize(
    ("build", "count"),
    [
        # The published 109,482,240 of the encoder and its pooler, and what pre-training adds.
        (bert.bert_base, 109_482_240 + 768 * 769 + 2 * 768 + 30_522 + 2 * 769),
        (bert.bert_tiny, 4_385_920 + 128 * 129 + 2 * 128 + 30_522 + 2 * 129),
        (bert.minilm_l6, 22_713_216 - 384 * 385),
    ],
)
def test_number_of_params(build, count):
    model = build(vocab_size=30_522)
    tokens, mask = jnp.zeros((1, 8), jnp.int32), jnp.ones((1, 8))
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens, mask, tokens)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="num_heads"):
        bert.bert(vocab_size=VOCAB, width=6, num_heads=4)
    with pytest.raises(ConfigError, match="unknown pooling 'last'"):
        bert.classifier(num_classes=2, vocab_size=VOCAB, pooling="last")
    model, _ = given(bert.bert)
    tokens, mask = jnp.zeros((1, 7), jnp.int32), jnp.ones((1, 7))
    with pytest.raises(ValueError, match="7 tokens exceed the context of the model, 6"):
        jax.eval_shape(model.init, jax.random.key(0), tokens, mask, tokens)
