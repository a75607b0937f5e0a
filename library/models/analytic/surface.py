"""Surfaces over a plane on which optimizers are compared: their only param is a point.

Rosenbrock 1960, "An automatic method for finding the greatest or least value of a function", has a
narrow curved valley. A saddle has a slope of 0 where nothing is least (Dauphin et al. 2014,
"Identifying and attacking the saddle point problem").
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.variants import variant


def _rosenbrock(x: Array, y: Array) -> Array:
    return jnp.square(1 - x) + 100 * jnp.square(y - jnp.square(x))


def _saddle(x: Array, y: Array) -> Array:
    return jnp.square(x) / 2 + jnp.square(jnp.square(y) - 1) / 4


class Surface(nn.Module):
    """A function of two numbers, and the point that moves on it, the param "point" (2,).

    Attributes:
      function: `(x, y) -> value`, element by element.
      start: where the point starts.
      minima: the points of the least value.
      low: lower left corner of what is drawn.
      high: upper right corner of what is drawn.
    """

    function: Callable[[Array, Array], Array]
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    low: tuple[float, float]
    high: tuple[float, float]

    @nn.compact
    def __call__(self) -> Float[Array, ""]:
        """Returns the value at the point."""
        start = jnp.array(self.start, jnp.float32)
        x, y = self.param("point", lambda key: start)
        return self.function(x, y)


# The minimum 0 is at (1, 1).
rosenbrock = variant(
    Surface,
    "rosenbrock",
    function=_rosenbrock,
    minima=((1.0, 1.0),),
    low=(-2.0, -1.0),
    high=(2.0, 3.0),
    defaults=dict(start=(-1.5, 2.0)),
)

# The minima 0 are at (0, -1) and (0, 1); between them, at (0, 0), the slope is 0.
saddle = variant(
    Surface,
    "saddle",
    function=_saddle,
    minima=((0.0, -1.0), (0.0, 1.0)),
    low=(-2.0, -2.0),
    high=(2.0, 2.0),
    defaults=dict(start=(-1.5, 0.001)),
)
