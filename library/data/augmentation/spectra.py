"""Augmentation of spectra over time, (b, t, bands), as operations of `device_preprocess` make."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from library.config import ConfigError
from library.data import features
from library.data.augmentation._operations import Batch, Operation, check_within
from library.data.features import Kinds


def spec_augment(
    time_masks: int = 2,
    time_width: int = 20,
    time_share: float = 1.0,
    band_masks: int = 2,
    band_width: int = 8,
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Sets random frames and random bands of spectra to 0 (Park et al. 2019, arXiv 1904.08779).

    A mask of frames has a width drawn uniformly from 0 to `time_width`, and to `time_share` of the
    recording, and lies anywhere within the recording. Padding does not count. A mask of bands is
    drawn alike. 0 is the mean of normalized spectra. The paper also warps time, which adds least in
    its own figures and is left out.

    Args:
      time_masks: number of masks of frames.
      time_width: most frames of a mask.
      time_share: most frames of a mask, as a fraction of the recording.
      band_masks: number of masks of bands.
      band_width: most bands of a mask.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a number is out of range, or (when traced) audio is no spectrum or has fewer
        bands than `band_width`.
    """
    numbers = dict(time_masks=time_masks, time_width=time_width)
    numbers |= dict(band_masks=band_masks, band_width=band_width)
    for name, value in numbers.items():
        check_within(f"spec_augment, {name}", value, 0)
    check_within("spec_augment, time_share", time_share, 0, 1)
    names = features.named(kinds, "audio")

    def change(
        x: Float[Array, "t d"], count: Float[Array, ""], key: PRNGKeyArray
    ) -> Float[Array, "t d"]:
        k_time, k_band = jax.random.split(key)
        most = jnp.minimum(time_width, jnp.floor(time_share * count))
        frames = _masked(k_time, x.shape[0], count, most, time_masks)
        bands = _masked(k_band, x.shape[1], jnp.float32(x.shape[1]), band_width, band_masks)
        return jnp.where(frames[:, None] | bands[None], 0, x)

    def op(batch: Batch, keys: Array) -> Batch:
        found = {}
        for name in (name for name in names if name in batch):
            x = batch[name]
            if x.ndim != 3 or x.shape[2] < band_width:
                raise ConfigError(
                    f"spec_augment takes spectra (b, t, {max(band_width, 1)} or more bands), but "
                    f"{name} is {x.shape}: name log_mel or mfcc in device_preprocess"
                )
            mask = batch.get(f"{name}_mask", jnp.ones(x.shape[:2]))
            found[name] = jax.vmap(change)(x, jnp.sum(mask, axis=1), keys)
        return {**batch, **found}

    return op


def _masked(
    key: PRNGKeyArray, size: int, count: Array, most: Array | int, masks: int
) -> Bool[Array, " n"]:
    """Marks the places of `masks` random stretches within the first `count` of `size` places."""
    uniform = jax.random.uniform(key, (2, masks))
    width = jnp.floor(uniform[0] * (most + 1))
    start = jnp.floor(uniform[1] * (count - width + 1))
    place = jnp.arange(size)[:, None]
    return jnp.any((start <= place) & (place < start + width), axis=1)
