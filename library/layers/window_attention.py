"""Self-attention within windows of a grid of tokens (Liu et al. 2021, arXiv 2103.14030)."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class WindowAttention(nn.Module):
    """Multi-head attention among the tokens of each window, with a learned bias for each offset.

    Zeros on the right and below fill the grid up to whole windows. They take part in the attention,
    as in the authors' code. A shift moves the windows by that many tokens right and down. Windows
    at the far edges wrap around; a mask keeps tokens apart that are not adjacent in the image
    (figure 4). An axis that one window covers is not shifted.

    Submodules are "query", "key", "value" and "out", as in `Attention`. The param "relative_bias"
    ((2 window - 1)^2, heads) is added to the logits by row and column offset (eq. 4).

    Raises:
      ValueError: the number of features is not a multiple of `num_heads`.
    """

    num_heads: int
    window: int
    shift: int = 0
    kernel_init: Any = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        """Returns, for each token, a weighted sum over the tokens of its window."""
        height, width, features = x.shape[1:]
        if features % self.num_heads:
            raise ValueError(f"{features} features cannot be divided among {self.num_heads} heads")
        below, right = -height % self.window, -width % self.window
        x = jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0)))
        rows, columns = x.shape[1:3]
        shifts = tuple(self.shift if side > self.window else 0 for side in (rows, columns))
        x = jnp.roll(x, (-shifts[0], -shifts[1]), axis=(1, 2)) if any(shifts) else x
        x = self._attend(partition(x, self.window), shifts, (rows, columns))
        x = merge(x, self.window, rows)
        x = jnp.roll(x, shifts, axis=(1, 2)) if any(shifts) else x
        return x[:, :height, :width]

    def _attend(
        self, x: Float[Array, "b n t d"], shifts: tuple[int, int], sides: tuple[int, int]
    ) -> Float[Array, "b n t d"]:
        """Returns the result of the attention within each of the n windows."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        common = dict(kernel_init=self.kernel_init, **types)
        split = (self.num_heads, x.shape[-1] // self.num_heads)
        parts = [
            nn.DenseGeneral(split, name=name, **common)(x) for name in ("query", "key", "value")
        ]
        size = ((2 * self.window - 1) ** 2, self.num_heads)
        init = nn.initializers.normal(stddev=0.02)
        table = self.param("relative_bias", init, size, self.param_dtype)
        bias = table[relative_positions(self.window)].transpose(2, 0, 1)[None]
        mask = jnp.asarray(adjacent(*sides, self.window, shifts)) if any(shifts) else None
        attention = functools.partial(jax.nn.dot_product_attention, bias=bias, mask=mask)
        y = jax.vmap(attention)(*parts)
        return nn.DenseGeneral(x.shape[-1], axis=(-2, -1), name="out", **common)(y)


def partition(x: Float[Array, "b h w d"], window: int) -> Float[Array, "b n t d"]:
    """Cuts a grid into windows, row by row, and flattens the tokens of each window."""
    b, h, w, d = x.shape
    x = x.reshape(b, h // window, window, w // window, window, d).swapaxes(2, 3)
    return x.reshape(b, -1, window * window, d)


def merge(windows: Float[Array, "b n t d"], window: int, height: int) -> Float[Array, "b h w d"]:
    """Undoes `partition`: joins windows to a grid of the given height."""
    b, n, _, d = windows.shape
    rows = height // window
    x = windows.reshape(b, rows, n // rows, window, window, d).swapaxes(2, 3)
    return x.reshape(b, height, n // rows * window, d)


def relative_positions(window: int) -> Int[np.ndarray, "t t"]:
    """Returns, for each query and key of a window, their row in the table of biases.

    The row is (dy + window - 1)(2 window - 1) + dx + window - 1. dy and dx are the row and column
    of the query minus those of the key.
    """
    y, x = np.divmod(np.arange(window * window), window)
    dy, dx = (place[:, None] - place + window - 1 for place in (y, x))
    return dy * (2 * window - 1) + dx


def adjacent(
    height: int, width: int, window: int, shifts: tuple[int, int]
) -> Bool[np.ndarray, "n 1 t t"]:
    """Returns, for each window of a shifted grid, which pairs of tokens are in the same region.

    Tokens of one region are neighbours in the image; the shift brings several regions together in
    the windows at the far edges.
    """
    sides = zip((height, width), shifts)
    # The last window holds tokens from the end and, wrapped around, from the start of the axis.
    wrapped = [np.arange(side) >= side - shift for side, shift in sides]
    region = 2 * wrapped[0][:, None] + wrapped[1]
    region = region.reshape(height // window, window, width // window, window).swapaxes(1, 2)
    region = region.reshape(-1, 1, window * window)
    return region[..., :, None] == region[..., None, :]
