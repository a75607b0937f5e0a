"""Reading of sound files, and changes of their sample rate."""

import io
import math
import wave

import numpy as np
from jaxtyping import Float

# What the standard library reads, and what soundfile reads in addition.
SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif", ".mp3")
EXTRA = "pip install 'compendium[audio]' installs soundfile, which reads it"


def read(data: bytes) -> tuple[Float[np.ndarray, "t c"], int]:
    """Reads a sound file.

    WAV files of 8, 16, 24 or 32 bits need no package. Others, such as FLAC, need soundfile.

    Args:
      data: the contents of the file.

    Returns:
      The samples in [-1, 1], float32, one column a channel, and the rate in Hz.

    Raises:
      ValueError: the file is damaged, empty or of an unknown format, or soundfile is missing.
    """
    try:
        return _wav(data)
    except (wave.Error, EOFError) as error:
        return _by_soundfile(data, error)


def _wav(data: bytes) -> tuple[Float[np.ndarray, "t c"], int]:
    with wave.open(io.BytesIO(data)) as file:
        rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        stated, held = file.getnframes(), file.readframes(file.getnframes())
    if len(held) != stated * channels * width:
        raise ValueError(f"the file ends early: it holds {len(held)} bytes of {stated} samples")
    if not stated:
        raise ValueError("the file has no samples")
    if width == 1:
        samples = np.frombuffer(held, np.uint8).astype(np.float32) / 128 - 1
    else:
        # The bytes become the upper ones of 32-bit integers.
        whole = np.zeros((stated * channels, 4), np.uint8)
        whole[:, 4 - width :] = np.frombuffer(held, np.uint8).reshape(-1, width)
        samples = (whole.view("<i4")[:, 0] / 2**31).astype(np.float32)
    return samples.reshape(stated, channels), rate


def _by_soundfile(data: bytes, error: Exception) -> tuple[Float[np.ndarray, "t c"], int]:
    try:
        import soundfile
    except ImportError:
        raise ValueError(f"it is no WAV of integers ({error}): {EXTRA}") from error
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (RuntimeError, TypeError) as failure:
        raise ValueError(f"soundfile cannot read it: {failure}") from failure
    if not len(samples):
        raise ValueError("the file has no samples")
    return samples, rate


def resampled(samples: Float[np.ndarray, " t"], rate: int, wanted: int) -> Float[np.ndarray, " n"]:
    """Returns samples at another rate, filtered so that no frequency folds back, float32.

    The ratio of the rates is reduced, and the signal goes through a polyphase filter
    (`scipy.signal.resample_poly`). There are ceil(t wanted / rate) samples.
    """
    common = math.gcd(rate, wanted)
    if rate == wanted:
        return samples.astype(np.float32)
    # Its import takes half a second, and every program imports this module.
    from scipy import signal

    found = signal.resample_poly(samples, wanted // common, rate // common)
    return found.astype(np.float32)
