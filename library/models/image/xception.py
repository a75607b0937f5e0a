"""Xception: depthwise separable convolutions in residual blocks, the extreme of Inception.

Chollet 2017, "Xception: deep learning with depthwise separable convolutions" (arXiv 1610.02357),
figure 5. It is numerically the same as timm's legacy_xception, to which the author's weights were
ported: 22,855,952 params with a thousand classes, table 3. As in PyTorch, padding is the same on
both sides.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.depthwise import depthwise
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

# Widths of the separable convolutions of each block, and its stride.
BLOCKS = (
    ((128, 128), 2),
    ((256, 256), 2),
    ((728, 728), 2),
    *[((728, 728, 728), 1)] * 8,
    ((728, 1024), 2),
)
# The last block of each height, and the stage that ends there.
ENDS = {1: "stage2", 2: "stage3", 11: "stage4"}

# Smallest side of an image: the first two convolutions, which have no padding, leave one pixel.
SMALLEST = 7

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_head_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class SeparableConv(nn.Module):
    """A 3x3 convolution of each channel, then a 1x1 convolution across channels, without a relu.

    A relu between the two lowers accuracy (section 4.7). Submodules are "depthwise" and
    "pointwise".
    """

    features: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w _"]:
        """Returns features of the same height and width."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = depthwise(x, 3, kernel_init=_he_normal, name="depthwise", **types)
        return nn.Conv(
            self.features,
            (1, 1),
            use_bias=False,
            kernel_init=_he_normal,
            name="pointwise",
            **types,
        )(x)


class Block(nn.Module):
    """Residual block: x + normalized separable convolutions of rectified x, pooled if strided.

    Submodules are "conv1", "norm1", ..., and, if the shape changes, "shortcut_conv" and
    "shortcut_norm". Only the first block of the network does not rectify x.
    """

    widths: tuple[int, ...]
    stride: int
    start_with_relu: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        y = x
        for i, width in enumerate(self.widths, 1):
            y = nn.relu(y) if i > 1 or self.start_with_relu else y
            y = SeparableConv(width, name=f"conv{i}", **types)(y)
            y = normalize(y, name=f"norm{i}")
        if self.stride == 1 and x.shape == y.shape:
            return x + y
        stride = (self.stride, self.stride)
        y = nn.max_pool(y, (3, 3), stride, ((1, 1), (1, 1))) if self.stride > 1 else y
        x = nn.Conv(
            y.shape[-1],
            (1, 1),
            strides=stride,
            use_bias=False,
            kernel_init=_he_normal,
            name="shortcut_conv",
            **types,
        )(x)
        return normalize(x, name="shortcut_norm") + y


class Xception(nn.Module):
    """Xception: entry flow, middle flow of eight blocks, exit flow, mean over space, dropout, head.

    Submodules are "conv1", "norm1", "conv2", "norm2", "block1" to "block12", "conv3", "norm3",
    "conv4", "norm4", "head". Stores "stage1" (after conv2, 64 channels), "stage2" (block1, 128),
    "stage3" (block2, 256), "stage4" (block11, 728), "stage5" (2048) and "features" (b, 2048).

    Kernels start from a normal distribution with variance 2 / fan-out, as in timm. The paper does
    not state initial values.

    Attributes:
      num_classes: size of the logits.
      dropout: rate before the head, 0.5 in the paper.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 1000
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32. Images are 299x299 in the paper.

        Raises:
          ValueError: an image is smaller than 7x7.
        """
        check_image("Xception", image, SMALLEST)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        x = image
        for i, (width, stride) in enumerate(((32, 2), (64, 1)), 1):
            x = nn.Conv(
                width,
                (3, 3),
                strides=(stride, stride),
                padding="VALID",
                use_bias=False,
                kernel_init=_he_normal,
                name=f"conv{i}",
                **types,
            )(x)
            x = nn.relu(normalize(x, name=f"norm{i}"))
        store(self, "stage1", x)
        for i, (widths, stride) in enumerate(BLOCKS, 1):
            x = Block(widths, stride, i > 1, name=f"block{i}", **types)(x, train)
            if i in ENDS:
                store(self, ENDS[i], x)
        for i, width in ((3, 1536), (4, 2048)):
            x = SeparableConv(width, name=f"conv{i}", **types)(x)
            x = nn.relu(normalize(x, name=f"norm{i}"))
        store(self, "stage5", x)
        return pooled_head(self, x, _head_init, train)


xception = variant(Xception, "xception")
