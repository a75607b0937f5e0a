"""Context encoder: inpainting by an encoder that sees the surroundings (Pathak et al. 2016).

"Context Encoders: Feature Learning by Inpainting", arXiv 1604.07379, section 3.1: strided 4x4
convolutions with leaky relus reduce the image to 4x4 features. A channel-wise dense layer connects
all places within each channel, and a 1x1 convolution the channels. Transposed 4x4 convolutions
enlarge the result. Here the network makes the whole image, of which a task takes the lost part; the
paper's, for a hole in the centre, makes the hole alone.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

_normal = nn.initializers.normal(0.02)
# Side of the features between encoder and decoder, and the most channels in units of the width.
_GRID, _MOST = 4, 8


class ContextEncoder(nn.Module):
    """Images with a hole (b, h, w, c) in [0, 1] -> whole images (b, h, w, c).

    Submodules are "down1", ..., "norm_down2", ..., "channelwise", "across", "up1", ..., "norm_up1",
    .... Stores "features" (b, d), the features between encoder and decoder. Its params fit images
    of one size.

    Attributes:
      channels: channels of the images.
      width: channels of the first convolution; the next have up to eight times as many.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1.
    """

    channels: int = 3
    width: int = 64
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(channels=self.channels, width=self.width)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w c"]:
        """Returns the whole image.

        Raises:
          ConfigError: the image is no square whose side is 4 times a power of 2, from 8.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        widths = [self.width * min(2**level, _MOST) for level in range(halvings(image))]
        down = functools.partial(nn.Conv, strides=(2, 2), kernel_init=_normal, **types)
        up = functools.partial(nn.ConvTranspose, strides=(2, 2), kernel_init=_normal, **types)
        x = (2 * image - 1).astype(self.dtype)
        for level, width in enumerate(widths, 1):
            x = down(width, (4, 4), name=f"down{level}")(x)
            if level > 1:
                x = norm(x, "batch", name=f"norm_down{level}", train=train, **types)
            x = nn.leaky_relu(x, 0.2)
        store(self, "features", x.reshape(len(x), -1))
        x = ChannelWise(**types, name="channelwise")(x)
        x = nn.relu(nn.Conv(widths[-1], (1, 1), kernel_init=_normal, name="across", **types)(x))
        for level, width in enumerate([*widths[-2::-1], self.channels], 1):
            x = up(width, (4, 4), name=f"up{level}")(x)
            if level < len(widths):
                x = nn.relu(norm(x, "batch", name=f"norm_up{level}", train=train, **types))
        return jax.nn.sigmoid(x.astype(jnp.float32))


class ChannelWise(nn.Module):
    """A dense layer within each channel: (b, h, w, c) -> (b, h, w, c), h^2 w^2 c weights.

    Attributes:
      dtype: type of the computation.
      param_dtype: type of the params.
    """

    dtype: str = "float32"
    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns the features."""
        places, channels = x.shape[1] * x.shape[2], x.shape[3]
        shape = (places, places, channels)
        deviation = nn.initializers.normal(places**-0.5)
        kernel = self.param("kernel", deviation, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (places, channels), self.param_dtype)
        flat = x.reshape(len(x), places, channels)
        made = jnp.einsum("bpc,pqc->bqc", flat, kernel.astype(self.dtype))
        return (made + bias.astype(self.dtype)).reshape(x.shape)


context_encoder = variant(ContextEncoder, "context_encoder")


def halvings(image: Float[Array, "b h w c"]) -> int:
    """Returns how often an image is halved to 4x4.

    Raises:
      ConfigError: it cannot be.
    """
    height, width = image.shape[1:3]
    found, side = 0, height
    while side > _GRID and side % 2 == 0:
        found, side = found + 1, side // 2
    if height != width or side != _GRID or not found:
        near = min((8, 16, 32, 64, 128, 256, 512), key=lambda s: abs(s - max(height, width)))
        raise ConfigError(
            f"a context encoder takes squares of 8, 16, 32, 64, ... pixels, not {height}x{width}; "
            f"nearest: {near}x{near}"
        )
    return found
