"""Series of different lengths in one array: what a mask leaves out, and what stays."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError
from library.finite import nan_unless


def as_series(
    x: Float[Array, "b *t d"] | Int[Array, "b t"], vocab_size: int | None, dtype: Any
) -> Float[Array, "b t d"]:
    """Returns a series of numbers; integers become one-hot vectors, a vector a series of one step.

    An integer outside 0 to vocab_size - 1 becomes NaN.

    Args:
      x: numbers (b, t, d) or (b, d), or integers (b, t).
      vocab_size: the number of different integers; None for numbers.
      dtype: type of the result.

    Raises:
      ConfigError: integers come without `vocab_size`, or numbers with it.
    """
    integers = jnp.issubdtype(x.dtype, jnp.integer)
    if integers != (vocab_size is not None):
        what = f"{x.dtype} {x.shape}"
        raise ConfigError(
            f"vocab_size={vocab_size}, and the input is {what}: "
            + ("state the number of different integers" if integers else "nearest: vocab_size=None")
        )
    if integers:
        known = (x >= 0) & (x < vocab_size)
        return nan_unless(known[..., None], jax.nn.one_hot(x, vocab_size, dtype=dtype))
    return (x[:, None] if x.ndim == 2 else x).astype(dtype)


def present(x: Float[Array, "b t d"], mask: Float[Array, "b t"] | None) -> Float[Array, "b t d"]:
    """Returns a series with zeros where the mask is 0, whatever stands there, such as NaN."""
    return x if mask is None else jnp.where(mask[..., None] > 0, x, jnp.zeros((), x.dtype))


def mean_step(x: Float[Array, "b t d"], mask: Float[Array, "b t"] | None) -> Float[Array, "b d"]:
    """Returns the mean over the steps whose mask is 1, and 0 for a row without any."""
    if mask is None:
        return jnp.mean(x, axis=1)
    count = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    return jnp.sum(present(x, mask), axis=1) / count


def last_step(x: Float[Array, "b t d"], mask: Float[Array, "b t"] | None) -> Float[Array, "b d"]:
    """Returns the last step whose mask is 1, and the first for a row without any."""
    if mask is None:
        return x[:, -1]
    number = jnp.arange(x.shape[1])
    last = jnp.max(jnp.where(mask > 0, number, 0), axis=1)
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]


def segment_means(
    x: Float[Array, "b t d"], mask: Float[Array, "b t"], segments: int
) -> Float[Array, "b s d"]:
    """Returns the means of `segments` parts of the data, of equal length to a frame.

    Frame i of n belongs to part floor(i segments / n). A part without frames is 0.
    """
    count = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(jnp.int32)
    part = jnp.arange(x.shape[1]) * segments // count[:, None]
    member = (part[:, None] == jnp.arange(segments)[:, None]) & (mask > 0)[:, None]
    member = member.astype(jnp.float32)
    total = jnp.einsum("bst,btd->bsd", member, present(x, mask), precision="highest")
    return total / jnp.maximum(member.sum(-1), 1)[..., None]


def pooled_statistics(x: Float[Array, "b t d"], mask: Float[Array, "b t"]) -> Float[Array, "b e"]:
    """Returns the mean and the standard deviation of each number over the frames, e = 2 d."""
    mean = mean_step(x, mask)
    centred = present(x - mean[:, None], mask)
    # The square root has no gradient at 0, the deviation of a constant.
    deviation = jnp.sqrt(mean_step(jnp.square(centred), mask) + 1e-6)
    return jnp.concatenate([mean, deviation], axis=-1)
