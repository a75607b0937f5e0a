import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.layers.attention import Attention, FeedForward, causal_attention
from tests import often


@pytest.fixture
def tokens():
    return jax.random.normal(jax.random.key(0), (2, 5, 12))


def randomized(params):
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda p: rng.normal(0, 0.5, p.shape).astype(np.float32), params)


def softmax_attention(x, params, heads, mask=None):
    """Loops over examples and heads, in float64."""
    params = jax.tree.map(np.float64, params)
    y = np.zeros(x.shape)
    for b, tokens in enumerate(np.float64(x)):
        for h in range(heads):
            q, k, v = (
                tokens @ params[n]["kernel"][:, h] + params[n]["bias"][h]
                for n in ("query", "key", "value")
            )
            scores = q @ k.T / math.sqrt(q.shape[-1])
            scores = scores if mask is None else np.where(mask, scores, -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            y[b] += weights @ v @ params["out"]["kernel"][h]
    return y + params["out"]["bias"]


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_the_softmax_of_scaled_products(tokens, causal):
    module = Attention(num_heads=3)
    mask = np.tril(np.ones((5, 5), bool)) if causal else None
    params = randomized(module.init(jax.random.key(0), tokens)["params"])
    assert params["query"]["kernel"].shape == (12, 3, 4)
    batched = None if mask is None else jnp.asarray(mask)[None, None]
    y = module.apply({"params": params}, tokens, batched)
    np.testing.assert_allclose(y, softmax_attention(tokens, params, 3, mask), atol=2e-5)


def test_attention_refuses_heads_that_do_not_divide(tokens):
    with pytest.raises(ValueError, match="12 features cannot be divided among 5 heads"):
        Attention(num_heads=5).init(jax.random.key(0), tokens)


def test_feed_forward_uses_the_error_function(tokens):
    module = FeedForward(hidden=7)
    params = randomized(module.init(jax.random.key(0), tokens)["params"])
    assert set(params) == {"fc1", "fc2"}
    exact = jax.tree.map(np.float64, params)
    x = tokens @ exact["fc1"]["kernel"] + exact["fc1"]["bias"]
    x = 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    expected = x @ exact["fc2"]["kernel"] + exact["fc2"]["bias"]
    np.testing.assert_allclose(module.apply({"params": params}, tokens), expected, atol=1e-5)


def test_bfloat16_is_computed_with_float32_params(tokens):
    for module in (Attention(3, dtype="bfloat16"), FeedForward(7, dtype="bfloat16")):
        variables = module.init(jax.random.key(0), tokens)
        assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        assert module.apply(variables, tokens).dtype == jnp.bfloat16


@pytest.mark.parametrize("length", often.first(3, [3, 70, 129, 192, 256]))
@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_parts_is_attention_to_the_past(length, masked):
    keys = jax.random.split(jax.random.key(0), 4)
    query = jax.random.normal(keys[0], (2, length, 4, 3))
    key, value = (jax.random.normal(k, (2, length, 2, 3)) for k in keys[1:3])
    mask = None
    if masked:
        # Each token is to see itself at least.
        mask = jax.random.bernoulli(keys[3], 0.5, (2, 1, length, length)) | jnp.eye(
            length, dtype=bool
        )

    def whole(*inputs):
        return jax.nn.dot_product_attention(*inputs, mask=mask, is_causal=True)

    def parts(*inputs):
        return causal_attention(*inputs, mask)

    @jax.jit
    def values_and_gradients(*inputs):
        expected, back = jax.vjp(whole, *inputs)
        found, back_in_parts = jax.vjp(parts, *inputs)
        return (found, expected), tuple(zip(back_in_parts(found), back(found)))

    values, gradients = values_and_gradients(query, key, value)
    np.testing.assert_allclose(*values, atol=1e-6)
    for ours, theirs in gradients:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_cudnn_is_asked_for_the_same_attention(monkeypatch, masked):
    keys = jax.random.split(jax.random.key(0), 3)
    query = jax.random.normal(keys[0], (2, 128, 4, 8))
    key, value = (jax.random.normal(k, (2, 128, 2, 8)) for k in keys[1:])
    segments = jnp.arange(128)[None] // 50
    mask = (segments[:, None, :, None] == segments[:, None, None, :]) if masked else None
    asked = []

    def by_xla(*inputs, implementation, **options):
        asked.append(implementation)
        return product(*inputs, **options)

    product = jax.nn.dot_product_attention
    expected = causal_attention(query, key, value, mask)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", by_xla)
    found = causal_attention(query, key, value, mask, implementation="cudnn")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert asked == ["cudnn"]


def test_cudnn_on_a_cpu(tokens):
    query = tokens[:, :, None].astype(jnp.bfloat16)
    with pytest.raises(ConfigError, match="JAX runs on cpu; nearest: attention='xla'"):
        causal_attention(query, query, query, implementation="cudnn")
