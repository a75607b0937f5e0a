"""ESPCN: super-resolution at the speed of the small image (Shi et al. 2016).

"Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network", arXiv 1609.05158, section 3: three convolutions on the small image, the last with scale^2
channels for each channel of the image, which become pixels. Three layers are (5, 64), (3, 32), (3,
scale^2). At scale 3 it has 22,729 params for luma. The hidden layers are tanh (section 3.2.3).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.pixel_shuffle import pixel_shuffle
from library.variants import variant

_ACTIVATIONS = {"tanh": jnp.tanh, "relu": nn.relu}


class ESPCN(nn.Module):
    """ESPCN: images (b, h, w, c) in [0, 1] -> images (b, scale h, scale w, c).

    Submodules are "conv1", "conv2" and "conv3".

    Attributes:
      scale: how many times larger the sides become.
      channels: channels of the images, 1 for luma.
      widths: channels of the first two convolutions.
      activation: "tanh" as in the paper, or "relu".
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1, or the activation is unknown.
    """

    scale: int = 3
    channels: int = 1
    widths: tuple[int, int] = (64, 32)
    activation: str = "tanh"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(scale=self.scale, channels=self.channels, widths=self.widths)
        check_choice("activation", self.activation, _ACTIVATIONS)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 c"]:
        """Returns the enlarged image."""
        x = image.astype(self.dtype)
        layers = zip((*self.widths, self.channels * self.scale**2), (5, 3, 3))
        for number, (width, side) in enumerate(layers, 1):
            types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            x = nn.Conv(width, (side, side), name=f"conv{number}", **types)(x)
            x = _ACTIVATIONS[self.activation](x) if number < 3 else x
        return pixel_shuffle(x, self.scale).astype(jnp.float32)


espcn = variant(ESPCN, "espcn")
