"""Chorales: the loss by hand, and Gibbs sampling against the law that its conditionals have."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import chorales, piano_rolls
from library.config import ConfigError
from library.task import TrainState
from library.tasks import harmonization

VOICES, STEPS, TOKENS = 2, 4, 3
SHAPES = {"tokens": (STEPS, VOICES), "tokens_mask": (STEPS,), "beat": (STEPS,)}
# A law of two voices at one step, in which no two entries are alike.
LAW = np.array([[0.05, 0.2, 0.1], [0.15, 0.02, 0.08], [0.12, 0.25, 0.03]])


class Conditionals(nn.Module):
    """Gives the logits of each voice from the other at the same step, by a table of their law."""

    vocab_size: int = TOKENS
    sharpness: float = 1.0

    def __call__(self, tokens, mask, beat, train=False):
        return jnp.stack([self.of_voice(tokens, mask, beat, v) for v in range(VOICES)], axis=-2)

    def of_voice(self, tokens, mask, beat, voice, train=False):
        table = jnp.asarray(LAW if voice else LAW.T, jnp.float32)
        return self.sharpness * jnp.log(table[tokens[..., 1 - voice]])


class _Learner:
    init = update = None


def make(model=None, **options):
    given = {"feature_shapes": SHAPES, "length": 8, "sweeps": 2, **options}
    return harmonization.harmonization(model or Conditionals(), lambda loss: _Learner(), **given)


STATE = TrainState(None, {}, {}, None, None)


def batch(**changes):
    draw = np.random.default_rng(0)
    found = {
        "tokens": draw.integers(0, TOKENS, (3, STEPS, VOICES)).astype(np.int32),
        "tokens_mask": np.array([[1] * 4, [1, 1, 0, 0], [1] * 4], np.float32),
        "beat": np.tile(np.arange(STEPS, dtype=np.int32), (3, 1)),
        "mask": np.array([1, 1, 0], np.float32),
        "index": np.arange(3, dtype=np.uint32),
    }
    return {name: jnp.asarray(x) for name, x in {**found, **changes}.items()}


def test_the_loss_is_a_mean_over_the_tokens_that_exist():
    given = batch()
    given["tokens"] = given["tokens"].at[1, 2:].set(99).at[2].set(-7)
    found = jax.device_get(make().evaluate(STATE, given, jax.random.key(0)))
    loss, right = 0.0, 0
    for row, count in ((0, 4), (1, 2)):
        for a, b in np.asarray(given["tokens"])[row, :count]:
            for table, token in ((LAW[:, b], a), (LAW[a], b)):
                loss -= np.log(table[token] / table.sum())
                right += token == table.argmax()
    np.testing.assert_allclose(found["loss"], (loss, 12), rtol=1e-6)
    assert found["accuracy"] == (right, 12)
    error = make().outputs["error"](STATE, given, jax.random.key(0))
    np.testing.assert_allclose(8 * error[0] + 4 * error[1], loss, rtol=1e-6)


def drawn(free, count, sweeps, model=None):
    tokens = jnp.full((count, 1, VOICES), 2, jnp.int32)
    mask, beat = jnp.ones((count, 1)), jnp.zeros((count, 1), jnp.int32)
    keys = jax.random.split(jax.random.key(1), count)
    options = dict(sweeps=sweeps)
    free = jnp.broadcast_to(jnp.array(free), tokens.shape)
    gibbs = jax.jit(lambda *x: harmonization.gibbs(model or Conditionals(), {}, *x, **options))
    return np.asarray(gibbs(tokens, mask, beat, free, keys))[:, 0]


def test_chorales_are_drawn_from_the_law_of_the_conditionals():
    count = 20_000
    found = drawn([True, True], count, sweeps=40)
    seen = np.zeros_like(LAW)
    np.add.at(seen, tuple(found.T), 1 / count)
    assert np.all(np.abs(seen - LAW) < 5 * np.sqrt(LAW * (1 - LAW) / count))


def test_a_voice_that_is_given_stays_and_the_other_follows_its_conditional():
    count, law = 20_000, LAW[2] / LAW[2].sum()
    found = drawn([False, True], count, sweeps=1)
    assert (found[:, 0] == 2).all()
    seen = np.bincount(found[:, 1], minlength=TOKENS) / count
    assert np.all(np.abs(seen - law) < 5 * np.sqrt(law * (1 - law) / count))


def test_an_arrangement_keeps_the_soprano_and_leaves_padding_silent():
    task, given = make(given=("soprano",), lowest=60), batch()
    made = np.asarray(task.outputs["arrangement"](STATE, given, jax.random.key(0)))
    expected = np.asarray(chorales.music(given["tokens"], given["tokens_mask"], 60))
    np.testing.assert_array_equal(made[:, :, 0], expected[:, :, 0])
    assert made[1, 2:].max() == piano_rolls.SILENT
    other = make(given=("alto",), lowest=60).outputs["arrangement"]
    turned = np.asarray(other(STATE, given, jax.random.key(0)))
    np.testing.assert_array_equal(turned[:, :, 1], expected[:, :, 1])
    apart = {name: x[1:2] for name, x in given.items()}
    alone = task.outputs["arrangement"](STATE, apart, jax.random.key(0))
    np.testing.assert_array_equal(alone, made[1:2])


@pytest.mark.full
def test_new_chorales_have_the_length_that_is_asked_for():
    made = make().outputs["music"](
        STATE, {"index": jnp.arange(2, dtype=jnp.uint32)}, jax.random.key(0)
    )
    assert made.shape == (2, 8, VOICES, 128)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(given=("alt",)), "unknown voice in task.given 'alt': did you mean 'alto'"),
        (dict(given=("bass",)), "unknown voice in task.given 'bass'"),
        (dict(temperature=-1.0), "temperature=-1.0: valid are numbers above 0"),
        (dict(sweeps=0), "sweeps=0"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)
    with pytest.raises(ConfigError, match="the examples have no tokens_mask, beat: add"):
        make(feature_shapes={"tokens": (4, 2)})
