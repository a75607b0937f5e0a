"""SRResNet, and the discriminator of SRGAN (Ledig et al. 2017).

"Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", arXiv
1609.04802, section 2.1 and figure 4. SRResNet, the generator of SRGAN, has 16 residual blocks of 64
channels with batch normalization and PReLU between 9x9 convolutions, and doubles the image by pixel
shuffles: 1,549,462 params at scale 4, with one slope a PReLU. The discriminator has eight 3x3
convolutions of 64 to 512 channels, every other of stride 2, and a dense layer of 1024 units.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_image, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.pixel_shuffle import pixel_shuffle
from library.models.dense.edsr import factors
from library.variants import variant

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
_SMALLEST = 16


class SRResNet(nn.Module):
    """SRResNet: images (b, h, w, c) in [0, 1] -> images (b, scale h, scale w, c).

    Submodules are "head", "head_slope", "block1_conv1", "block1_norm1", "block1_slope", ...,
    "body", "body_norm", "up1", "up1_slope", ... and "tail".

    Attributes:
      scale: how many times larger the sides become, a power of 2 or 3.
      channels: channels of the images.
      depth: number of residual blocks.
      width: channels of the blocks.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1.
    """

    scale: int = 4
    channels: int = 3
    depth: int = 16
    width: int = 64
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(scale=self.scale, channels=self.channels, depth=self.depth, width=self.width)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 c"]:
        """Returns the enlarged image."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = functools.partial(nn.Conv, kernel_init=_he_normal, **types)
        normal = functools.partial(norm, kind="batch", train=train, **types)
        slope = functools.partial(nn.PReLU, negative_slope_init=0.25, param_dtype=self.param_dtype)
        x = conv(self.width, (9, 9), name="head")(image.astype(self.dtype))
        first = x = slope(name="head_slope")(x)
        for number in range(1, self.depth + 1):
            name = f"block{number}"
            inner = conv(self.width, (3, 3), name=f"{name}_conv1")(x)
            inner = slope(name=f"{name}_slope")(normal(inner, name=f"{name}_norm1"))
            inner = conv(self.width, (3, 3), name=f"{name}_conv2")(inner)
            x = x + normal(inner, name=f"{name}_norm2")
        x = conv(self.width, (3, 3), name="body")(x)
        x = first + normal(x, name="body_norm")
        for number, factor in enumerate(factors(self.scale), 1):
            x = conv(self.width * factor**2, (3, 3), name=f"up{number}")(x)
            x = slope(name=f"up{number}_slope")(pixel_shuffle(x, factor))
        x = conv(self.channels, (9, 9), name="tail")(x)
        return (1 + x.astype(jnp.float32)) / 2


class Discriminator(nn.Module):
    """The discriminator: images (b, h, w, c) in [-1, 1] -> scores (b,), higher for true images.

    Submodules are "conv1", "conv2", "norm2", ..., "hidden" and "head". Stores "features" (b, d).
    Its params fit images of one size, so training images are cropped on the host.

    Attributes:
      width: channels of the first two convolutions; each further pair has twice as many.
      hidden: units of the dense layer.
      pairs: number of pairs of convolutions, the second of which halves the image.
      dtype: type of the computation; the score is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1.
    """

    width: int = 64
    hidden: int = 1024
    pairs: int = 4
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(width=self.width, hidden=self.hidden)
        if not 1 <= self.pairs <= 4:
            raise ConfigError(f"pairs={self.pairs}: valid are 1 to 4 pairs of convolutions")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: None = None, train: bool = False
    ) -> Float[Array, " b"]:
        """Returns scores.

        Raises:
          ValueError: the image is smaller than 16x16.
        """
        check_image("the discriminator of SRGAN", image, _SMALLEST)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image.astype(self.dtype)
        for number in range(1, 2 * self.pairs + 1):
            stride = 2 if number % 2 == 0 else 1
            x = nn.Conv(
                self.width * 2 ** ((number - 1) // 2),
                (3, 3),
                (stride, stride),
                kernel_init=_he_normal,
                name=f"conv{number}",
                **types,
            )(x)
            if number > 1:
                x = norm(x, "batch", name=f"norm{number}", train=train, **types)
            x = nn.leaky_relu(x, 0.2)
        x = nn.Dense(self.hidden, kernel_init=_he_normal, name="hidden", **types)(
            x.reshape(len(x), -1)
        )
        x = nn.leaky_relu(x, 0.2)
        store(self, "features", x)
        return linear_head(x, 1, kernel_init=_he_normal, param_dtype=self.param_dtype)[:, 0]


srresnet = variant(SRResNet, "srresnet")
discriminator = variant(Discriminator, "discriminator")
