"""Short-time Fourier transforms that can be undone, and how well voices are separated."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from library.audio import spectra


def window(length: int) -> Float[np.ndarray, " l"]:
    """Returns the square root of the periodic Hann window, which analysis and synthesis share."""
    return np.sqrt(spectra.hann(length)).astype(np.float32)


def stft(wave: Float[Array, "b n"], length: int, hop: int) -> Complex[Array, "b t f"]:
    """Returns the transforms of overlapping frames; the first and the last lie half outside."""
    rest = -wave.shape[1] % hop
    padded = jnp.pad(wave, ((0, 0), (length, length + rest)))
    return jnp.fft.rfft(spectra.framed(padded, length, hop) * window(length))


def istft(
    transforms: Complex[Array, "b t f"], length: int, hop: int, samples: int
) -> Float[Array, "b n"]:
    """Returns the waves of `samples` samples whose `stft` is given, by weighted overlap and add."""
    frames = jnp.fft.irfft(transforms, n=length) * window(length)
    count = frames.shape[1]
    place = hop * np.arange(count)[:, None] + np.arange(length)
    total = hop * (count - 1) + length
    wave = jnp.zeros((len(frames), total)).at[:, place].add(frames)
    weight = np.zeros(total, np.float32)
    np.add.at(weight, place, np.broadcast_to(np.square(window(length)), place.shape))
    return (wave / np.maximum(weight, 1e-6))[:, length : length + samples]


def si_sdr(
    found: Float[Array, "b n"], wanted: Float[Array, "b n"], epsilon: float = 1e-8
) -> Float[Array, " b"]:
    """Returns the scale-invariant ratio of signal to distortion, in dB.

    Le Roux et al. 2019, "SDR - half-baked or well done?", equation 5: 10 log10(|a s|^2 /
    |a s - x|^2) with a = <x, s> / |s|^2. `epsilon` is added to each sum of squares.
    """
    scale = jnp.sum(found * wanted, -1) / (jnp.sum(jnp.square(wanted), -1) + epsilon)
    target = scale[:, None] * wanted
    signal, noise = (jnp.sum(jnp.square(x), -1) for x in (target, target - found))
    return 10 * jnp.log10((signal + epsilon) / (noise + epsilon))


def best_order(found: Float[Array, "b n 2"], wanted: Float[Array, "b n 2"]) -> Float[Array, " b"]:
    """Returns the mean SI-SDR of two voices in the better of their two orders, in dB."""

    def mean(order: tuple[int, int]) -> Array:
        each = [si_sdr(found[..., i], wanted[..., j]) for i, j in enumerate(order)]
        return sum(each) / 2

    return jnp.maximum(mean((0, 1)), mean((1, 0)))
