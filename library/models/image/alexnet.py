"""AlexNet, with the two towers of the original paper and with the single tower of its successor.

`alexnet_2012` is Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep
convolutional neural networks" (NeurIPS 25), section 3.5: 60,965,224 params with a thousand classes.
The two GPUs of the paper are two groups of channels here: the second, fourth and fifth convolution
see only the channels of their own GPU. With 224x224 images its layers are

  layer   output     kernels     params
  conv1   55x55x96   11x11x3     34,944   response normalization, 3x3 max pooling of stride 2
  conv2   27x27x256  5x5x48     307,456   response normalization, 3x3 max pooling of stride 2
  conv3   13x13x384  3x3x256    885,120
  conv4   13x13x384  3x3x192    663,936
  conv5   13x13x256  3x3x192    442,624   3x3 max pooling of stride 2
  fc6     4096               37,752,832   dropout
  fc7     4096               16,781,312   dropout
  head    1000                4,097,000

(Section 3.5 counts 253,440 units in conv1, but 55 x 55 x 96 are 290,400.) The sums of the response
normalization run over the channels of both towers, as in the formula of section 3.3.

`alexnet` is Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks"
(arXiv 1404.5997), as in torchvision. It has one narrower tower, no response normalization, and
dropout before fc6 and fc7 instead of after them: 61,100,840 params. For images of 32x32, use
another first convolution, `stem="cifar"`: 5x5 with stride 2.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.pooling import adaptive_average_pool
from library.layers.response_normalization import local_response_norm
from library.variants import variant


class Layer(NamedTuple):
    """A convolution and relu, maybe followed by response normalization and pooling."""

    features: int
    size: int
    groups: int = 1
    bias: float = 0.0
    normalized: bool = False
    pooled: bool = False


# By number of towers. Section 5 starts some biases at one, so that relus get positive inputs.
LAYERS = {
    1: (
        Layer(64, 11, pooled=True),
        Layer(192, 5, pooled=True),
        Layer(384, 3),
        Layer(256, 3),
        Layer(256, 3, pooled=True),
    ),
    2: (
        Layer(96, 11, normalized=True, pooled=True),
        Layer(256, 5, groups=2, bias=1.0, normalized=True, pooled=True),
        Layer(384, 3),
        Layer(384, 3, groups=2, bias=1.0),
        Layer(256, 3, groups=2, bias=1.0, pooled=True),
    ),
}
# Size and stride of the first convolution.
STEMS = {"imagenet": (11, 4), "cifar": (5, 2)}
# Smallest side of an image, by stem and towers: the last pooling of a smaller one would be empty.
SMALLEST = {("imagenet", 1): 63, ("imagenet", 2): 64, ("cifar", 1): 29}


class AlexNet(nn.Module):
    """AlexNet: five convolutions, three poolings, two hidden layers, linear head.

    Submodules are "conv1", ..., "conv5", "fc6", "fc7", "head". Stores the inputs of the poolings,
    "stage1", "stage2" and "stage3" (55x55, 27x27 and 13x13 for 224x224 images), and "features",
    the output of fc7.

    With two towers, kernels start from a normal distribution with a standard deviation of 0.01
    (section 5). With one tower, kernels and all biases but the head's start as in PyTorch: uniform
    within 1 / sqrt(fan-in).

    Two towers have response normalization. They pad images of 224x224 to 227x227, which strides of
    4 cover exactly. They do not pad images of 227x227.

    Attributes:
      num_classes: size of the logits.
      hidden_size: units of fc6 and of fc7, in both towers together.
      dropout: rate before fc6 and fc7 for one tower, after them for two towers.
      stem: "imagenet" (11x11 with stride 4), or "cifar" (5x5 with stride 2) for images of 32x32.
      width_multiplier: factor of the channels of all convolutions, which are rounded.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
      towers: 1 or 2.

    Raises:
      ConfigError: a stem or dtype is unknown, a rate is outside [0, 1), a size is below 1, or the
        multiplier is not positive.
    """

    num_classes: int = 1000
    hidden_size: int = 4096
    dropout: float = 0.5
    stem: str = "imagenet"
    width_multiplier: float = 1.0
    dtype: str = "float32"
    param_dtype: str = "float32"
    towers: int = 1

    def __post_init__(self):
        check_choice("stem", self.stem, STEMS)
        if self.width_multiplier <= 0:
            raise ConfigError(f"width_multiplier={self.width_multiplier}: a factor is more than 0")
        check_sizes(num_classes=self.num_classes, hidden_size=self.hidden_size)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Images of 224x224 and 227x227 end in a 6x6 grid. With the stem "imagenet", other grids are
        averaged to 6x6, as in torchvision.

        Raises:
          ValueError: the image is too small to be pooled three times.
        """
        check_image("AlexNet", image, SMALLEST[self.stem, self.towers])
        x, stage = image, 0
        for i, layer in enumerate(LAYERS[self.towers], 1):
            x = nn.relu(self._conv(x, i, layer))
            x = local_response_norm(x) if layer.normalized else x
            if layer.pooled:
                stage += 1
                store(self, f"stage{stage}", x)
                x = nn.max_pool(x, (3, 3), (2, 2))
        x = adaptive_average_pool(x, 6) if self.stem == "imagenet" else x
        x = x.reshape(len(x), -1)
        for name in ("fc6", "fc7"):
            drop = nn.Dropout(self.dropout, deterministic=not train, name=f"{name}_dropout")
            x = x if self.towers == 2 else drop(x)
            x = nn.relu(self._dense(x, name))
            x = drop(x) if self.towers == 2 else x
        store(self, "features", x)
        init = self._initial(x.shape[-1])
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)

    def _conv(self, x, i, layer):
        size, stride = STEMS[self.stem] if i == 1 else (layer.size, 1)
        padding = (size - 1) // 2
        if i == 1 and self.stem == "imagenet":
            padding = [_margins(side, self.towers) for side in x.shape[1:3]]
        fan_in = size**2 * x.shape[-1] // layer.groups
        return nn.Conv(
            max(1, round(layer.features * self.width_multiplier)),
            (size, size),
            strides=(stride, stride),
            padding=padding,
            feature_group_count=layer.groups,
            kernel_init=self._initial(fan_in),
            bias_init=self._initial_bias(fan_in, layer.bias),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=f"conv{i}",
        )(x)

    def _dense(self, x, name):
        fan_in = x.shape[-1]
        return nn.Dense(
            self.hidden_size,
            kernel_init=self._initial(fan_in),
            bias_init=self._initial_bias(fan_in, 1.0),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )(x)

    def _initial(self, fan_in):
        return nn.initializers.normal(0.01) if self.towers == 2 else _uniform(fan_in)

    def _initial_bias(self, fan_in, value):
        return nn.initializers.constant(value) if self.towers == 2 else _uniform(fan_in)


alexnet = variant(AlexNet, "alexnet", towers=1)
alexnet_2012 = variant(AlexNet, "alexnet_2012", towers=2, stem="imagenet", width_multiplier=1.0)


def _margins(side: int, towers: int) -> tuple[int, int]:
    """Returns the padding of conv1 at the start and at the end of an axis."""
    if towers == 1:
        return 2, 2
    missing = -(side - 11) % 4
    return (missing + 1) // 2, missing // 2


def _uniform(fan_in: int) -> Callable:
    def init(key, shape, dtype):
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
