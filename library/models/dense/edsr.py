"""EDSR: super-resolution by residual blocks without normalization (Lim et al. 2017).

"Enhanced Deep Residual Networks for Single Image Super-Resolution", arXiv 1707.02921, section 3 and
table 1. The baseline has 16 blocks of 64 channels: 1,369,859, 1,554,499 and 1,517,571 params at
scales 2, 3 and 4. EDSR has 32 blocks of 256 channels, and scales each block by 0.1: 40.7 million at
scale 2. A scale of 4 doubles twice.

The network subtracts the mean colour of its training images, here that of DIV2K as the authors have
it, and adds it at the end.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library import bicubic
from library.config import check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.pixel_shuffle import pixel_shuffle
from library.variants import variant

_MEAN = (0.4488, 0.4371, 0.4040)
# PyTorch's initial weights: uniform in 1 / sqrt(fan_in).
_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class EDSR(nn.Module):
    """EDSR: images (b, h, w, c) in [0, 1] -> images (b, scale h, scale w, c).

    Submodules are "head", "block1_conv1", ..., "body", "up1", ... and "tail".

    Attributes:
      scale: how many times larger the sides become.
      channels: channels of the images, 3 for colour or 1 for luma.
      depth: number of residual blocks.
      width: channels of the blocks.
      residual_scale: factor of each block.
      skip: "none" as in the paper, or "bicubic": the network computes the difference to bicubic
        interpolation, which a short training learns sooner.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1, or the skip is unknown.
    """

    scale: int = 2
    channels: int = 3
    depth: int = 16
    width: int = 64
    residual_scale: float = 1.0
    skip: str = "none"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(scale=self.scale, channels=self.channels, depth=self.depth, width=self.width)
        check_choice("skip", self.skip, ("none", "bicubic"))
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 c"]:
        """Returns the enlarged image."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = functools.partial(nn.Conv, kernel_size=(3, 3), kernel_init=_uniform, **types)
        mean = jnp.asarray(_MEAN if self.channels == 3 else sum(_MEAN) / 3, jnp.float32)
        first = x = conv(self.width, name="head")((image - mean).astype(self.dtype))
        for number in range(1, self.depth + 1):
            inner = nn.relu(conv(self.width, name=f"block{number}_conv1")(x))
            inner = conv(self.width, name=f"block{number}_conv2")(inner)
            x = x + self.residual_scale * inner
        x = first + conv(self.width, name="body")(x)
        for number, factor in enumerate(factors(self.scale), 1):
            x = pixel_shuffle(conv(self.width * factor**2, name=f"up{number}")(x), factor)
        x = conv(self.channels, name="tail")(x).astype(jnp.float32)
        if self.skip == "bicubic":
            return x + bicubic.resized(image, x.shape[1:3])
        return x + mean


edsr = variant(EDSR, "edsr", depth=32, width=256, residual_scale=0.1)
edsr_baseline = variant(EDSR, "edsr_baseline", depth=16, width=64)
edsr_small = variant(EDSR, "edsr_small", defaults=dict(depth=8, width=32, skip="bicubic"))


def factors(scale: int) -> tuple[int, ...]:
    """Returns the factors of the pixel shuffles that make a scale: (2, 2) for 4, (3,) for 3."""
    found = ()
    while scale % 2 == 0:
        found, scale = (*found, 2), scale // 2
    return (*found, scale) if scale > 1 else found
