"""DenseNets for ImageNet and CIFAR: a layer takes the outputs of all earlier layers of its block.

Huang, Liu, van der Maaten & Weinberger 2017, "Densely connected convolutional networks" (arXiv
1608.06993). The networks for ImageNet are numerically the same as torchvision's. "B" means
bottlenecks, a 1x1 convolution before each 3x3 one. "C" means compression, half the channels at each
transition.

Params with 1000 classes (10 for CIFAR), depth and growth, the number of channels that a layer adds:

  densenet121   7,978,856  121, 32      densenet40       1,019,722   40, 12, neither B nor C
  densenet161  28,681,000  161, 48      densenet_bc100     769,162  100, 12
  densenet169  14,149,480  169, 32      densenet_bc190  25,624,430  190, 40
  densenet201  20,013,928  201, 32      densenet_bc250  15,324,406  250, 24
"""

import functools
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.convolution import convolution
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.remat import with_remat
from library.models.image.resnet import STEMS
from library.variants import variant

# Channels of a bottleneck, in units of the growth.
BOTTLENECK = 4

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
_conv = functools.partial(convolution, kernel_init=_he_normal)
_head_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Layer(nn.Module):
    """Dense layer: x concatenated with `growth` channels of normalized, rectified, convolved x.

    Submodules are "norm1", "conv1" and, with a bottleneck, "norm2", "conv2". Dropout follows each
    convolution (section 4.2).
    """

    growth: int
    bottleneck: bool
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w _"]:
        """Returns the channels of x, then the new channels."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        layers = ((1, BOTTLENECK * self.growth), (3, self.growth))
        y = x
        for i, (size, features) in enumerate(layers if self.bottleneck else layers[1:], 1):
            y = nn.relu(norm(y, "batch", name=f"norm{i}", train=train, **types))
            y = _conv(y, features, size, name=f"conv{i}", **types)
            y = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{i}")(y)
        return jnp.concatenate([x, y], axis=-1)


class Transition(nn.Module):
    """Transition between two blocks: normalization, relu, 1x1 convolution, 2x2 average pooling."""

    features: int
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features of half the height and width."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.relu(norm(x, "batch", name="norm", train=train, **types))
        x = _conv(x, self.features, 1, name="conv", **types)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return nn.avg_pool(x, (2, 2), (2, 2))


class DenseNet(nn.Module):
    """A DenseNet: stem, dense blocks with transitions between them, mean over space, linear head.

    Submodules are "stem_conv", "stem_norm" (with the stem "imagenet"), "block1_layer1", ...,
    "transition1", ..., "final_norm", "head". Stores "stage1", "stage2", ..., the outputs of the
    blocks, and "features" (b, d).

    Kernels start from a normal distribution with variance 2 / fan-in (He et al. 2015), as in the
    paper and in torchvision.

    Attributes:
      num_classes: size of the logits.
      block_sizes: layers of each block.
      growth: channels that a layer adds.
      stem: "imagenet" (7x7 with stride 2, max pooling) or, for small images, "cifar" (3x3) or
        "strided" (3x3 with stride 2).
      bottleneck: whether a 1x1 convolution precedes each 3x3 one.
      compression: share of the channels that a transition keeps.
      dropout: rate after each convolution but the first; 0.2 in the paper for data without
        augmentation.
      remat: recomputes layers in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
      stem_width: channels of the stem, by default twice the growth.

    Raises:
      ConfigError: a stem or dtype is unknown, a rate is outside [0, 1), the compression is outside
        (0, 1], a size is below 1, or there are no blocks.
    """

    num_classes: int = 10
    block_sizes: tuple[int, ...] = (16, 16, 16)
    growth: int = 12
    stem: str = "cifar"
    bottleneck: bool = True
    compression: float = 0.5
    dropout: float = 0.0
    remat: bool | str = False
    dtype: str = "float32"
    param_dtype: str = "float32"
    stem_width: int | None = None

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, block_sizes=self.block_sizes, growth=self.growth)
        if not self.block_sizes:
            raise ConfigError("block_sizes=(): a DenseNet has at least one block")
        if not 0 < self.compression <= 1:
            raise ConfigError(
                f"compression={self.compression}: valid are shares above 0 up to 1 (1 is none)"
            )
        check_choice("stem", self.stem, STEMS)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be halved between all blocks.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        size, stride, pool = STEMS[self.stem]
        # The stem rounds up, transitions round down.
        last = 2 ** (len(self.block_sizes) - 1)
        check_image("DenseNet", image, stride * (2 if pool else 1) * (last - 1) + 1)
        width = self.stem_width or 2 * self.growth
        x = _conv(image, width, size, stride, name="stem_conv", **types)
        if pool:
            x = nn.relu(normalize(x, name="stem_norm"))
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        layer = with_remat(Layer, self.remat, static_argnums=(2,))
        options = types | dict(dropout=self.dropout)
        for block, layers in enumerate(self.block_sizes, 1):
            if block > 1:
                features = int(self.compression * x.shape[-1])
                x = Transition(features, name=f"transition{block - 1}", **options)(x, train)
            for i in range(1, layers + 1):
                name = f"block{block}_layer{i}"
                x = layer(self.growth, self.bottleneck, name=name, **options)(x, train)
            store(self, f"stage{block}", x)
        x = nn.relu(normalize(x, name="final_norm"))
        x = x.mean(axis=(1, 2))
        store(self, "features", x)
        return linear_head(
            x, self.num_classes, kernel_init=_head_init, param_dtype=self.param_dtype
        )


densenet = variant(DenseNet, "densenet", stem_width=None)

# Table 1; all are DenseNets-BC.
_imagenet = partial(variant, DenseNet, bottleneck=True, compression=0.5, stem_width=None)
_LARGE = dict(num_classes=1000, stem="imagenet")
densenet121 = _imagenet(
    "densenet121", block_sizes=(6, 12, 24, 16), defaults=_LARGE | dict(growth=32)
)
densenet161 = _imagenet(
    "densenet161", block_sizes=(6, 12, 36, 24), defaults=_LARGE | dict(growth=48)
)
densenet169 = _imagenet(
    "densenet169", block_sizes=(6, 12, 32, 32), defaults=_LARGE | dict(growth=32)
)
densenet201 = _imagenet(
    "densenet201", block_sizes=(6, 12, 48, 32), defaults=_LARGE | dict(growth=32)
)

# Section 4.2: without bottlenecks the stem has 16 channels.
_cifar = partial(variant, DenseNet, stem="cifar")
_bc = partial(_cifar, bottleneck=True, compression=0.5, stem_width=None)
densenet40 = _cifar(
    "densenet40", block_sizes=(12, 12, 12), bottleneck=False, compression=1.0, stem_width=16
)
densenet_bc100 = _bc("densenet_bc100", block_sizes=(16, 16, 16))
densenet_bc190 = _bc("densenet_bc190", block_sizes=(31, 31, 31), defaults=dict(growth=40))
densenet_bc250 = _bc("densenet_bc250", block_sizes=(41, 41, 41), defaults=dict(growth=24))
