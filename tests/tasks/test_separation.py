"""Separation: transforms are undone, SI-SDR is its formula, orders and padding do not matter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.audio import separation as sound
from library.data.builders import fsdd_mixtures
from library.models.sequence.separator import separator
from library.summaries import summarize
from library.task import minimize
from library.tasks.separation import separation
from tests import tiny

KEY = jax.random.key(0)


@functools.cache
def task():
    """Returns the compiled task."""
    model = separator(width=3, depth=1)
    learn = functools.partial(minimize, optimizer=optax.sgd(0.1))
    return tiny.compiled(separation(model, learn, window=16, hop=4))


def batch_of(fill=0.0, swapped=False):
    random, place = np.random.default_rng(0), jnp.arange(2, dtype=jnp.uint32)
    time = np.arange(70)
    tones = np.stack([np.sin(0.4 * time), np.sin(1.9 * time + 1)], axis=1)
    voices = tones * random.uniform(0.1, 0.4, (2, 1, 2))
    mask = np.float32(time < np.array([[70], [51]]))
    voices = np.where(mask[..., None] > 0, voices, fill).astype(np.float32)
    given = dict(audio=voices.sum(-1), voices=voices[..., ::-1] if swapped else voices)
    given |= dict(audio_mask=mask, voices_mask=mask, mask=np.ones(2, np.float32))
    return {**{k: jnp.asarray(v) for k, v in given.items()}, "index": place, "row": place}


@pytest.mark.parametrize("samples", [64, 70])
def test_a_transform_is_undone(samples):
    wave = np.random.default_rng(0).normal(size=(2, samples)).astype(np.float32)
    found = jax.jit(lambda x: sound.istft(sound.stft(x, 16, 4), 16, 4, samples))(wave)
    np.testing.assert_allclose(found, wave, atol=1e-5)


def test_the_ratio_is_its_formula_and_has_no_scale():
    random = np.random.default_rng(0)
    s, x = random.normal(size=(2, 1, 50))
    part = (x @ s.T) / (s @ s.T) * s
    expected = 10 * np.log10(np.square(part).sum() / np.square(part - x).sum())
    for scale in (1.0, 3.0):
        found = jax.jit(sound.si_sdr)(jnp.float32(scale * x), jnp.float32(s))
        assert float(found[0]) == pytest.approx(expected, abs=1e-4)
    pair = jnp.float32(np.stack([s, x], axis=-1))
    ours, theirs = (jax.jit(sound.best_order)(pair, y) for y in (pair, pair[..., ::-1]))
    np.testing.assert_array_equal(ours, theirs)


def measured(batch):
    made = task()
    return summarize(jax.device_get(made.evaluate(made.init(KEY, batch), batch, KEY)))


def test_the_order_of_the_voices_and_the_padding_do_not_matter():
    ours = measured(batch_of())
    assert measured(batch_of(swapped=True))["improvement"] == pytest.approx(ours["improvement"])
    assert measured(batch_of(fill=0.3)) == ours
    # Two tones far apart: the ideal shares separate them well, a new network does not.
    assert ours["ideal_improvement"] > 10 > ours["improvement"]


@pytest.mark.full
def test_steps_separate_two_tones():
    made, batch = task(), batch_of()
    state = made.init(KEY, batch)
    before = measured(batch)["loss"]
    for _ in range(40):
        state, _ = made.update(state, batch, KEY)
    after = summarize(jax.device_get(made.evaluate(state, batch, KEY)))
    assert after["loss"] < before - 1


def test_a_mixture_is_the_sum_of_two_people():
    lengths = np.array([30, 40, 35, 50])
    audio = np.random.default_rng(0).integers(-999, 999, lengths.sum()).astype(np.int16)
    bits = audio.view(np.uint16)
    arrays = dict(
        hi=(bits >> 8).astype(np.uint8),
        lo=(bits & 255).astype(np.uint8),
        offsets=np.cumsum([0, *lengths]),
        speaker=np.array([0, 0, 1, 1]),
        take=np.zeros(4, int),
    )
    found = list(fsdd_mixtures.mixtures(arrays, True, 8))
    for _, example in found:
        np.testing.assert_array_equal(example["voices"].sum(1), example["audio"])
        first, second = map(int, example["id"].split("_")[1:])
        assert arrays["speaker"][first] != arrays["speaker"][second]
        assert len(example["audio"]) == min(lengths[first], lengths[second])
        loud = np.sqrt(np.square(example["voices"].astype(float)).mean(0))
        np.testing.assert_allclose(loud, fsdd_mixtures.LOUDNESS, rtol=1e-3)
    again = list(fsdd_mixtures.mixtures(arrays, True, 8))
    assert [x["id"] for _, x in again] == [x["id"] for _, x in found]
