"""The biaxial LSTM: what a note sees, and that going note by note gives the same logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.models.sequence import biaxial

STEPS, NOTES, LOWEST = 4, 14, 50


@pytest.fixture(scope="module")
def network():
    model = biaxial.Biaxial(time_widths=(3,), note_widths=(4, 3), lowest=LOWEST, dropout=0.0)
    zeros = jnp.zeros((1, STEPS, NOTES))
    shapes = jax.eval_shape(model.init, jax.random.key(0), zeros, None, zeros)
    draw = np.random.default_rng(1)
    return model, jax.tree.map(
        lambda p: jnp.asarray(0.3 * draw.normal(size=p.shape), jnp.float32), shapes
    )


def frames(seed=0, count=1):
    draw = np.random.default_rng(seed)
    return jnp.asarray(draw.integers(0, 2, (count, STEPS, NOTES)), jnp.float32)


def test_a_note_sees_the_frames_before_and_the_notes_below(network):
    model, variables = network

    def logits(x, y):
        return model.apply(variables, x[None], None, y[None])[0]

    of_past, of_next = jax.jit(jax.jacobian(logits, argnums=(0, 1)))(frames()[0], frames(1)[0])
    t, n = np.arange(STEPS), np.arange(NOTES)
    seen = np.asarray(jnp.abs(of_past).sum((1, 3)) > 0)
    np.testing.assert_array_equal(seen, t[:, None] >= t)
    below = np.asarray(jnp.abs(of_next).max((0, 2)) > 0)
    assert not below[n[:, None] <= n].any()
    assert below[n[1:], n[:-1]].all()
    others = np.abs(np.asarray(of_next)).sum((1, 3))
    np.testing.assert_array_equal(others[t[:, None] != t], 0)


def test_a_melody_an_octave_higher_sees_the_same_but_for_its_pitch():
    x = jnp.zeros((1, STEPS, 40)).at[0, :, 13].set(1).at[0, 1, 15].set(1)
    low = biaxial.surroundings(x, LOWEST, 4)[:, :, 8]
    high = biaxial.surroundings(jnp.roll(x, 12, axis=-1), LOWEST, 4)[:, :, 20]
    np.testing.assert_array_equal(low[..., 1:], high[..., 1:])
    np.testing.assert_allclose(high[..., 0] - low[..., 0], 12 / 128)
    # Note 58: five below note 63, which sounds in all frames, and seven below note 65.
    vicinity, counts = np.asarray(low[0, :, 13:38]), np.asarray(low[0, :, 38:50])
    assert np.flatnonzero(low[0, 0, 1:13]).tolist() == [58 % 12]
    assert [np.flatnonzero(v).tolist() for v in vicinity[:2]] == [[17], [17, 19]]
    assert [np.flatnonzero(c).tolist() for c in counts[:2]] == [[5], [5, 7]]
    assert np.asarray(low[0, 3, 50:]).tolist() == [1, 1, 0, 0]


def test_frame_by_frame_and_note_by_note_gives_the_same_logits(network):
    model, variables = network
    x, y = frames(count=2), frames(1, count=2)
    mask = jnp.ones((2, STEPS)).at[1, 3:].set(0)
    whole = jax.jit(model.apply)(variables, x, mask, y)
    hidden = jax.jit(lambda *x: model.apply(variables, *x, method="hidden"))(x, mask)[:, 2]
    past, forward = model.initial_past(2, NOTES), []
    advance = jax.jit(lambda *given: model.apply(variables, *given, method="advance"))
    for t in range(3):
        found, past = advance(x[:, t], t, past)
        forward.append(found)
    np.testing.assert_allclose(forward[2], hidden, rtol=1e-5, atol=1e-5)
    carry, below = model.initial_carry(2), jnp.zeros(2)
    step = jax.jit(lambda *given: model.apply(variables, *given, method="step"))
    for note in range(NOTES):
        logit, carry = step(hidden[:, note], below, carry)
        np.testing.assert_allclose(logit, whole[:, 2, note], rtol=1e-5, atol=1e-5)
        below = y[:, 2, note]


@pytest.mark.full
def test_padding_changes_no_bit(network):
    model, variables = network
    mask = jnp.ones((1, STEPS)).at[0, 2:].set(0)
    strange = frames().at[0, 2:].set(jnp.nan)
    apply, zeros = jax.jit(model.apply), frames() * mask[..., None]
    whole = apply(variables, strange, mask, frames(1))
    np.testing.assert_array_equal(whole, apply(variables, zeros, mask, frames(1)))
