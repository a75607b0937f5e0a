"""Spectra and cepstra of recordings in place of their waves."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from library.audio import spectra
from library.config import ConfigError, check_choice
from library.data import features
from library.data.device_preprocessing import Batch, Operation
from library.data.features import Kinds


def log_mel(
    rate: int,
    window: float = 0.025,
    hop: float = 0.01,
    bands: int = 40,
    low: float = 0.0,
    high: float | None = None,
    normalize: Literal["utterance", "none"] = "utterance",
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Turns waves into log-mel spectra, see `library.audio.spectra`.

    The feature `audio`, (b, n) and integer or in [-1, 1], becomes (b, t, bands), and `audio_mask`,
    (b, n), becomes (b, t): 1 for frames that hold data alone. Padded frames are 0.

    Args:
      rate: samples per second.
      window: length of a frame, in seconds.
      hop: seconds from a frame to the next.
      bands: number of filters.
      low: lower corner of the first filter, in Hz.
      high: upper corner of the last filter, in Hz; None for half the rate.
      normalize: "utterance" gives each band mean 0 and variance 1 over the recording.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a number is out of range, there is no audio, or (when traced) the waves are
        shorter than a window.
    """
    length, step = _samples(rate, window, hop)
    filters = spectra.mel_filters(rate, length, bands, low, high)
    return _changed(
        lambda wave, mask: spectra.log_mel(wave, filters, length, step),
        (length, step),
        normalize,
        kinds,
    )


def mfcc(
    rate: int,
    window: float = 0.025,
    hop: float = 0.01,
    bands: int = 26,
    coefficients: int = 12,
    energy: bool = True,
    derivatives: int = 1,
    normalize: Literal["utterance", "none"] = "utterance",
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Turns waves into mel-frequency cepstra; the features are as those of `log_mel`.

    A frame holds `coefficients` of the discrete cosine transform of the log-mel spectrum, from the
    second on if `energy` stands for the first, then their derivatives over time. The defaults are
    the 26 numbers of Graves et al. 2006, section 5.1.

    Args:
      rate: samples per second.
      window: length of a frame, in seconds.
      hop: seconds from a frame to the next.
      bands: number of mel filters.
      coefficients: number of coefficients.
      energy: whether the log energy of the frame comes first, in place of coefficient 0.
      derivatives: how often derivatives are taken: 0, 1 or 2.
      normalize: "utterance" gives each number mean 0 and variance 1 over the recording.
      kinds: the kinds of the features.

    Raises:
      ConfigError: as in `log_mel`; or there are more coefficients than bands.
    """
    if not 0 <= derivatives <= 2:
        raise ConfigError(f"mfcc, derivatives={derivatives}: valid are 0, 1 and 2")
    if coefficients + energy > bands:
        raise ConfigError(
            f"mfcc, coefficients={coefficients}: valid are 1 to {bands - energy} with bands={bands}"
        )
    length, step = _samples(rate, window, hop)
    filters = spectra.mel_filters(rate, length, bands)
    cosines = spectra.cosines(bands, coefficients + energy)[:, int(energy) :]

    def cepstra(wave: Float[Array, "b n"], mask: Float[Array, "b t"]) -> Float[Array, "b t d"]:
        logs = spectra.log_mel(wave, filters, length, step)
        found = [jnp.matmul(logs, cosines, precision="highest")]
        if energy:
            found.insert(0, spectra.log_energy(wave, length, step))
        parts = [jnp.concatenate(found, axis=-1)]
        for _ in range(derivatives):
            parts.append(spectra.deltas(parts[-1], mask))
        return jnp.concatenate(parts, axis=-1)

    return _changed(cepstra, (length, step), normalize, kinds)


def _samples(rate: int, window: float, hop: float) -> tuple[int, int]:
    """Returns the length of a frame and the step between frames, in samples."""
    found = {}
    for name, seconds in (("window", window), ("hop", hop)):
        found[name] = round(rate * seconds)
        if found[name] < 1:
            raise ConfigError(
                f"{name}={seconds} s is less than one sample at {rate} Hz; nearest: {1 / rate}"
            )
    return found["window"], found["hop"]


def _changed(
    transform: Callable[[Array, Array], Array],
    sizes: tuple[int, int],
    normalize: str,
    kinds: Kinds,
) -> Operation:
    check_choice("normalize", normalize, ("utterance", "none"))
    names = features.named(kinds, "audio")
    if not names:
        raise ConfigError(f"no feature is audio; the examples have {', '.join(kinds)}")

    def changed(batch: Batch) -> Batch:
        found = dict(batch)
        for name in (name for name in names if name in batch):
            wave = _scaled(batch[name])
            mask = batch.get(f"{name}_mask", jnp.ones(wave.shape, jnp.float32))
            mask, wave = spectra.frame_mask(mask, *sizes), jnp.where(mask > 0, wave, 0)
            x = transform(wave, mask)
            if normalize == "utterance":
                x = spectra.standardized(x, mask)
            found[name] = jnp.where(mask[..., None] > 0, x, 0)
            found[f"{name}_mask"] = mask
        return found

    return changed


def _scaled(wave: Array) -> Float[Array, "b n"]:
    """Returns waves as float32; those of integers are scaled to [-1, 1).

    Raises:
      ConfigError: a recording has more than one channel, or is a spectrum.
    """
    if wave.ndim != 2:
        raise ConfigError(f"audio has shape {wave.shape}, expected (b, n): waves of one channel")
    if jnp.issubdtype(wave.dtype, jnp.integer):
        return wave.astype(jnp.float32) / -float(jnp.iinfo(wave.dtype).min)
    return wave.astype(jnp.float32)
