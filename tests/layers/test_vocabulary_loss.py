import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import command_line
from library.layers.vocabulary_loss import cross_entropy, logits
from tests import often


def arrays(tokens, width, vocab_size, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 4)
    hidden = 3 * jax.random.normal(keys[0], (tokens, width))
    table = jax.random.normal(keys[1], (vocab_size, width))
    bias = jax.random.normal(keys[2], (vocab_size,))
    targets = jax.random.randint(keys[3], (tokens,), 0, vocab_size)
    return hidden.astype(dtype), table, bias, targets


def weighted(hidden, table, bias, targets, chunk):
    losses, _ = cross_entropy(hidden, table, bias, targets, chunk)
    return jnp.sum(losses * jnp.cos(jnp.arange(len(losses))))


def test_the_plain_loss_by_hand():
    hidden, table, bias, targets = arrays(5, 3, 7)
    losses, best = cross_entropy(hidden, table, bias, targets)
    z = np.asarray(hidden, np.float64) @ np.asarray(table, np.float64).T + np.asarray(bias)
    expected = np.log(np.exp(z).sum(1)) - z[np.arange(5), targets]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_array_equal(best, z.argmax(1))
    np.testing.assert_allclose(logits(hidden, table), z - np.asarray(bias), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", often.only([4], [1, 4, 5, 12, 19, 20, 21, 64]))
@pytest.mark.parametrize("with_bias", [True, False])
def test_parts_of_any_size_give_the_plain_loss_and_its_gradients(chunk, with_bias):
    hidden, table, bias, targets = arrays(9, 6, 20)
    # The ends of the parts are the places to go wrong; equal logits must give the first token.
    targets = targets.at[:4].set(jnp.array([0, 19, 4, 5]))
    table, bias = table.at[13].set(table[2]), bias.at[13].set(bias[2])
    bias = bias if with_bias else None
    plain = cross_entropy(hidden, table, bias, targets)
    parts = cross_entropy(hidden, table, bias, targets, chunk)
    np.testing.assert_allclose(parts[0], plain[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(parts[1], plain[1])
    arguments = (0, 1, 2) if with_bias else (0, 1)
    gradient = jax.grad(weighted, arguments)
    expected = gradient(hidden, table, bias, targets, None)
    for ours, theirs in zip(gradient(hidden, table, bias, targets, chunk), expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.full
def test_bfloat16_sums_in_float32():
    hidden, table, bias, targets = arrays(16, 8, 50, jnp.bfloat16)
    plain, _ = cross_entropy(hidden, table, bias, targets)
    parts, _ = cross_entropy(hidden, table, bias, targets, 16)
    assert plain.dtype == parts.dtype == jnp.float32
    np.testing.assert_allclose(parts, plain, rtol=1e-5, atol=1e-5)
    gradients = [jax.grad(weighted, (0, 1))(hidden, table, bias, targets, c) for c in (16, None)]
    for ours, theirs in zip(*gradients):
        assert ours.dtype == theirs.dtype
        error = jnp.abs(ours - theirs).astype(jnp.float32).max()
        # Two digits more than bfloat16 has are lost where its values cancel.
        assert error < 4 * 2**-8 * jnp.abs(theirs).astype(jnp.float32).max()


def test_values_that_are_not_finite_are_seen():
    hidden, table, bias, targets = arrays(3, 4, 12)
    losses, _ = cross_entropy(hidden.at[1, 0].set(jnp.nan), table, bias, targets, 5)
    np.testing.assert_array_equal(jnp.isnan(losses), [False, True, False])


def test_memory_is_a_fifth_of_the_plain_one_or_less_at_the_size_of_the_recipe():
    values = command_line.load_config("configs/gpt/text.py:gpt2")[0]
    width, vocab_size = values["model"]["width"], values["dataset"]["tokenizer"]["vocab_size"]
    assert (width, vocab_size, values["model"]["dtype"]) == (768, 50_257, "bfloat16")
    # What each of its eight devices computes at a time; nothing of it is allocated here.
    windows = values["dataset"]["batch_size"] // values["accumulate"] // 8
    tokens = windows * values["dataset"]["context"]
    shapes = jax.eval_shape(lambda: arrays(tokens, width, vocab_size, jnp.bfloat16))

    def temporary(chunk):
        def loss(hidden, table, targets):
            return weighted(hidden, table, None, targets, chunk)

        step = jax.jit(jax.value_and_grad(loss, (0, 1)))
        compiled = step.lower(shapes[0], shapes[1], shapes[3]).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(values["task"]["chunk"]) <= 0.2 * temporary(None)
    # The plain one holds an array of all logits at least.
    assert temporary(None) >= 4 * tokens * vocab_size
