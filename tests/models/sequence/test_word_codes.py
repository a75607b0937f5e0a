"""The N-M-N autoencoder of words and the perceptron on its codes, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.config import ConfigError
from library.models.sequence import word_codes

WORDS = 8
TEXT, MASK = jnp.int32([[1, 5, 2], [7, 0, 0]]), jnp.float32([[1, 1, 1], [1, 0, 0]])


def params_of(model):
    shapes = jax.eval_shape(model.init, jax.random.key(0), TEXT, MASK)["params"]
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda p: np.float32(draw.normal(size=p.shape)), shapes)


def codes(p, tokens):
    """Returns sigmoid(W x + b) of one-hot words x."""
    x = np.eye(WORDS)[tokens]
    return 1 / (1 + np.exp(-(x @ p["tokens"]["embedding"] + p["bias"])))


def test_both_follow_their_equations():
    autoencoder = word_codes.word_autoencoder(WORDS, width=3)
    params = params_of(autoencoder)
    found = autoencoder.apply({"params": params}, TEXT, MASK)
    expected = codes(params["codes"], TEXT) @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    perceptron = word_codes.code_perceptron(2, WORDS, width=3, hidden=4)
    params = params_of(perceptron)
    found = perceptron.apply({"params": params}, TEXT, MASK)
    for row, count in enumerate((3, 1)):
        mean = codes(params["codes"], TEXT[row, :count]).mean(0)
        hidden = np.tanh(mean @ params["hidden"]["kernel"] + params["hidden"]["bias"])
        expected = hidden @ params["head"]["kernel"] + params["head"]["bias"]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_the_encoder_problem_8_3_8_is_solved():
    model = word_codes.word_autoencoder(WORDS, width=3)
    words, there = jnp.arange(WORDS)[None], jnp.ones((1, WORDS))
    params = jax.jit(model.init)(jax.random.key(0), words, there)["params"]
    optimizer = optax.adam(0.1)

    def loss(params):
        logits = model.apply({"params": params}, words, there)
        return optax.softmax_cross_entropy_with_integer_labels(logits, words).mean()

    def step(_, carry):
        params, moments = carry
        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return optax.apply_updates(params, updates), moments

    carry = (params, optimizer.init(params))
    params, _ = jax.jit(lambda carry: jax.lax.fori_loop(0, 500, step, carry))(carry)
    logits = model.apply({"params": params}, words, there)
    np.testing.assert_array_equal(np.argmax(logits, axis=-1), words)


def test_the_perceptron_takes_the_codes_of_the_autoencoder():
    one = params_of(word_codes.word_autoencoder(WORDS))
    other = params_of(word_codes.code_perceptron(2, WORDS))
    assert jax.tree.map(np.shape, one["codes"]) == jax.tree.map(np.shape, other["codes"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="width=0"):
        word_codes.word_autoencoder(WORDS, width=0)
    with pytest.raises(ConfigError, match="hidden=0"):
        word_codes.code_perceptron(2, WORDS, hidden=0)
