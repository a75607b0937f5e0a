"""The mu-law: samples as a few levels, finer near zero (ITU-T G.711; van den Oord et al. 2016)."""

import numpy as np
from jaxtyping import Float, Int


def to_levels(wave: Float[np.ndarray, " t"], levels: int = 256) -> Int[np.ndarray, " t"]:
    """Returns the level, 0 to `levels` - 1, of samples in [-1, 1]; others are clipped."""
    mu, wave = levels - 1, np.clip(np.asarray(wave, np.float64), -1, 1)
    squeezed = np.sign(wave) * np.log1p(mu * np.abs(wave)) / np.log1p(mu)
    return np.floor((squeezed + 1) / 2 * mu + 0.5).astype(np.int32)


def from_levels(level: Int[np.ndarray, " t"], levels: int = 256) -> Float[np.ndarray, " t"]:
    """Returns the sample in [-1, 1] of each level, float32."""
    mu = levels - 1
    squeezed = 2 * np.asarray(level, np.float64) / mu - 1
    return (np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log1p(mu)) / mu).astype(np.float32)
