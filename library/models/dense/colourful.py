"""The network of "Colorful Image Colorization" (Zhang, Isola & Efros 2016).

arXiv 1603.08511, figure 2 and table 4: eight blocks of 3x3 convolutions, each of which ends with
batch normalization. Three blocks halve the image at their last convolution, two are dilated by 2,
and the eighth doubles it by a 4x4 deconvolution. The logits are a quarter of the image's size: 313
bins of colour, see `library.colour_bins`. With the width of the paper, 64, it has 32.2 million
params.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_multiples, check_sizes
from library.layers.normalization import norm
from library.variants import variant

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# Convolutions, channels in units of the width, the stride of the last, and the dilation.
_BLOCKS = (
    *((2, 1, 2, 1), (2, 2, 2, 1), (3, 4, 2, 1), (3, 8, 1, 1)),
    *((3, 8, 1, 2), (3, 8, 1, 2), (3, 8, 1, 1)),
)


class Colourful(nn.Module):
    """Lightness (b, h, w, 1) -> logits (b, h / 4, w / 4, num_classes).

    Submodules are "block1_conv1", ..., "block1_norm", ..., "up", "block8_conv1", ... and "head".

    Attributes:
      num_classes: channels of the result: 313 bins, or 2 to predict a and b.
      width: channels of the first block.
      dtype: type of the computation; the logits are float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1.
    """

    num_classes: int = 313
    width: int = 64
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, width=self.width)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], train: bool = False
    ) -> Float[Array, "b h2 w2 k"]:
        """Returns the logits.

        Raises:
          ValueError: a side of the image is no multiple of 8.
        """
        check_multiples("the network of colours", image, 8)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = functools.partial(nn.Conv, kernel_init=_he_normal, **types)
        x = image.astype(self.dtype)
        for block, (count, times, stride, dilation) in enumerate(_BLOCKS, 1):
            for number in range(1, count + 1):
                step = stride if number == count else 1
                layer = conv(
                    times * self.width,
                    (3, 3),
                    (step, step),
                    padding=dilation,
                    kernel_dilation=dilation,
                    name=f"block{block}_conv{number}",
                )
                x = nn.relu(layer(x))
            x = norm(x, "batch", name=f"block{block}_norm", train=train, **types)
        up = nn.ConvTranspose(
            4 * self.width, (4, 4), (2, 2), kernel_init=_he_normal, name="up", **types
        )
        x = nn.relu(up(x))
        for number in (1, 2):
            x = nn.relu(conv(4 * self.width, (3, 3), name=f"block8_conv{number}")(x))
        return conv(self.num_classes, (1, 1), name="head")(x).astype(jnp.float32)


colourful = variant(Colourful, "colourful")
