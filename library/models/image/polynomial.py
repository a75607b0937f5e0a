"""A linear classifier of polynomials of its inputs: more terms than examples can overfit them.

The regression of Gergonne 1815, "The application of the method of least squares to the
interpolation of sequences", with several inputs; Bishop 2006, "Pattern recognition and machine
learning", section 1.1, shows how its degree under- and overfits.
"""

import itertools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.variants import variant


def _monomials(x: Float[Array, "b d"], degree: int) -> Float[Array, "b m"]:
    """Returns all products of 1 to `degree` inputs, with repetition, the shorter products first.

    There are (d + degree)! / (d! degree!) - 1.
    """
    inputs = range(x.shape[-1])
    found = [
        jnp.prod(x[:, jnp.array(chosen)], axis=1)
        for length in range(1, degree + 1)
        for chosen in itertools.combinations_with_replacement(inputs, length)
    ]
    return jnp.stack(found, axis=1)


class Polynomial(nn.Module):
    """The layer "head" on the monomials of the flattened input, which it stores as "features".

    Attributes:
      num_classes: number of outputs.
      degree: largest degree of a monomial.

    Raises:
      ConfigError: a size is below 1.
    """

    num_classes: int = 1
    degree: int = 3

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, degree=self.degree)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b *shape d"], train: bool = False
    ) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        x = _monomials(image.reshape(image.shape[0], -1).astype(jnp.float32), self.degree)
        store(self, "features", x)
        return linear_head(x, self.num_classes, kernel_init=nn.initializers.zeros)


polynomial = variant(Polynomial, "polynomial")
