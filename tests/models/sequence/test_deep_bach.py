"""DeepBach: each answer sees all tokens but its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.models.sequence.deep_bach import DeepBach

STEPS, VOICES, TOKENS = 5, 3, 6


@pytest.fixture(scope="module")
def network():
    model = DeepBach(TOKENS, VOICES, embedding=3, width=16, depth=1, dropout=0.0)
    variables = jax.eval_shape(model.init, jax.random.key(0), *given(0))
    draw = np.random.default_rng(1)
    noisy = jax.tree.map(
        lambda p: jnp.asarray(0.4 * draw.normal(size=p.shape), jnp.float32), variables["params"]
    )
    return jax.jit(lambda *x: model.apply({"params": noisy}, *x)), model, noisy


def given(seed):
    tokens = np.random.default_rng(seed).integers(0, TOKENS, (1, STEPS, VOICES))
    return jnp.asarray(tokens), jnp.ones((1, STEPS)), jnp.arange(STEPS)[None] % 4


def test_an_answer_sees_all_tokens_but_its_own(network):
    apply, _, _ = network
    tokens, mask, beat = given(0)
    usual = np.asarray(apply(tokens, mask, beat))
    assert usual.shape == (1, STEPS, VOICES, TOKENS)
    for t in range(STEPS):
        for v in range(VOICES):
            other = tokens.at[0, t, v].set((tokens[0, t, v] + 1) % TOKENS)
            moved = (np.asarray(apply(other, mask, beat)) != usual).any(axis=(0, 3))
            expected = np.ones((STEPS, VOICES), bool)
            expected[t, v] = False
            np.testing.assert_array_equal(moved, expected)


@pytest.mark.full
def test_padding_changes_no_bit(network):
    apply, model, params = network
    tokens, mask, beat = given(0)
    mask = mask.at[0, 3:].set(0)
    whole = apply(tokens, mask, beat)
    np.testing.assert_array_equal(whole[:, :3], apply(tokens.at[0, 3:].set(1), mask, beat)[:, :3])
    short = model.apply({"params": params}, tokens[:, :3], mask[:, :3], beat[:, :3])
    np.testing.assert_allclose(whole[:, :3], short, rtol=1e-5, atol=1e-5)


@pytest.mark.full
def test_one_voice_alone_is_the_same(network):
    apply, model, params = network
    found = model.apply({"params": params}, *given(2), 1, method="of_voice")
    np.testing.assert_allclose(found, apply(*given(2))[:, :, 1], rtol=1e-5, atol=1e-5)
