"""MobileNetV2, with inverted residuals and linear bottlenecks.

Sandler, Howard, Zhu, Zhmoginov & Chen 2018, "MobileNetV2: inverted residuals and linear
bottlenecks" (arXiv 1801.04381), table 2. A block expands its few channels, convolves each channel
separately and projects to few channels again, without a relu at the end. The shortcut connects the
narrow ends. The network is numerically the same as torchvision's mobilenet_v2: 3,504,872 params and
301 million multiply-adds at 224x224.

Small images need other `strides`. With (1, 1, 1, 2, 2, 1, 2, 1) and `projected`, it is the usual
network for CIFAR-10 of kuangliu/pytorch-cifar, except that relus are clipped at 6: 2,296,922 params
with ten classes.
"""

import functools
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.convolution import convolution
from library.layers.depthwise import depthwise
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

STEM, LAST = 32, 1280
# Expansion, width, blocks: t, c, n of table 2.
BOTTLENECKS = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 3),
    (6, 64, 4),
    (6, 96, 3),
    (6, 160, 3),
    (6, 320, 1),
)
# Strides of the first convolution and of the first block of each row above: s of table 2.
STRIDES = (2, 1, 2, 2, 2, 1, 2, 1)

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_conv = functools.partial(convolution, kernel_init=_he_normal)


def rounded(width: float, multiple: int = 8) -> int:
    """Returns the multiple nearest to a width, or the next one if that is below 0.9 of the width.

    It is at least `multiple`.
    """
    nearest = max(multiple, int(width + multiple / 2) // multiple * multiple)
    return nearest if nearest >= 0.9 * width else nearest + multiple


class InvertedResidual(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, linear projection (figure 4d).

    Submodules are "expand" and "norm1" (unless the expansion is 1), "depthwise", "norm2",
    "project", "norm3". A block that does not change the shape has a shortcut. With `projected`, all
    blocks with stride 1 have a shortcut, through "shortcut_conv" and "shortcut_norm" if the width
    changes, and a block with an expansion of 1 also has "expand" and "norm1".
    """

    features: int
    stride: int
    expansion: int
    projected: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        y = x
        if self.expansion > 1 or self.projected:
            y = _conv(y, self.expansion * x.shape[-1], name="expand", **types)
            y = nn.relu6(normalize(y, name="norm1"))
        y = depthwise(y, 3, self.stride, kernel_init=_he_normal, name="depthwise", **types)
        y = nn.relu6(normalize(y, name="norm2"))
        y = normalize(_conv(y, self.features, name="project", **types), name="norm3")
        if self.projected and self.stride == 1 and x.shape != y.shape:
            x = _conv(x, self.features, name="shortcut_conv", **types)
            x = normalize(x, name="shortcut_norm")
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """MobileNetV2: a convolution, seventeen blocks, 1x1 convolution, mean over space, linear head.

    Submodules are "stem_conv", "stem_norm", "block1", ..., "block17", "last_conv", "last_norm",
    "head". Stores "stage1", ..., "stage5", the output of the last block of each height (half the
    image's height for "stage1"), and "features" (b, d). With fewer strides there are fewer stages.

    Attributes:
      num_classes: size of the logits.
      width_multiplier: factor of all widths, which are rounded to a multiple of 8; 0.35 to 1.4 in
        the paper.
      strides: strides of the first convolution and of the seven groups of blocks, each 1 or 2.
        Small images need fewer 2s.
      projected: whether blocks that change only the width also have a shortcut, a 1x1 convolution,
        and the first block has an expansion, as in kuangliu/pytorch-cifar.
      dropout: rate before the head.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, the multiplier
        is not positive, or the strides are not eight numbers of 1 and 2.
    """

    num_classes: int = 1000
    width_multiplier: float = 1.0
    strides: tuple[int, ...] = STRIDES
    projected: bool = False
    dropout: float = 0.2
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        if len(self.strides) != len(STRIDES) or not {1, 2}.issuperset(self.strides):
            raise ConfigError(
                f"strides={self.strides}: {len(STRIDES)} of 1 and 2, by default {STRIDES}"
            )
        if self.width_multiplier <= 0:
            raise ConfigError(f"width_multiplier={self.width_multiplier}: a factor is more than 0")
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        alpha, (stem_stride, *strides) = self.width_multiplier, self.strides
        x = _conv(image, rounded(STEM * alpha), 3, stem_stride, name="stem_conv", **types)
        x = nn.relu6(normalize(x, name="stem_norm"))
        number = stage = 0
        for (expansion, width, blocks), first_stride in zip(BOTTLENECKS, strides, strict=True):
            for stride in (first_stride,) + (1,) * (blocks - 1):
                number, stage = number + 1, stage + (stride > 1 or number == 0)
                block = InvertedResidual(
                    features=rounded(width * alpha),
                    stride=stride,
                    expansion=expansion,
                    projected=self.projected,
                    name=f"block{number}",
                    **types,
                )
                x = block(x, train)
                # A later block of this height replaces it.
                store(self, f"stage{stage}", x)
        x = _conv(x, rounded(LAST * max(1.0, alpha)), name="last_conv", **types)
        x = nn.relu6(normalize(x, name="last_norm"))
        return pooled_head(self, x, nn.initializers.normal(0.01), train)


mobilenet_v2 = variant(MobileNetV2, "mobilenet_v2")
