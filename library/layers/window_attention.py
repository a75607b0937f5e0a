"""Self-attention within windows of a grid of tokens (Liu et al. 2021, arXiv 2103.14030)."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class WindowAttention(nn.Module):
    """Multi-head attention among the tokens of each window, and a learned bias by their offset.

    The grid is filled up with zeros, right and below, to whole windows; these take part, as in the
    authors' code. With a shift the windows lie that many tokens further right and down, and those
    at the far edges, which wrap around, are divided into what is adjacent in the image (figure 4).
    An axis that one window covers is not shifted.

    Submodules "query", "key", "value" and "out" as in `Attention`; the param "relative_bias"
    ((2 window - 1)^2, heads) is added to the logits by row and column offset (eq. 4).

    Raises:
      ValueError: the features cannot be divided among the heads.
    """

    num_heads: int
    window: int
    shift: int = 0
    kernel_init: Any = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        """Returns each token's mix of the tokens of its window."""
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
        """Attends within each of n windows."""
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
    """Cuts a grid into windows, row by row, and the tokens of each into a row."""
    b, h, w, d = x.shape
    x = x.reshape(b, h // window, window, w // window, window, d).swapaxes(2, 3)
    return x.reshape(b, -1, window * window, d)


def merge(windows: Float[Array, "b n t d"], window: int, height: int) -> Float[Array, "b h w d"]:
    """Puts windows as `partition` cuts them together to a grid of this height."""
    b, n, _, d = windows.shape
    rows = height // window
    x = windows.reshape(b, rows, n // rows, window, window, d).swapaxes(2, 3)
    return x.reshape(b, height, n // rows * window, d)


def relative_positions(window: int) -> Int[np.ndarray, "t t"]:
    """Returns the row of the table of biases for each query and key of a window.

    It is (dy + window - 1)(2 window - 1) + dx + window - 1, with the query's row and column less
    the key's for dy and dx.
    """
    y, x = np.divmod(np.arange(window * window), window)
    dy, dx = (place[:, None] - place + window - 1 for place in (y, x))
    return dy * (2 * window - 1) + dx


def adjacent(
    height: int, width: int, window: int, shifts: tuple[int, int]
) -> Bool[np.ndarray, "n 1 t t"]:
    """Returns for each window of a shifted grid which of its tokens are adjacent in the image."""
    sides = zip((height, width), shifts)
    # The last of the windows holds what was before the shift at its end and at its beginning.
    wrapped = [np.arange(side) >= side - shift for side, shift in sides]
    region = 2 * wrapped[0][:, None] + wrapped[1]
    region = region.reshape(height // window, window, width // window, window).swapaxes(1, 2)
    region = region.reshape(-1, 1, window * window)
    return region[..., :, None] == region[..., None, :]
