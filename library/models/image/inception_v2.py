"""Inception-v2, or BN-Inception: GoogLeNet with batch normalization and 3x3 convolutions alone.

Ioffe & Szegedy 2015, "Batch normalization: Accelerating deep network training by reducing internal
covariate shift" (arXiv 1502.03167), figure 5. Each 5x5 convolution of GoogLeNet is two of 3x3, and
two modules halve the grid themselves. The channels are those of the weights that Xiong Yuanjun
published, 11,295,240 params with a thousand classes: the projections of modules 4c and 4d have 128
channels in place of the table's 96. As there, convolutions have a bias, although normalization
removes it.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.pooling import max_pool_to_the_edge
from library.variants import variant

# Channels of: the 1x1 convolution; the 1x1 reduction before the 3x3 one, and the 3x3 one; the 1x1
# reduction before the two of 3x3, and these two; the projection after pooling. A module without a
# 1x1 convolution and a projection halves the grid. A stage has the modules up to the next halving.
STAGES = {
    3: {
        "inception3a": (64, 64, 64, 64, 96, 32),
        "inception3b": (64, 64, 96, 64, 96, 64),
        "inception3c": (0, 128, 160, 64, 96, 0),
    },
    4: {
        "inception4a": (224, 64, 96, 96, 128, 128),
        "inception4b": (192, 96, 128, 96, 128, 128),
        "inception4c": (160, 128, 160, 128, 160, 128),
        "inception4d": (96, 128, 192, 160, 192, 128),
        "inception4e": (0, 128, 192, 192, 256, 0),
    },
    5: {
        "inception5a": (352, 192, 320, 160, 224, 128),
        "inception5b": (352, 192, 320, 192, 224, 128),
    },
}
# The module whose pooling takes the maximum and keeps the grid; the others average.
MAXIMUM = "inception5b"
SMALLEST = 7

_initial = nn.initializers.truncated_normal(0.1)


class Conv(nn.Module):
    """Convolution "conv" with a bias, batch normalization "norm", relu."""

    features: int
    size: int
    stride: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        strides, options = 2 * (self.stride,), dict(kernel_init=_initial, name="conv", **types)
        conv = nn.Conv(self.features, 2 * (self.size,), strides, self.size // 2, **options)
        return nn.relu(norm(conv(x), "batch", name="norm", train=train, **types))


class Inception(nn.Module):
    """An Inception module: up to four branches, their channels concatenated."""

    channels: tuple[int, int, int, int, int, int]
    maximum: bool
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns the channels of the branches, in the order of the table."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        def conv(x, features, size, name, stride=1):
            return Conv(features, size, stride, name=name, **types)(x, train)

        one, reduce3, three, reduce_double, double, pooled = self.channels
        stride = 1 if one else 2
        last = conv(conv(x, reduce_double, 1, "reduce_double"), double, 3, "double1")
        ends = [
            conv(conv(x, reduce3, 1, "reduce3x3"), three, 3, "conv3x3", stride),
            conv(last, double, 3, "double2", stride),
        ]
        if not one:
            return jnp.concatenate([*ends, _halved(x)], axis=-1)
        pool = nn.max_pool if self.maximum else nn.avg_pool
        ends = [conv(x, one, 1, "conv1x1"), *ends]
        ends.append(conv(pool(x, (3, 3), padding="SAME"), pooled, 1, "pool_projection"))
        return jnp.concatenate(ends, axis=-1)


class InceptionV2(nn.Module):
    """Inception-v2: three convolutions, ten Inception modules, mean over space, dropout, head.

    Submodules are "conv1", "conv2", "conv3", "inception3a", ..., "inception5b", "head". Stores
    "stage1" (conv1), "stage2" (conv3), "stage3", "stage4" and "stage5", the last modules, and
    "features" (b, 1024).

    Kernels start from a truncated normal distribution with a standard deviation of 0.1. The paper
    does not state initial values; normalization makes their scale unimportant.

    Attributes:
      num_classes: size of the logits.
      dropout: rate before the head; the paper leaves dropout out of its faster networks.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or there are no classes.
    """

    num_classes: int = 1000
    dropout: float = 0.0
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32. Images are 224x224 in the paper.

        Raises:
          ValueError: the image is too small to be halved five times.
        """
        check_image("Inception-v2", image, SMALLEST)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = Conv(64, 7, 2, name="conv1", **types)(image.astype(self.dtype), train)
        store(self, "stage1", x)
        x = Conv(64, 1, name="conv2", **types)(max_pool_to_the_edge(x, 3, 2), train)
        x = Conv(192, 3, name="conv3", **types)(x, train)
        store(self, "stage2", x)
        x = max_pool_to_the_edge(x, 3, 2)
        for stage, modules in STAGES.items():
            for name, channels in modules.items():
                x = Inception(channels, name == MAXIMUM, name=name, **types)(x, train)
            store(self, f"stage{stage}", x)
        return pooled_head(self, x, nn.initializers.lecun_normal(), train)


def _halved(x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ c"]:
    """Takes the maximum of 3x3 with stride 2, on a grid as that of a padded convolution."""
    # On an even side this is the pooling to the edge of the published network.
    rest = [(0, 2 * -(-side // 2) + 1 - side) for side in x.shape[1:3]]
    return nn.max_pool(x, (3, 3), (2, 2), rest)


inception_v2 = variant(InceptionV2, "inception_v2")
