"""Conversion between images and sequences of square patches, row by row."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.layers.checks import nearest_multiples


def check_sides(image: Float[Array, "b h w c"], patch: int) -> None:
    """Checks that the images divide into patches of `patch` pixels a side.

    Raises:
      ValueError: a side of the images is not a multiple of `patch`.
    """
    height, width = image.shape[1:3]
    if height % patch or width % patch:
        raise ValueError(
            f"a {height}x{width} image does not divide into {patch}x{patch} patches; "
            f"nearest: {nearest_multiples(height, width, patch)}"
        )


def patchify(image: Float[Array, "b h w c"], patch: int) -> Float[Array, "b n p"]:
    """Cuts images into patches of `patch` pixels a side, flattened as (row, column, channel)."""
    b, h, w, c = image.shape
    x = image.reshape(b, h // patch, patch, w // patch, patch, c).swapaxes(2, 3)
    return x.reshape(b, -1, patch * patch * c)


def unpatchify(patches: Float[Array, "b n p"], patch: int, height: int) -> Float[Array, "b h w c"]:
    """Undoes `patchify`: joins patches to images of the given height."""
    b, n, p = patches.shape
    rows, channels = height // patch, p // patch**2
    x = patches.reshape(b, rows, n // rows, patch, patch, channels).swapaxes(2, 3)
    return x.reshape(b, height, n // rows * patch, channels)


def take_tokens(tokens: Float[Array, "b n d"], places: Int[Array, "b v"]) -> Float[Array, "b v d"]:
    """Returns the tokens at the given places, in the order of `places`."""
    return jnp.take_along_axis(tokens, places[:, :, None], axis=1)


def unshuffle(
    tokens: Float[Array, "b v d"], order: Int[Array, "b n"], missing: Float[Array, "1 1 d"]
) -> Float[Array, "b n d"]:
    """Puts the tokens at the first v places of the permutation `order`, `missing` at the others."""
    b, v, d = tokens.shape
    fill = jnp.broadcast_to(missing, (b, order.shape[1] - v, d))
    return take_tokens(jnp.concatenate([tokens, fill], axis=1), jnp.argsort(order, axis=1))
