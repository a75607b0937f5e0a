"""VDSR: super-resolution by a very deep network that adds what is missing (Kim et al. 2016).

"Accurate Image Super-Resolution Using Very Deep Convolutional Networks", arXiv 1511.04587, section
3: twenty convolutions of 3x3 and 64 channels on an image that bicubic interpolation has enlarged.
The network computes the difference to the true image. One network serves several scales, because
its input has the full size already. It has 665,921 params for luma.

The paper trains with a high rate and clips each gradient to [-c / rate, c / rate].
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library import bicubic
from library.layers.checks import check_dtypes, check_sizes
from library.variants import variant

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class VDSR(nn.Module):
    """VDSR: images (b, h, w, c) in [0, 1] -> images (b, scale h, scale w, c).

    Submodules are "conv1", "conv2", ....

    Attributes:
      scale: how many times larger the sides become.
      channels: channels of the images, 1 for luma.
      depth: number of convolutions.
      width: channels of all but the last.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1.
    """

    scale: int = 3
    channels: int = 1
    depth: int = 20
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
        enlarged = bicubic.resized(image, tuple(self.scale * side for side in image.shape[1:3]))
        x = enlarged.astype(self.dtype)
        for number in range(1, self.depth + 1):
            last = number == self.depth
            x = nn.Conv(
                self.channels if last else self.width,
                (3, 3),
                kernel_init=_he_normal,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"conv{number}",
            )(x)
            x = x if last else nn.relu(x)
        return enlarged + x.astype("float32")


vdsr = variant(VDSR, "vdsr")
