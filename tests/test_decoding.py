import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.decoding import check_prompt, check_sampling, limit, sample

# Probabilities 0.4, 0.3, 0.15, 0.1, 0.05, shuffled.
PROBABILITIES = np.array([0.1, 0.4, 0.05, 0.3, 0.15])
LOGITS = jnp.log(jnp.asarray(PROBABILITIES, jnp.float32)) + 2.0


def allowed(top_k=0, top_p=1.0, logits=LOGITS):
    limited = limit(logits[None], jnp.array([top_k]), jnp.array([top_p], jnp.float32))[0]
    inside = np.isfinite(limited)
    np.testing.assert_array_equal(np.asarray(limited)[inside], np.asarray(logits)[inside])
    return set(np.flatnonzero(inside))


def draw(num, *, logits=LOGITS, temperature=1.0, top_k=0, top_p=1.0):
    keys = jax.random.split(jax.random.key(3), num)
    rows = jnp.broadcast_to(logits, (num, len(logits)))
    full = (jnp.full(num, x) for x in (temperature, top_k, top_p))
    return np.asarray(sample(keys, rows, *full))


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (0, 1.0, {0, 1, 2, 3, 4}),
        (1, 1.0, {1}),
        (2, 1.0, {1, 3}),
        (5, 1.0, {0, 1, 2, 3, 4}),
        (0, 0.39, {1}),
        (0, 0.41, {1, 3}),
        (0, 0.71, {1, 3, 4}),
        (0, 0.96, {0, 1, 2, 3, 4}),
        (0, 1e-6, {1}),
        # Of the best two, renormalized to 4/7 and 3/7, the first reaches a half.
        (2, 0.5, {1}),
        (2, 0.6, {1, 3}),
    ],
)
def test_the_tokens_that_may_be_drawn(top_k, top_p, expected):
    assert allowed(top_k, top_p) == expected


def test_of_equal_logits_exactly_k_stay():
    assert allowed(2, logits=jnp.array([0.0, 1.0, 1.0, 1.0])) == {1, 2}


def test_rows_have_their_own_settings():
    rows = jnp.stack([LOGITS, LOGITS, LOGITS])
    limited = limit(rows, jnp.array([0, 2, 0]), jnp.array([1.0, 1.0, 0.5]))
    np.testing.assert_array_equal(np.isfinite(limited).sum(1), [5, 2, 2])


def test_temperature_divides_the_logits():
    num = 20_000
    for temperature in (1.0, 0.5, 2.0):
        expected = PROBABILITIES ** (1 / temperature)
        expected /= expected.sum()
        shares = np.bincount(draw(num, temperature=temperature), minlength=5) / num
        # Four standard deviations of a share.
        np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / num**0.5)


def test_the_nucleus_follows_the_temperature():
    # At 0.1 the best token has more than 90 % of the probability.
    assert set(draw(200, temperature=0.1, top_p=0.9)) == {1}
    assert set(draw(500, temperature=1.0, top_p=0.69)) == {1, 3}


def test_greedy_takes_the_first_of_the_best_whatever_the_key():
    assert set(draw(50, temperature=0.0)) == {1}
    assert set(draw(50, temperature=0.0, top_k=3, top_p=0.2)) == {1}
    assert set(draw(50, logits=jnp.array([0.0, 2.0, 2.0]), temperature=0.0)) == {1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-0.1, 0, 1.0, 65), "temperature=-0.1: valid are 0"),
        ((float("nan"), 0, 1.0, 65), "temperature=nan"),
        ((float("inf"), 0, 1.0, 65), "temperature=inf"),
        ((1.0, -1, 1.0, 65), "top_k=-1: valid are 0 .* to 65"),
        ((1.0, 66, 1.0, 65), "top_k=66"),
        ((1.0, 0, 0.0, 65), "top_p=0.0: valid are above 0, up to 1"),
        ((1.0, 0, 1.1, 65), "top_p=1.1"),
        ((1.0, 0, float("nan"), 65), "top_p=nan"),
    ],
)
def test_settings_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        check_sampling(*values)


def test_settings_in_range():
    check_sampling(0.0, 0, 1.0, 65)
    check_sampling(2, 65, 1e-3, 65)
    check_prompt(1, 8)
    check_prompt(8, 8)
    check_prompt(1000, None)


def test_prompts_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"a prompt of 9 tokens does not fit.* 1 to 8"):
        check_prompt(9, 8)
    with pytest.raises(ConfigError, match="a prompt of 0 tokens"):
        check_prompt(0, None)
