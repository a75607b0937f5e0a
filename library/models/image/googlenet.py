"""GoogLeNet, or Inception-v1: modules of parallel 1x1, 3x3 and 5x5 convolutions and pooling.

Szegedy et al. 2014, "Going deeper with convolutions" (arXiv 1409.4842). Params with a thousand
classes, without and with the two auxiliary classifiers:

  googlenet       6,624,904  13,004,888
  googlenet_2014  6,998,552  13,378,280

`googlenet` is the network of torchvision. It has batch normalization, and 3x3 convolutions instead
of the paper's 5x5. `googlenet_2014` is the paper's table 1. Details that the paper does not state
are those of Caffe's bvlc_googlenet: response normalization with k = 1 and alpha = 1e-4 / 5.

Small images need another stem, with a 3x3 first convolution and no pooling after it: "cifar", or
"strided" for a quarter of the computation.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head, pooled_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.pooling import adaptive_average_pool, max_pool_to_the_edge
from library.layers.response_normalization import local_response_norm
from library.models.image.resnet import STEMS
from library.variants import variant

# Table 1. Channels of: the 1x1 convolution; the 1x1 reduction before the 3x3 one, and the 3x3 one;
# the 1x1 reduction before the 5x5 one, and the 5x5 one; the projection after pooling. A stage has
# the modules between two poolings.
STAGES = {
    3: {
        "inception3a": (64, 96, 128, 16, 32, 32),
        "inception3b": (128, 128, 192, 32, 96, 64),
    },
    4: {
        "inception4a": (192, 96, 208, 16, 48, 64),
        "inception4b": (160, 112, 224, 24, 64, 64),
        "inception4c": (128, 128, 256, 24, 64, 64),
        "inception4d": (112, 144, 288, 32, 64, 64),
        "inception4e": (256, 160, 320, 32, 128, 128),
    },
    5: {
        "inception5a": (256, 160, 320, 32, 128, 128),
        "inception5b": (384, 192, 384, 48, 128, 128),
    },
}
# Modules whose outputs are inputs of the auxiliary classifiers (figure 3).
AUXILIARY = {"inception4a": "aux1", "inception4d": "aux2"}
# Smallest side of an image, by stem: the last pooling of a smaller one would be empty.
SMALLEST = {"imagenet": 15, "cifar": 4, "strided": 7}
# The same of the original network, whose last pooling is larger, and with auxiliary classifiers.
SMALLEST_ORIGINAL, SMALLEST_AUX = 31, 79

_response_norm = partial(local_response_norm, k=1.0, alpha=1e-4 / 5)
_caffe_xavier = nn.initializers.lecun_uniform()
_normal = nn.initializers.normal(0.01)


class Conv(nn.Module):
    """Convolution "conv", batch normalization "norm" (epsilon 1e-3), relu.

    The original has a bias, which starts at 0.2, instead of normalization.
    """

    features: int
    size: int
    original: bool
    stride: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.Conv(
            self.features,
            (self.size, self.size),
            strides=(self.stride, self.stride),
            padding=(self.size - 1) // 2,
            use_bias=self.original,
            kernel_init=_caffe_xavier if self.original else _normal,
            bias_init=nn.initializers.constant(0.2),
            name="conv",
            **types,
        )(x)
        if not self.original:
            x = norm(x, "batch", name="norm", train=train, epsilon=1e-3, **types)
        return nn.relu(x)


class Inception(nn.Module):
    """An Inception module (figure 2b): four branches, their channels concatenated."""

    channels: tuple[int, int, int, int, int, int]
    original: bool
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w _"]:
        """Returns the channels of the branches, in the order of the table."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        def conv(x, features, size, name):
            return Conv(features, size, self.original, name=name, **types)(x, train)

        one, reduce3, three, reduce5, five, pooled = self.channels
        # torchvision has 3x3 for 5x5 by mistake, and keeps it as its weights were trained with it.
        largest = 5 if self.original else 3
        ends = [
            conv(x, one, 1, "conv1x1"),
            conv(conv(x, reduce3, 1, "reduce3x3"), three, 3, "conv3x3"),
            conv(conv(x, reduce5, 1, "reduce5x5"), five, largest, "conv5x5"),
            conv(nn.max_pool(x, (3, 3), padding="SAME"), pooled, 1, "pool_projection"),
        ]
        return jnp.concatenate(ends, axis=-1)


