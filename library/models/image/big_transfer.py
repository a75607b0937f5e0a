"""Big Transfer (BiT): pre-activation ResNets without batch normalization.

Kolesnikov, Beyer, Zhai, Puigcerver, Yung, Gelly & Houlsby 2020, "Big Transfer (BiT): general
visual representation learning" (arXiv 1912.11370), section 2.1: a ResNet of version 2, in which
group normalization and weight standardization replace batch normalization, and all widths are
multiplied by a factor. It is numerically the same as timm's resnetv2_50x1_bit etc. Params with 1000
classes:

  bit_r50x1   25,549,352   bit_r50x3   217,319,080
  bit_r101x1  44,541,480   bit_r101x3  387,934,888
  bit_r152x2  236,335,208  bit_r152x4  936,533,224
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.remat import with_remat
from library.variants import variant

# Width of the bottlenecks of the first stage. It doubles in each later stage.
WIDTH = 64
GROUPS = 32
# For each convolution: kernel size, width in units of the block's width, whether it is strided.
BOTTLENECK = ((1, 1, False), (3, 1, True), (1, 4, False))

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class GroupNorm(nn.Module):
    """Normalizes each image over 32 groups of channels, then scales and shifts (Wu & He 2018).

    It averages one axis after the other. At the image sizes of the paper, a single sum over all
    axes, or the mean of squares minus the square of the mean, would lose a digit.
    """

    epsilon: float = 1e-5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns features of the input's shape."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        wide = x.astype(jnp.promote_types(jnp.float32, self.dtype))
        grouped = wide.reshape(*x.shape[:3], GROUPS, channels // GROUPS)
        centered = grouped - _mean(grouped)
        grouped = centered * jax.lax.rsqrt(_mean(jnp.square(centered)) + self.epsilon)
        return (grouped.reshape(x.shape) * scale + bias).astype(self.dtype)


def _mean(grouped: Float[Array, "b h w g c"]) -> Float[Array, "b 1 1 g 1"]:
    for axis in (2, 1, 4):
        grouped = grouped.mean(axis=axis, keepdims=True)
    return grouped


class StandardizedConv(nn.Module):
    """Convolution whose kernel is standardized to mean 0 and variance 1 for each output.

    Weight standardization (Qiao et al. 2019, arXiv 1903.10520), without bias.
    """

    features: int
    size: int
    stride: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", _he_normal, shape, self.param_dtype)
        kernel = kernel.astype(jnp.promote_types(jnp.float32, self.dtype))
        centered = kernel - kernel.mean(axis=(0, 1, 2))
        kernel = centered * jax.lax.rsqrt(jnp.square(centered).mean(axis=(0, 1, 2)) + 1e-8)
        padding = (self.size - 1) // 2
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            window_strides=(self.stride, self.stride),
            padding=((padding, padding),) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class Block(nn.Module):
    """Pre-activation bottleneck: x + convolutions of normalized and rectified x.

    If the shape changes, the shortcut is a projection of the normalized and rectified x.
    """

    width: int
    stride: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        y, shortcut = x, x
        for i, (size, factor, strided) in enumerate(BOTTLENECK, 1):
            y = nn.relu(GroupNorm(name=f"norm{i}", **types)(y))
            if i == 1 and (self.stride > 1 or x.shape[-1] != 4 * self.width):
                shortcut = StandardizedConv(
                    4 * self.width, 1, self.stride, name="shortcut_conv", **types
                )(y)
            stride = self.stride if strided else 1
            conv = StandardizedConv(self.width * factor, size, stride, name=f"conv{i}", **types)
            y = conv(y)
        return shortcut + y


class BigTransfer(nn.Module):
    """A BiT network: stem, four stages of blocks, normalization, mean over space, linear head.

    Submodules are "stem_conv", "stage1_block1", ..., "final_norm", "head". The head starts at zero.
    Stores "stage1", ..., "stage4" and "features" (b, d).

    Attributes:
      num_classes: size of the logits; 21,843 for ImageNet-21k in the paper.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; weight standardization and the head are in float32.
      param_dtype: type of the params.
      stage_sizes: blocks of each stage; all but the first stage halve the height and width.
      width_factor: factor of all widths.

    Raises:
      ConfigError: a dtype is unknown, or a size is below 1.
    """

    num_classes: int = 1000
    remat: bool | str = False
    dtype: str = "float32"
    param_dtype: str = "float32"
    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width_factor: int = 1

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        width = WIDTH * self.width_factor
        x = StandardizedConv(width, 7, 2, name="stem_conv", **types)(image)
        # Padding by zeros, not -inf: it changes the maximum of a window with only negative values.
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = nn.max_pool(x, (3, 3), (2, 2))
        block = with_remat(Block, self.remat)
        for stage, blocks in enumerate(self.stage_sizes, 1):
            for i in range(1, blocks + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                name = f"stage{stage}_block{i}"
                x = block(width * 2 ** (stage - 1), stride, name=name, **types)(x)
            store(self, f"stage{stage}", x)
        x = nn.relu(GroupNorm(name="final_norm", **types)(x))
        x = x.mean(axis=(1, 2))
        store(self, "features", x)
        init = nn.initializers.zeros
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


# Blocks of each stage, and the factor of all widths.
bit_r50x1 = variant(BigTransfer, "bit_r50x1", stage_sizes=(3, 4, 6, 3), width_factor=1)
bit_r101x1 = variant(BigTransfer, "bit_r101x1", stage_sizes=(3, 4, 23, 3), width_factor=1)
bit_r50x3 = variant(BigTransfer, "bit_r50x3", stage_sizes=(3, 4, 6, 3), width_factor=3)
bit_r101x3 = variant(BigTransfer, "bit_r101x3", stage_sizes=(3, 4, 23, 3), width_factor=3)
bit_r152x2 = variant(BigTransfer, "bit_r152x2", stage_sizes=(3, 8, 36, 3), width_factor=2)
bit_r152x4 = variant(BigTransfer, "bit_r152x4", stage_sizes=(3, 8, 36, 3), width_factor=4)
