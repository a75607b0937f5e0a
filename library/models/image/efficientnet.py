"""EfficientNet: a small network found by search, and scaled in width, depth and image size.

Tan & Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks" (arXiv
1905.11946), with the layout of torchvision or of the authors' TensorFlow code. The weights of Xie,
Luong, Hovy & Le 2020, "Self-training with Noisy Student improves ImageNet classification" (arXiv
1911.04252), also those of L2, are published for the TensorFlow code. Params with 1000 classes:

  efficientnet_b0  5,288,548    efficientnet_b3  12,233,232    efficientnet_b6   43,040,704
  efficientnet_b1  7,794,184    efficientnet_b4  19,341,616    efficientnet_b7   66,347,960
  efficientnet_b2  9,109,994    efficientnet_b5  30,389,784    efficientnet_l2  480,309,308

Initial values are those of the authors' code. Kernels of convolutions have a variance of
2 / fan-out; the fan-out of a depthwise kernel is the area of its window. The kernel of the head is
uniform within 1 / sqrt(classes). Biases are zero.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.depthwise import depthwise
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.remat import with_remat
from library.layers.squeeze_excite import SqueezeExcite
from library.layers.stochastic_depth import StochasticDepth, rates
from library.models.image.mobilenet_v2 import rounded
from library.variants import variant


class Stage(NamedTuple):
    """Blocks of one width. Only the first block has the stride."""

    expansion: int
    size: int
    stride: int
    width: int
    blocks: int


class Convention(NamedTuple):
    """Differences of implementations: padding, and epsilon and momentum of normalization."""

    padding: str
    epsilon: float
    momentum: float


# STAGES are stages 2 to 8 of B0 (table 1), STEM is the width of the convolution before them.
STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
STEM = 32
# Channels of the last convolution of EfficientNet-Lite, for all sizes.
LITE_FEATURES = 1280
# "SAME" pads a strided layer by one pixel more at the end than at the start.
TENSORFLOW = Convention("SAME", 1e-3, 0.99)
TORCHVISION = Convention("symmetric", 1e-5, 0.9)
# torchvision uses this for the sizes whose weights come from TensorFlow.
TORCHVISION_LARGE = Convention("symmetric", 1e-3, 0.99)
VARIANTS = ("torchvision", "tensorflow")

_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# The fan-in of a depthwise kernel is the area of its window.
_window = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
_uniform = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")


class Block(nn.Module):
    """Mobile inverted bottleneck: narrow at both ends, wide between (figure 4 of MobileNet-v2).

    The layers are an expansion by a 1x1 convolution (unless the factor is 1), a depthwise
    convolution, squeeze-and-excitation to a quarter of the input channels, and a projection by a
    1x1 convolution. Each convolution is normalized, and a swish follows all but the last. If the
    shape does not change, the input is added. A `lite` block has no squeeze-and-excitation, and
    ReLU6 in place of swish.
    """

    expansion: int
    size: int
    stride: int
    width: int
    convention: Convention
    drop_path: float = 0.0
    lite: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features with `width` channels; height and width are divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = _normalization(self.convention, train, **types)
        activation = _activation(self.lite)
        channels, y = x.shape[-1], x
        if self.expansion > 1:
            y = _conv(y, channels * self.expansion, name="expand_conv", **types)
            y = activation(normalize(y, name="expand_norm"))
        y = depthwise(
            y,
            self.size,
            self.stride,
            padding=_padding(self.convention, self.size),
            kernel_init=_window,
            name="depthwise_conv",
            **types,
        )
        y = activation(normalize(y, name="depthwise_norm"))
        if not self.lite:
            excite = partial(SqueezeExcite, max(1, channels // 4), activation, **types)
            y = excite(kernel_init=_fan_out, name="squeeze_excite")(y)
        y = normalize(_conv(y, self.width, name="project_conv", **types), name="project_norm")
        if self.stride > 1 or channels != self.width:
            return y
        return x + StochasticDepth(self.drop_path, name="drop_path")(y, train)


class EfficientNet(nn.Module):
    """An EfficientNet: stem, stages of blocks, 1x1 convolution, mean over space, dropout, head.

    Submodules are "stem_conv" and "stem_norm", "stage1_block1", ..., "final_conv" and "final_norm",
    "head". Stores "stage1", ..., "stage7" and "features" (b, d), with d four times the last width,
    or 1280 if `lite`.

    Attributes:
      num_classes: size of the logits.
      stem: channels of the first convolution.
      stages: the stages of blocks.
      convention: padding and normalization.
      dropout: rate before the head.
      drop_path: limit of the rate of stochastic depth. The rate grows linearly from 0 in the first
        block; a block after the last would have this rate.
      lite: builds an EfficientNet-Lite, see `library.models.image.efficientnet_lite`.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
    """

    num_classes: int
    stem: int
    stages: tuple[Stage, ...]
    convention: Convention
    dropout: float = 0.2
    drop_path: float = 0.2
    lite: bool = False
    remat: bool | str = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = _normalization(self.convention, train, **types)
        activation = _activation(self.lite)
        block = with_remat(Block, self.remat, static_argnums=(2,))
        depth = sum(stage.blocks for stage in self.stages)
        drop_paths = iter(rates(self.drop_path, depth + 1))
        padding = _padding(self.convention, 3)
        x = _conv(image, self.stem, 3, 2, padding, name="stem_conv", **types)
        x = activation(normalize(x, name="stem_norm"))
        for number, (expansion, size, stride, width, blocks) in enumerate(self.stages, 1):
            for i in range(1, blocks + 1):
                x = block(
                    expansion,
                    size,
                    stride if i == 1 else 1,
                    width,
                    self.convention,
                    next(drop_paths),
                    self.lite,
                    name=f"stage{number}_block{i}",
                    **types,
                )(x, train)
            store(self, f"stage{number}", x)
        width = LITE_FEATURES if self.lite else 4 * x.shape[-1]
        x = _conv(x, width, name="final_conv", **types)
        x = activation(normalize(x, name="final_norm"))
        return pooled_head(self, x, _uniform, train)


def _efficientnet(
    num_classes: int = 1000,
    width: float = 1.0,
    depth: float = 1.0,
    variant: str = "torchvision",
    dropout: float = 0.2,
    drop_path: float = 0.2,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
    *,
    torchvision: Convention,
) -> EfficientNet:
    """Builds an EfficientNet.

    Args:
      num_classes: size of the logits.
      width: factor of the widths of B0, which are rounded to a multiple of 8.
      depth: factor of the numbers of blocks of B0, which are rounded up.
      variant: "torchvision" or "tensorflow", the authors' code. "torchvision" has the same padding
        on both sides, and normalization with an epsilon of 1e-5 and a momentum of 0.9.
        "tensorflow" has the padding "SAME", an epsilon of 1e-3 and a momentum of 0.99.
      dropout: rate before the head.
      drop_path: limit of the rate of stochastic depth, see `EfficientNet`.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation.
      param_dtype: type of the params.
      torchvision: convention of the variant "torchvision" for this size. From B5 on, torchvision
        normalizes as TensorFlow, from which its weights come.

    Raises:
      ConfigError: a variant or dtype is unknown, a rate is outside [0, 1), a size is below 1, or a
        factor is not positive.
    """
    check_sizes(num_classes=num_classes)
    if not (width > 0 and depth > 0):
        raise ConfigError(f"width={width}, depth={depth}: factors are more than 0")
    check_choice("variant", variant, VARIANTS)
    check_rates(dropout=dropout, drop_path=drop_path)
    check_dtypes(dtype, param_dtype)
    return EfficientNet(
        num_classes=num_classes,
        stem=scaled(STEM, width),
        stages=tuple(
            stage._replace(width=scaled(stage.width, width), blocks=math.ceil(stage.blocks * depth))
            for stage in STAGES
        ),
        convention=torchvision if variant == "torchvision" else TENSORFLOW,
        dropout=dropout,
        drop_path=drop_path,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )


efficientnet = variant(_efficientnet, "efficientnet", torchvision=TORCHVISION)
# Factors of width and depth, and dropout, are those of the authors' code. torchvision has no L2.
_small = partial(variant, _efficientnet, torchvision=TORCHVISION)
_large = partial(variant, _efficientnet, torchvision=TORCHVISION_LARGE)
efficientnet_b0 = _small("efficientnet_b0", width=1.0, depth=1.0)
efficientnet_b1 = _small("efficientnet_b1", width=1.0, depth=1.1)
efficientnet_b2 = _small("efficientnet_b2", width=1.1, depth=1.2, defaults=dict(dropout=0.3))
efficientnet_b3 = _small("efficientnet_b3", width=1.2, depth=1.4, defaults=dict(dropout=0.3))
efficientnet_b4 = _small("efficientnet_b4", width=1.4, depth=1.8, defaults=dict(dropout=0.4))
efficientnet_b5 = _large("efficientnet_b5", width=1.6, depth=2.2, defaults=dict(dropout=0.4))
efficientnet_b6 = _large("efficientnet_b6", width=1.8, depth=2.6, defaults=dict(dropout=0.5))
efficientnet_b7 = _large("efficientnet_b7", width=2.0, depth=3.1, defaults=dict(dropout=0.5))
efficientnet_l2 = _large(
    "efficientnet_l2", width=4.3, depth=5.3, defaults=dict(variant="tensorflow", dropout=0.5)
)


def scaled(width: int, factor: float) -> int:
    """Returns the multiple of 8 nearest to width * factor, or the next if that loses over 10 %."""
    return rounded(width * factor)


def _activation(lite):
    return nn.relu6 if lite else nn.silu


def _normalization(convention, train, **types):
    _, epsilon, momentum = convention
    return partial(norm, kind="batch", train=train, epsilon=epsilon, momentum=momentum, **types)


def _padding(convention, size):
    return (size - 1) // 2 if convention.padding == "symmetric" else convention.padding


def _conv(x, features, size=1, stride=1, padding=0, *, name, dtype, param_dtype):
    return nn.Conv(
        features,
        kernel_size=(size, size),
        strides=(stride, stride),
        padding=padding,
        use_bias=False,
        kernel_init=_fan_out,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )(x)