class Auxiliary(nn.Module):
    """An auxiliary classifier (section 5), which brings gradients to the lower layers."""

    num_classes: int
    original: bool
    dropout: float
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b k"]:
        """Returns logits, float32. The paper pools the 14x14 grid of 224x224 images to 4x4."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = _caffe_xavier if self.original else _normal
        x = nn.avg_pool(x, (5, 5), (3, 3)) if self.original else adaptive_average_pool(x, 4)
        x = Conv(128, 1, self.original, name="conv1", **types)(x, train)
        x = x.reshape(len(x), -1)
        bias = nn.initializers.constant(0.2 if self.original else 0.0)
        x = nn.relu(nn.Dense(1024, kernel_init=init, bias_init=bias, name="fc1", **types)(x))
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


class GoogLeNet(nn.Module):
    """GoogLeNet: three convolutions, nine Inception modules, mean over space, dropout, linear head.

    Submodules are "conv1", "conv2", "conv3", "inception3a", ..., "inception5b", "head" and, with
    `aux`, "aux1" and "aux2". Stores "stage1" (conv1), "stage2" (conv3), "stage3", "stage4" and
    "stage5", each before pooling, "features" (b, 1024) and, in training with `aux`, "aux1_logits"
    and "aux2_logits" (b, k).

    With batch normalization, kernels start from a normal distribution with a standard deviation of
    0.01, as in torchvision. In the original network, kernels start uniform with variance
    1 / fan-in, and biases at 0.2, as in Caffe. The paper does not state initial values.

    torchvision's published weights take images in [-1, 1].

    Attributes:
      num_classes: size of the logits.
      aux: adds the auxiliary classifiers, whose logits are stored in training as "aux1_logits" and
        "aux2_logits". Only a loss with these logits trains them. The paper adds 0.3 times the loss
        of each. In the original network they need images of 79x79 or larger, a 5x5 grid.
        Without them, the lower layers of the original network get small gradients at first.
      dropout: rate before the head.
      aux_dropout: rate in the auxiliary classifiers.
      stem: "imagenet" (7x7 with stride 2, max pooling) or, for small images, "cifar" (3x3) or
        "strided" (3x3 with stride 2).
      width_multiplier: factor of all channels but those of the auxiliary classifiers, rounded.
      dtype: type of the computation; the heads are computed in float32.
      param_dtype: type of the params.
      original: whether the network is that of the paper.

    Raises:
      ConfigError: a stem or dtype is unknown, a rate is outside [0, 1), there are no classes, or
        the multiplier is not positive.
    """

    num_classes: int = 1000
    aux: bool = False
    dropout: float = 0.2
    aux_dropout: float = 0.7
    stem: str = "imagenet"
    width_multiplier: float = 1.0
    dtype: str = "float32"
    param_dtype: str = "float32"
    original: bool = False

    def __post_init__(self):
        check_choice("stem", self.stem, STEMS)
        if self.width_multiplier <= 0:
            raise ConfigError(f"width_multiplier={self.width_multiplier}: a factor is more than 0")
        check_sizes(num_classes=self.num_classes)
        check_rates(dropout=self.dropout, aux_dropout=self.aux_dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be pooled four times, or for the auxiliary
            classifiers of the original network.
        """
        self._check_image(image, train)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = self._stem(image, train)
        for stage, modules in STAGES.items():
            # The last pooling of torchvision is 2x2.
            size = 2 if stage == 5 and not self.original else 3
            x = max_pool_to_the_edge(x, size, 2)
            for name, channels in modules.items():
                channels = tuple(map(self._scaled, channels))
                x = Inception(channels, self.original, name=name, **types)(x, train)
                if name in AUXILIARY:
                    self._auxiliary(x, AUXILIARY[name], train)
            store(self, f"stage{stage}", x)
        init = _caffe_xavier if self.original else _normal
        return pooled_head(self, x, init, train)

    def _check_image(self, image, train):
        if self.original and self._has_auxiliary(train):
            check_image("GoogLeNet with aux=True", image, SMALLEST_AUX)
        smallest = SMALLEST_ORIGINAL if self.original else SMALLEST[self.stem]
        check_image("GoogLeNet", image, smallest)

    def _has_auxiliary(self, train):
        return self.aux and (train or self.is_initializing())

    def _stem(self, image, train):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        size, stride, pool = STEMS[self.stem]
        few, many = self._scaled(64), self._scaled(192)
        x = Conv(few, size, self.original, stride, name="conv1", **types)(image, train)
        store(self, "stage1", x)
        x = max_pool_to_the_edge(x, 3, 2) if pool else x
        x = _response_norm(x) if self.original else x
        x = Conv(few, 1, self.original, name="conv2", **types)(x, train)
        x = Conv(many, 3, self.original, name="conv3", **types)(x, train)
        x = _response_norm(x) if self.original else x
        store(self, "stage2", x)
        return x

    def _scaled(self, channels):
        return max(1, round(channels * self.width_multiplier))

    def _auxiliary(self, x, name, train):
        if self._has_auxiliary(train):
            types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            classifier = Auxiliary(
                self.num_classes, self.original, self.aux_dropout, name=name, **types
            )
            store(self, f"{name}_logits", classifier(x, train))


googlenet = variant(GoogLeNet, "googlenet", original=False)
googlenet_2014 = variant(
    GoogLeNet,
    "googlenet_2014",
    original=True,
    stem="imagenet",
    width_multiplier=1.0,
    defaults=dict(dropout=0.4),
)
