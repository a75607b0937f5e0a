"""Log-mel spectra and mel-frequency cepstra of waves, with masks for padding.

The mel scale is that of O'Shaughnessy 1987, 2595 log10(1 + f / 700), as HTK has it. Cepstra are
from Davis & Mermelstein 1980, "Comparison of parametric representations for monosyllabic word
recognition in continuously spoken sentences". A frame counts only if all its samples are data, and
every number of a frame that counts follows from data alone.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from library.config import ConfigError

# Power that is added before the logarithm: that of white noise at -100 dB of full scale.
FLOOR = 1e-10


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Converts frequencies in Hz to mels."""
    return 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)


def hertz(mels: np.ndarray | float) -> np.ndarray:
    """Converts mels to frequencies in Hz."""
    return 700 * (10 ** (np.asarray(mels, np.float64) / 2595) - 1)


def mel_filters(
    rate: int, size: int, bands: int, low: float = 0.0, high: float | None = None
) -> Float[np.ndarray, "f m"]:
    """Computes triangular filters of height 1, whose corners are equally far apart in mels.

    Args:
      rate: samples per second.
      size: samples of the Fourier transform; f = size // 2 + 1.
      bands: number m of filters.
      low: lower corner of the first filter, in Hz.
      high: upper corner of the last filter, in Hz; None for half the rate.

    Raises:
      ConfigError: the corners are not 0 <= low < high <= rate / 2, or a filter has no frequency.
    """
    high = rate / 2 if high is None else high
    if not 0 <= low < high <= rate / 2:
        raise ConfigError(f"low={low}, high={high}: valid are 0 <= low < high <= {rate / 2} Hz")
    corners = hertz(np.linspace(mel(low), mel(high), bands + 2))
    frequencies = np.arange(size // 2 + 1)[:, None] * (rate / size)
    rise = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall))
    empty = np.flatnonzero(filters.sum(0) == 0)
    if len(empty):
        raise ConfigError(
            f"bands={bands}: filter {empty[0]} has no frequency of a transform of {size} samples; "
            "use fewer bands or a longer window"
        )
    return filters.astype(np.float32)


def hann(length: int) -> Float[np.ndarray, " n"]:
    """Returns the periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def num_frames(samples: Array | int, length: int, hop: int) -> Array | int:
    """Returns how many whole frames of `length` samples, `hop` apart, so many samples have."""
    frames = 1 + (samples - length) // hop
    return max(frames, 0) if isinstance(samples, int) else jnp.maximum(frames, 0)


def framed(wave: Float[Array, "b n"], length: int, hop: int) -> Float[Array, "b t l"]:
    """Cuts waves into frames of `length` samples, each `hop` after the one before.

    Raises:
      ConfigError: the waves are shorter than a frame.
    """
    count = num_frames(wave.shape[1], length, hop)
    if count < 1:
        raise ConfigError(
            f"waves of {wave.shape[1]} samples are shorter than a window of {length}: pad them to "
            f"{length} or more with pad_series"
        )
    place = hop * np.arange(count)[:, None] + np.arange(length)
    return wave[:, place]


def frame_mask(mask: Float[Array, "b n"], length: int, hop: int) -> Float[Array, "b t"]:
    """Returns 1 for frames all of whose samples are data, else 0. Data come before padding."""
    count = num_frames(jnp.sum(mask, axis=1).astype(jnp.int32), length, hop)
    total = num_frames(mask.shape[1], length, hop)
    return (jnp.arange(total) < count[:, None]).astype(jnp.float32)


def power_spectra(frames: Float[Array, "b t l"]) -> Float[Array, "b t f"]:
    """Returns |DFT|^2 of frames under a Hann window, with f = l // 2 + 1."""
    return jnp.square(jnp.abs(jnp.fft.rfft(frames * hann(frames.shape[-1]))))


def log_mel(
    wave: Float[Array, "b n"], filters: Float[np.ndarray, "f m"], length: int, hop: int
) -> Float[Array, "b t m"]:
    """Returns the logarithm of the power that each filter passes, plus FLOOR."""
    spectra = power_spectra(framed(wave, length, hop))
    return jnp.log(jnp.matmul(spectra, filters, precision="highest") + FLOOR)


def cosines(bands: int, count: int) -> Float[np.ndarray, "m c"]:
    """Returns the first `count` vectors of the orthonormal discrete cosine transform, DCT-II."""
    k, place = np.arange(count), np.arange(bands)[:, None] + 0.5
    scale = np.where(k == 0, 1 / bands, 2 / bands) ** 0.5
    return (scale * np.cos(np.pi / bands * place * k)).astype(np.float32)


def log_energy(wave: Float[Array, "b n"], length: int, hop: int) -> Float[Array, "b t 1"]:
    """Returns the logarithm of the sum of squares of each frame, plus FLOOR."""
    energy = jnp.sum(jnp.square(framed(wave, length, hop)), axis=-1, keepdims=True)
    return jnp.log(energy + FLOOR)


def deltas(
    x: Float[Array, "b t d"], mask: Float[Array, "b t"], reach: int = 2
) -> Float[Array, "b t d"]:
    """Returns the slope of each value over time, by a regression over 2 reach + 1 frames.

    Young et al., "The HTK book", section "Delta, acceleration and third differential
    coefficients". The first and the last frame of the data stand for those beyond.
    """
    last = jnp.maximum(jnp.sum(mask, axis=1).astype(jnp.int32) - 1, 0)[:, None]
    place = jnp.arange(x.shape[1])[None]

    def at(shift: int) -> Float[Array, "b t d"]:
        index = jnp.clip(place + shift, 0, last)
        return jnp.take_along_axis(x, index[..., None], axis=1)

    slope = sum(n * (at(n) - at(-n)) for n in range(1, reach + 1))
    return slope / (2 * sum(n * n for n in range(1, reach + 1)))


def standardized(x: Float[Array, "b t d"], mask: Float[Array, "b t"]) -> Float[Array, "b t d"]:
    """Returns values with mean 0 and variance 1 over the frames of each recording; 0 in padding."""
    there = mask[..., None] > 0
    count = jnp.maximum(jnp.sum(mask, axis=1), 1)[:, None, None]
    mean = jnp.sum(jnp.where(there, x, 0), axis=1, keepdims=True) / count
    centred = jnp.where(there, x - mean, 0)
    variance = jnp.sum(jnp.square(centred), axis=1, keepdims=True) / count
    return centred / jnp.sqrt(variance + 1e-8)
