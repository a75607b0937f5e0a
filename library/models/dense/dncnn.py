"""DnCNN: denoising by a network that computes the noise (Zhang et al. 2017).

"Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", arXiv 1608.03981,
section III: 17 convolutions of 3x3 and 64 channels for one level of noise, 20 for unknown levels
("DnCNN-B"), with batch normalization in all but the first and the last. The 17 layers have 556,096
params for grey images: only the first convolution has a bias beside the normalizations' own.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_sizes
from library.layers.normalization import norm
from library.variants import variant

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class DnCNN(nn.Module):
    """DnCNN: noisy images (b, h, w, c) in [0, 1] -> images (b, h, w, c).

    Submodules are "conv1", "conv2", "norm2", ....

    Attributes:
      channels: channels of the images.
      depth: number of convolutions.
      width: channels of all but the last.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1, or the depth below 2.
    """

    channels: int = 1
    depth: int = 17
    width: int = 64
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(channels=self.channels, width=self.width)
        if self.depth < 2:
            raise ConfigError(f"depth={self.depth}: a DnCNN has two convolutions or more")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w c"]:
        """Returns the image without its noise."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image.astype(self.dtype)
        for number in range(1, self.depth + 1):
            last = number == self.depth
            x = nn.Conv(
                self.channels if last else self.width,
                (3, 3),
                use_bias=number == 1,
                kernel_init=_he_normal,
                name=f"conv{number}",
                **types,
            )(x)
            if 1 < number < self.depth:
                x = norm(x, "batch", name=f"norm{number}", train=train, **types)
            x = x if last else nn.relu(x)
        return image - x.astype("float32")


dncnn = variant(DnCNN, "dncnn")
dncnn_b = variant(DnCNN, "dncnn_b", depth=20)
