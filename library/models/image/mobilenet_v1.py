"""MobileNets of version 1, with depthwise separable convolutions.

Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile vision
applications" (arXiv 1704.04861), table 1. A depthwise separable convolution has two steps: a 3x3
convolution of each channel, and a 1x1 convolution across channels. The network is numerically the
same as timm's mobilenetv1_100, with relus clipped at 6, as in the authors' code. Width multiplier,
params with 1000 classes, and millions of multiply-adds at 224x224 (table 6):

  1.0   4,231,976  569
  0.75  2,585,560  325
  0.5   1,331,592  149
  0.25    470,072   41
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.depthwise import depthwise
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

STEM = 32
# Blocks and width of each stage. The first block of every stage but the first is strided.
STAGES = ((1, 64), (2, 128), (2, 256), (6, 512), (2, 1024))

# As in timm: the variance is 2 over the number of outputs to which a value of a kernel contributes.
_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_depthwise_init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
_head_init = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")


class Block(nn.Module):
    """Depthwise separable convolution, each half normalized and rectified (figure 3, right)."""

    features: int
    stride: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        x = depthwise(x, 3, self.stride, kernel_init=_depthwise_init, name="depthwise", **types)
        x = nn.relu6(normalize(x, name="norm1"))
        x = nn.Conv(
            self.features, (1, 1), use_bias=False, kernel_init=_init, name="pointwise", **types
        )(x)
        return nn.relu6(normalize(x, name="norm2"))


class MobileNetV1(nn.Module):
    """A MobileNet: strided convolution, thirteen depthwise separable ones, mean over space, head.

    Submodules are "stem_conv", "stem_norm", "stage1_block1", ..., "head". Stores "stage1" (at half
    the image's height), ..., "stage5" and "features" (b, d).

    Attributes:
      num_classes: size of the logits.
      width_multiplier: factor of all widths, which are rounded down; 1, 0.75, 0.5 or 0.25 in the
        paper.
      dropout: rate before the head.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, or the
        multiplier leaves no channel.
    """

    num_classes: int = 1000
    width_multiplier: float = 1.0
    dropout: float = 0.0
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        if int(STEM * self.width_multiplier) < 1:
            raise ConfigError(
                f"width_multiplier={self.width_multiplier} leaves no channel; smallest: {1 / STEM}"
            )
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.Conv(
            int(STEM * self.width_multiplier),
            (3, 3),
            strides=(2, 2),
            padding=1,
            use_bias=False,
            kernel_init=_init,
            name="stem_conv",
            **types,
        )(image)
        x = nn.relu6(norm(x, "batch", name="stem_norm", train=train, **types))
        for stage, (blocks, width) in enumerate(STAGES, 1):
            for i in range(1, blocks + 1):
                x = Block(
                    int(width * self.width_multiplier),
                    stride=2 if stage > 1 and i == 1 else 1,
                    name=f"stage{stage}_block{i}",
                    **types,
                )(x, train)
            store(self, f"stage{stage}", x)
        return pooled_head(self, x, _head_init, train)


mobilenet_v1 = variant(MobileNetV1, "mobilenet_v1")
