"""A fixed convolution that whitens the patches of the images that initialise it.

It is the first layer of Page's and Jordan's fast CIFAR-10 networks (Jordan 2024, arXiv 2404.00498,
section 3.1), in the eigenvector form of tysam-code/hlb-CIFAR10.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class WhiteningConv(nn.Module):
    """Convolution whose filters are scaled eigenvectors of the patches, with both signs.

    `init` computes the param "kernel" (k, k, c, 2 k k c) from its images: give it a real,
    normalized batch. The kernel receives no gradient. Weight decay would still shrink it, so
    exclude it from weight decay. The "bias" is trained as usual.
    """

    kernel_size: int = 2
    epsilon: float = 5e-4
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b hk wk f"]:
        """Returns features (b, h - k + 1, w - k + 1, 2 k k c), without padding."""

        def init(key):
            filters = whitening_filters(image, self.kernel_size, self.epsilon)
            return jnp.concatenate([filters, -filters], axis=-1).astype(self.param_dtype)

        kernel = jax.lax.stop_gradient(self.param("kernel", init)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, kernel.shape[-1:], self.param_dtype)
        y = jax.lax.conv_general_dilated(
            image.astype(self.dtype),
            kernel,
            window_strides=(1, 1),
            padding="VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y + bias.astype(self.dtype)


def whitening_filters(
    image: Float[Array, "b h w c"], kernel_size: int, epsilon: float
) -> Float[Array, "k k c f"]:
    """Computes one filter for each eigenvector of the patches' second moment, largest first.

    A filter is an eigenvector divided by sqrt(eigenvalue + epsilon). The responses of a filter to
    these images have a mean square of eigenvalue / (eigenvalue + epsilon). The responses of any two
    filters are uncorrelated.

    Args:
      image: normalized images; their mean is not subtracted again.
      kernel_size: k, the side of the square patches, which are taken at every position.
      epsilon: limit on the scale of directions in which the data do not vary.
    """
    x = patches(image.astype(jnp.float32), kernel_size).reshape(
        -1, kernel_size**2 * image.shape[-1]
    )
    moment = jnp.matmul(x.T, x, precision="highest") / x.shape[0]
    eigenvalues, eigenvectors = jnp.linalg.eigh(moment)
    filters = (eigenvectors / jnp.sqrt(eigenvalues + epsilon))[:, ::-1]
    return filters.reshape(kernel_size, kernel_size, image.shape[-1], -1)


def patches(image: Float[Array, "b h w c"], kernel_size: int) -> Float[Array, "b hk wk p"]:
    """Cuts out all overlapping square patches, flattened in the order row, column, channel."""
    height, width = (size - kernel_size + 1 for size in image.shape[1:3])
    shifted = [
        image[:, row : row + height, column : column + width]
        for row in range(kernel_size)
        for column in range(kernel_size)
    ]
    return jnp.concatenate(shifted, axis=-1)
