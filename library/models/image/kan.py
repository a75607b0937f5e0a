"""KAN: a network whose edges learn functions of one number, and whose units only add.

Liu et al. 2024, "KAN: Kolmogorov-Arnold networks" (arXiv 2404.19756), section 2: an edge computes
w silu(x) + sum_i c_i B_i(x) with B-splines B_i of degree k on a grid of G equal intervals. The
theorem of Kolmogorov 1957 and Arnold 1957 writes a continuous function of n numbers as sums of
functions of one. Here the grid stays as it is: the paper's refinement and pruning are not made.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_sizes
from library.layers.intermediates import store
from library.layers.splines import spline_basis
from library.variants import variant


class KANLayer(nn.Module):
    """Functions of one number on each edge from a unit to a unit of the next layer.

    Params: `kernel` (d, k) of the silu and `spline` (d, k, intervals + degree). The intervals are
    of [-span, span]; beyond them the splines fall to 0, and the silu goes on.

    Attributes:
      width: number of units k.
      intervals: number of equal intervals.
      degree: degree of the splines.
      span: end of the grid.
    """

    width: int
    intervals: int = 5
    degree: int = 3
    span: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b d k"]:
        """Returns the value of each edge; a unit is the sum over the edges that end in it."""
        size, count = x.shape[-1], self.intervals + self.degree
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (size, self.width))
        small = nn.initializers.normal(0.1 / self.intervals)
        spline = self.param("spline", small, (size, self.width, count))
        # `degree` knots lie beyond each end.
        places = jnp.arange(-self.degree, self.intervals + self.degree + 1)
        knots = places * (2 * self.span / self.intervals) - self.span
        basis = spline_basis(x, knots, self.degree)
        return nn.silu(x)[..., None] * kernel + jnp.einsum("bdi,dki->bdk", basis, spline)


class KAN(nn.Module):
    """Layers of functions on edges, on the flattened input.

    Submodules are "layer1", "layer2", ..., and "head". Stores the output of each layer but the last
    as "stage1", "stage2", ..., the input of the head as "features", and the values of the edges of
    each layer as "edges1", "edges2", ....

    Attributes:
      num_classes: number of outputs.
      hidden: width of each hidden layer.
      intervals: intervals of the grid, G in the paper.
      degree: degree of the splines, k in the paper.
      span: the grid is [-span, span], of inputs and of hidden units.

    Raises:
      ConfigError: a size is below 1, or the span is not above 0.
    """

    num_classes: int = 1
    hidden: tuple[int, ...] = (5,)
    intervals: int = 5
    degree: int = 3
    span: float = 1.0

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, hidden=self.hidden)
        check_sizes(intervals=self.intervals, degree=self.degree)
        if not 0 < self.span < float("inf"):
            raise ConfigError(f"span={self.span}: valid are finite numbers above 0")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b *shape d"], train: bool = False
    ) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        x = image.reshape(image.shape[0], -1).astype(jnp.float32)
        grid = dict(intervals=self.intervals, degree=self.degree, span=self.span)
        for number, width in enumerate((*self.hidden, self.num_classes), 1):
            last = number > len(self.hidden)
            if last:
                store(self, "features", x)
            layer = KANLayer(width, name="head" if last else f"layer{number}", **grid)
            values = layer(x)
            store(self, f"edges{number}", values)
            x = jnp.sum(values, axis=1)
            if not last:
                store(self, f"stage{number}", x)
        return x


kan = variant(KAN, "kan")
