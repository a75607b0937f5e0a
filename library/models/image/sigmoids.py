"""Superpositions of sigmoids: a hidden layer whose steps lie where the inputs are.

Cybenko 1989, "Approximation by superpositions of a sigmoidal function": sums of
a_j sigmoid(w_j . (x - c_j)) come as near as one likes to a continuous function on a cube.
"""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.variants import variant


class Sigmoids(nn.Module):
    """A layer of sigmoids of the flattened input, further ones of its values, and a linear head.

    The first layer has the params `kernel` (d, k), the slopes, and `center` (k, d), the places of
    the steps, which start at random in [-1, 1]^d. Submodules are "hidden2", ... and "head". Stores
    "stage1", ... and the input of the head as "features".

    Attributes:
      num_classes: number of outputs.
      hidden: width of each hidden layer.
      slope: standard deviation of the first layer's slopes at the start.

    Raises:
      ConfigError: a size is below 1, there is no hidden layer, or the slope is not above 0.
    """

    num_classes: int = 1
    hidden: tuple[int, ...] = (64,)
    slope: float = 8.0

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, hidden=self.hidden)
        if not self.hidden or not 0 < self.slope < float("inf"):
            raise ConfigError(
                f"hidden={self.hidden}, slope={self.slope}: valid are one layer or more, and "
                "finite slopes above 0"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b *shape d"], train: bool = False
    ) -> Float[Array, "b k"]:
        """Returns the outputs, float32."""
        x = image.reshape(image.shape[0], -1)
        width, size = self.hidden[0], x.shape[-1]
        kernel = self.param("kernel", nn.initializers.normal(self.slope), (size, width))
        center = self.param("center", _within, (width, size))
        x = nn.sigmoid(x @ kernel - (kernel.T * center).sum(axis=1))
        store(self, "stage1", x)
        init = nn.initializers.variance_scaling(4.0, "fan_in", "normal")
        for layer, width in enumerate(self.hidden[1:], 2):
            x = nn.sigmoid(nn.Dense(width, kernel_init=init, name=f"hidden{layer}")(x))
            store(self, f"stage{layer}", x)
        store(self, "features", x)
        return linear_head(x, self.num_classes, kernel_init=nn.initializers.lecun_normal())


def _within(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


sigmoids = variant(Sigmoids, "sigmoids")
