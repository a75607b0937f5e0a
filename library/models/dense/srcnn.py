"""SRCNN: super-resolution by three convolutions (Dong et al. 2014).

"Image Super-Resolution Using Deep Convolutional Networks", arXiv 1501.00092, section 3: patch
extraction, non-linear mapping and reconstruction, on an image that bicubic interpolation has
enlarged. With kernels of 9, 5 and 5 and widths of 64 and 32 it has 57,281 params for luma; the
paper's 9-1-5 has 8,129 (the paper counts 8,032 weights without biases).

The paper's weights start from N(0, 0.001), its biases at zero. From there SGD needs 10^8 steps.
Here kernels start from He et al. 2015, so that Adam learns in thousands of steps. Convolutions are
padded with zeros, so that the result is as large as the image.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library import bicubic
from library.config import ConfigError
from library.layers.checks import check_dtypes, check_sizes
from library.variants import variant

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class SRCNN(nn.Module):
    """SRCNN: images (b, h, w, c) in [0, 1] -> images (b, scale h, scale w, c).

    Submodules are "conv1", "conv2" and "conv3".

    Attributes:
      scale: how many times larger the sides become; 1 repairs an image of the full size.
      channels: channels of the images, 1 for luma.
      widths: channels of the first two convolutions.
      kernels: sides of the three kernels.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1, or a kernel has an even side.
    """

    scale: int = 3
    channels: int = 1
    widths: tuple[int, int] = (64, 32)
    kernels: tuple[int, int, int] = (9, 5, 5)
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(scale=self.scale, channels=self.channels, widths=self.widths)
        if any(side < 1 or side % 2 == 0 for side in self.kernels):
            raise ConfigError(f"kernels={self.kernels}: valid are odd sides, such as (9, 5, 5)")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 c"]:
        """Returns the enlarged image."""
        size = tuple(self.scale * side for side in image.shape[1:3])
        x = bicubic.resized(image, size).astype(self.dtype)
        widths = (*self.widths, self.channels)
        for number, (width, side) in enumerate(zip(widths, self.kernels), 1):
            x = nn.Conv(
                width,
                (side, side),
                kernel_init=_he_normal,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"conv{number}",
            )(x)
            x = nn.relu(x) if number < 3 else x
        return x.astype("float32")


srcnn = variant(SRCNN, "srcnn")
srcnn_915 = variant(SRCNN, "srcnn_915", kernels=(9, 1, 5))
