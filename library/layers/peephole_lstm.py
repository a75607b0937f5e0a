"""A bidirectional layer of LSTM blocks with peepholes, for sequences of different lengths.

Peepholes are from Gers, Schraudolph & Schmidhuber 2002, "Learning precise timing with LSTM
recurrent networks". Two directions are from Schuster & Paliwal 1997, "Bidirectional recurrent
neural networks".
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class PeepholeLSTM(nn.Module):
    """A layer of LSTM blocks in one direction, whose gates see the cell.

        i, f = sigmoid(W x + U h + b + p c),  g = tanh(W x + U h + b),  c' = f c + i g
        o = sigmoid(W x + U h + b + p c'),  h' = o tanh(c')

    The submodule "input" has W (d, 4 w) and b, for i, f, g and o; the params are "recurrent", U
    (w, 4 w), and "peepholes", p (3, w), for i, f and o.

    Attributes:
      width: number of blocks w.
      backward: whether the layer reads from the last frame of the data to the first.
      kernel_init: initializer of W, U and p.
      param_dtype: type of the params.
    """

    width: int
    backward: bool = False
    kernel_init: Callable = nn.initializers.lecun_normal()
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], mask: Float[Array, "b t"]
    ) -> Float[Array, "b t w"]:
        """Returns h of each frame; 0 in the padding, which does not move the state."""
        init, dtype = self.kernel_init, self.param_dtype
        dense = nn.Dense(4 * self.width, kernel_init=init, param_dtype=dtype, name="input")
        kernel = self.param("recurrent", init, (self.width, 4 * self.width), dtype)
        peepholes = self.param("peepholes", init, (3, self.width), dtype)

        def step(state: tuple[Array, Array], frame: tuple[Array, Array]) -> tuple[Any, Array]:
            (c, h), (gates, there) = state, frame
            i, f, g, o = jnp.split(gates + h @ kernel, 4, axis=-1)
            i, f = nn.sigmoid(i + peepholes[0] * c), nn.sigmoid(f + peepholes[1] * c)
            cell = f * c + i * jnp.tanh(g)
            out = nn.sigmoid(o + peepholes[2] * cell) * jnp.tanh(cell)
            moved = jnp.where(there, cell, c), jnp.where(there, out, h)
            return moved, jnp.where(there, out, 0)

        gates, there = dense(x).swapaxes(0, 1), mask.T[..., None] > 0
        zero = jnp.zeros((len(x), self.width), gates.dtype)
        _, out = jax.lax.scan(step, (zero, zero), (gates, there), reverse=self.backward)
        return out.swapaxes(0, 1)


class BidirectionalLSTM(nn.Module):
    """Two layers of `PeepholeLSTM`, "forward" and "backward", whose outputs are concatenated."""

    width: int
    kernel_init: Callable = nn.initializers.lecun_normal()
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], mask: Float[Array, "b t"]
    ) -> Float[Array, "b t e"]:
        """Returns e = 2 w numbers for each frame; 0 in the padding."""
        options = dict(kernel_init=self.kernel_init, param_dtype=self.param_dtype)
        ahead = PeepholeLSTM(self.width, name="forward", **options)(x, mask)
        back = PeepholeLSTM(self.width, backward=True, name="backward", **options)(x, mask)
        return jnp.concatenate([ahead, back], axis=-1)


def uniform(scale: float) -> Callable[[PRNGKeyArray, tuple[int, ...], Any], Array]:
    """Returns an initializer that draws uniformly from -scale to scale."""

    def init(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -scale, scale)

    return init
