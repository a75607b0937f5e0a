"""Spectra against their definitions, sample by sample; padding changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.audio import spectra
from library.config import ConfigError
from library.data.augmentation import spectra as masks
from library.data.device_preprocessing import sound
from tests import often

RATE, LENGTH, HOP = 8000, 64, 32
KINDS = {"audio": "audio", "label": "label"}
SIZES = dict(rate=RATE, window=LENGTH / RATE, hop=HOP / RATE)
MFCC = dict(SIZES, bands=12, coefficients=5)


def waves(num=2, samples=300, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (num, samples)).astype(np.float32)


def log_mel(**options):
    return jax.jit(sound.log_mel(**SIZES, bands=12, kinds=KINDS, **options))


def mfcc(**options):
    return jax.jit(sound.mfcc(**MFCC, kinds=KINDS, **options))


def power_by_definition(wave):
    """Returns |sum_n w x e^(-2 pi i k n / N)|^2 of each frame, in float64."""
    n = np.arange(LENGTH)
    window = np.sin(np.pi * n / LENGTH) ** 2
    waves = np.exp(-2j * np.pi * n[:, None] * np.arange(LENGTH // 2 + 1) / LENGTH)
    starts = range(0, len(wave) - LENGTH + 1, HOP)
    return np.abs([(wave[s : s + LENGTH] * window) @ waves for s in starts]) ** 2


def test_power_is_that_of_the_fourier_transform_of_each_frame():
    x = waves()
    found = spectra.power_spectra(spectra.framed(x, LENGTH, HOP))
    expected = np.stack([power_by_definition(row.astype(np.float64)) for row in x])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_filter_is_a_triangle_between_its_neighbours():
    filters = spectra.mel_filters(RATE, 512, 10, low=100, high=3500)
    edges = 2595 * np.log10(1 + np.array([100, 3500]) / 700)
    corners = 700 * (10 ** (np.linspace(*edges, 12) / 2595) - 1)
    frequency = np.arange(257) * RATE / 512
    for band, (low, top, high) in enumerate(zip(corners, corners[1:], corners[2:])):
        expected = np.interp(frequency, [low, top, high], [0, 1, 0])
        np.testing.assert_allclose(filters[:, band], expected, atol=1e-6)


def test_cosines_are_orthonormal():
    table = spectra.cosines(9, 9).astype(np.float64)
    np.testing.assert_allclose(table.T @ table, np.eye(9), atol=1e-6)
    np.testing.assert_allclose(table[:, 0], 1 / 3, atol=1e-6)


def test_log_mel_and_cepstra_follow_from_the_power():
    x = waves(1)
    logs = np.log(
        power_by_definition(x[0].astype(np.float64)) @ spectra.mel_filters(RATE, LENGTH, 12) + 1e-10
    )
    found = log_mel(normalize="none")({"audio": x})
    np.testing.assert_allclose(found["audio"][0], logs, rtol=1e-4, atol=1e-4)
    found = np.asarray(mfcc(normalize="none")({"audio": x})["audio"][0])
    assert found.shape == (len(logs), 12)
    k, n = np.arange(1, 6), np.arange(12)[:, None] + 0.5
    expected = logs @ (np.sqrt(2 / 12) * np.cos(np.pi * n * k / 12))
    np.testing.assert_allclose(found[:, 1:6], expected, rtol=1e-3, atol=1e-3)
    frames = np.stack([x[0, s : s + LENGTH] for s in range(0, 300 - LENGTH + 1, HOP)])
    np.testing.assert_allclose(found[:, 0], np.log(np.square(frames).sum(1)), rtol=1e-4)


def test_the_derivative_of_a_line_is_its_slope():
    line = jnp.arange(9.0)[None, :, None] * jnp.array([2.0, -0.5])
    mask = jnp.float32([[1] * 7 + [0] * 2])
    found = np.asarray(jax.jit(spectra.deltas)(line, mask))[0]
    np.testing.assert_allclose(found[2:5], np.tile([2, -0.5], (3, 1)), rtol=1e-6)
    # At frame 0 those before it are frame 0: (1 (1 - 0) + 2 (2 - 0)) / 10 of the slope.
    np.testing.assert_allclose(found[0], np.array([2, -0.5]) * 0.5, rtol=1e-6)
    np.testing.assert_allclose(found[6], np.array([2, -0.5]) * 0.5, rtol=1e-6)


def padded(x, count, fill):
    mask = np.broadcast_to((np.arange(x.shape[1]) < count).astype(np.float32), x.shape)
    return {"audio": np.where(mask > 0, x, fill).astype(np.float32), "audio_mask": mask}


@pytest.mark.parametrize(
    ("make", "normalize"),
    often.first(
        2, [(log_mel, "utterance"), (mfcc, "none"), (log_mel, "none"), (mfcc, "utterance")]
    ),
)
def test_what_is_in_the_padding_changes_no_bit(make, normalize):
    op = make(normalize=normalize)
    ours, theirs = (op(padded(waves(), 200, fill)) for fill in (0, 0.7))
    np.testing.assert_array_equal(ours["audio"], theirs["audio"])
    np.testing.assert_array_equal(ours["audio_mask"], theirs["audio_mask"])
    count = 1 + (200 - LENGTH) // HOP
    np.testing.assert_array_equal(ours["audio_mask"].sum(1), count)
    assert not np.any(ours["audio"][:, count:])
    alone = op({"audio": waves()[:, :200]})["audio"]
    np.testing.assert_allclose(ours["audio"][:, :count], alone, rtol=1e-4, atol=1e-4)


def test_utterances_have_mean_0_and_variance_1():
    op = log_mel()
    found = op(padded(waves(), 260, 0))
    there = np.asarray(found["audio"])[:, : int(found["audio_mask"][0].sum())]
    np.testing.assert_allclose(there.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(there.std(1), 1, atol=1e-4)


def test_integers_are_scaled_to_fractions_of_full_scale():
    whole = np.int16(waves() * 32767)
    op = log_mel()
    ours, theirs = op({"audio": whole}), op({"audio": whole.astype(np.float32) / 32768})
    np.testing.assert_array_equal(ours["audio"], theirs["audio"])


def test_masks_of_spec_augment_lie_in_the_recording():
    sizes = dict(time_masks=1, time_width=4, band_masks=1, band_width=3)
    op = jax.jit(masks.spec_augment(**sizes, kinds=KINDS))
    x = jnp.ones((64, 20, 8))
    mask = jnp.broadcast_to(jnp.arange(20) < 12, (64, 20)).astype(jnp.float32)
    found = op({"audio": x, "audio_mask": mask}, jax.random.split(jax.random.key(0), 64))
    zero = np.asarray(found["audio"]) == 0
    frames, bands = zero.all(2), zero.all(1)
    assert np.array_equal(zero, frames[:, :, None] | bands[:, None])
    assert not frames[:, 12:].any()
    for marked, most in ((frames, 4), (bands, 3)):
        assert set(marked.sum(1)) == set(range(most + 1))
        # One stretch: the sum of rises is at most one.
        assert (np.diff(marked.astype(int), prepend=0, axis=1) == 1).sum(1).max() == 1
    again = op({"audio": x, "audio_mask": mask}, jax.random.split(jax.random.key(0), 64))
    np.testing.assert_array_equal(again["audio"], found["audio"])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: sound.log_mel(RATE, bands=200, kinds=KINDS), "bands=200: filter 0 has no freq"),
        (lambda: sound.log_mel(RATE, high=5000.0, kinds=KINDS), "high=5000.0: valid are 0 <="),
        (lambda: sound.log_mel(RATE, hop=1e-5, kinds=KINDS), "hop=1e-05 s is less than one"),
        (lambda: sound.log_mel(RATE, kinds={"image": "image"}), "no feature is audio"),
        (lambda: sound.mfcc(RATE, coefficients=26, kinds=KINDS), "valid are 1 to 25 with bands=26"),
        (lambda: sound.mfcc(RATE, derivatives=3, kinds=KINDS), "derivatives=3: valid are 0, 1"),
        (lambda: masks.spec_augment(time_width=-1, kinds=KINDS), "time_width=-1 is not in"),
        (
            lambda: sound.log_mel(RATE, kinds=KINDS)({"audio": waves(1, 100)}),
            "waves of 100 samples are shorter than a window of 200",
        ),
        (
            lambda: masks.spec_augment(kinds=KINDS)(
                {"audio": jnp.asarray(waves())}, jax.random.split(jax.random.key(0), 2)
            ),
            "spec_augment takes spectra",
        ),
    ],
)
def test_what_does_not_fit_is_refused(build, said):
    with pytest.raises(ConfigError, match=said):
        build()
