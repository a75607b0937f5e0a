"""The text CNN against a loop in numpy, its padding, and its number of params."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.sequence import text_cnn

VOCAB, LENGTH, COUNTS = 7, 6, np.array([6, 3, 1])
SIZES = dict(embedding=4, windows=(2, 3), filters=5)


def given():
    model = text_cnn.TextCNN(3, VOCAB, **SIZES)
    text = jnp.asarray(np.random.default_rng(0).integers(0, VOCAB, (3, LENGTH)), jnp.int32)
    mask = jnp.asarray(np.arange(LENGTH) < COUNTS[:, None], jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), text, mask)
    draw = np.random.default_rng(1)
    variables = jax.tree.map(lambda p: jnp.asarray(draw.normal(size=p.shape), p.dtype), shapes)
    return model, variables, text, mask


def by_hand(p, tokens):
    """Returns the logits of one text, a window at a time."""
    x, features = p["tokens"]["embedding"][tokens], []
    for size in SIZES["windows"]:
        zeros = np.zeros((size - 1, x.shape[1]))
        padded, layer = np.concatenate([zeros, x, zeros]), p[f"window{size}"]
        answers = [
            np.einsum("sd,sdf->f", padded[at : at + size], layer["kernel"]) + layer["bias"]
            for at in range(len(x) + size - 1)
        ]
        features.append(np.maximum(answers, 0).max(axis=0))
    return np.concatenate(features) @ p["head"]["kernel"] + p["head"]["bias"]


def test_a_network_follows_its_equations_on_texts_of_any_length():
    model, variables, text, mask = given()
    found = jax.jit(model.apply)(variables, text, mask)
    wide = jax.tree.map(lambda p: np.asarray(p, np.float64), variables["params"])
    for row, count in enumerate(COUNTS):
        expected = by_hand(wide, np.asarray(text)[row, :count])
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_what_is_in_the_padding_changes_no_bit():
    model, variables, text, mask = given()
    apply = jax.jit(model.apply)
    other = jnp.where(mask > 0, text, VOCAB - 1 - text)
    np.testing.assert_array_equal(apply(variables, text, mask), apply(variables, other, mask))


def test_number_of_params():
    model = text_cnn.text_cnn(2, 10)
    text, mask = jnp.zeros((1, 8), jnp.int32), jnp.ones((1, 8))
    shapes = jax.eval_shape(model.init, jax.random.key(0), text, mask)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert count == 10 * 300 + 100 * (300 * (3 + 4 + 5) + 3) + 2 * 301


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="filters=0"):
        text_cnn.text_cnn(2, 10, filters=0)
    with pytest.raises(ConfigError, match=r"dropout=1\.0"):
        text_cnn.text_cnn(2, 10, dropout=1.0)
