"""Max pooling that remembers where its maxima were, and the unpooling that puts them back there.

Zeiler et al. 2011, "Adaptive deconvolutional networks", call the places switches. DeconvNet, SegNet
and ENet enlarge their features so.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def max_pool_with_switches(
    x: Float[Array, "b h w c"], size: int = 2
) -> tuple[Float[Array, "b _ _ c"], Int[Array, "b _ _ c"]]:
    """Takes the maximum over square windows side by side, and remembers where it was.

    The last windows may reach beyond the edge, as in Caffe, so images may have any size.

    Args:
      x: features.
      size: side of a window.

    Returns:
      The maxima, and the place of each in its window, row by row, 0 to size² - 1, int8. Of equal
      values the first is taken, and it alone has a gradient.
    """
    windows = _windows(x, size, -jnp.inf)
    place = jnp.argmax(windows, axis=-1)
    chosen = place[..., None] == jnp.arange(size**2)
    # `where`, and no product: the padding is not finite.
    return jnp.sum(jnp.where(chosen, windows, 0), axis=-1), place.astype(jnp.int8)


def max_unpool(
    x: Float[Array, "b h w c"],
    switches: Int[Array, "b h w c"],
    shape: tuple[int, int],
    size: int = 2,
) -> Float[Array, "b _ _ c"]:
    """Puts each value at its place in its window; all other places are 0.

    Args:
      x: features.
      switches: the places, see `max_pool_with_switches`.
      shape: height and width of the result, those of the features before the pooling.
      size: side of a window.
    """
    batch, height, width, channels = x.shape
    # A product, and no `where`: which place is not 0 depends on `x`, and `tiling.reach` sees that
    # by NaN.
    chosen = (switches[..., None] == jnp.arange(size**2)).astype(x.dtype)
    windows = (x[..., None] * chosen).reshape(batch, height, width, channels, size, size)
    spread = windows.transpose(0, 1, 4, 2, 5, 3)
    whole = spread.reshape(batch, height * size, width * size, channels)
    return whole[:, : shape[0], : shape[1]]


def _windows(x: Float[Array, "b h w c"], size: int, fill: float) -> Float[Array, "b _ _ c n"]:
    """Returns the values of each window in the last axis, row by row."""
    rest = [(0, -side % size) for side in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *rest, (0, 0)), constant_values=fill)
    batch, height, width, channels = x.shape
    split = x.reshape(batch, height // size, size, width // size, size, channels)
    joined = split.transpose(0, 1, 3, 5, 2, 4)
    return joined.reshape(batch, height // size, width // size, channels, size**2)
