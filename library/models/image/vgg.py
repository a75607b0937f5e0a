"""VGG: deep stacks of 3x3 convolutions.

Simonyan & Zisserman 2014, "Very deep convolutional networks for large-scale image recognition"
(arXiv 1409.1556), table 1: configurations A, B, D and E, without and with batch normalization after
each convolution, as in torchvision. Params with a thousand classes:

  vgg11  A  132,863,336    vgg11_bn  132,868,840
  vgg13  B  133,047,848    vgg13_bn  133,053,736
  vgg16  D  138,357,544    vgg16_bn  138,365,992
  vgg19  E  143,667,240    vgg19_bn  143,678,248

For 32x32 images, which end in a single pixel, use `pool_size=1`, without averaging to 7x7, and
`hidden_sizes=()`, without hidden layers. vgg16_bn then has 14,728,266 params with ten classes, as
the usual VGG-16 for CIFAR.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.pooling import adaptive_average_pool
from library.variants import variant

# Convolutions of each stage.
STAGES = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
# Channels of each stage, in units of those of the first stage.
WIDTHS = (1, 2, 4, 8, 8)

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class VGG(nn.Module):
    """VGG: stages of convolutions, each followed by 2x2 max pooling, hidden layers, linear head.

    Submodules are "stage1_conv1", "stage1_norm1", ..., "fc1", "fc2", "head". Stores "stage1", ...,
    "stage5", each before pooling, and "features", the output of the last hidden layer.

    Kernels of convolutions start with He's variance for the fan-out, kernels of dense layers with a
    standard deviation of 0.01, and biases at zero, as in torchvision. The paper initialises deep
    networks with trained shallow ones.

    Attributes:
      num_classes: size of the logits.
      width: channels of the first stage; the others have 2, 4, 8 and 8 times as many.
      pool_size: rows and columns to which the last features are averaged. 7 does not change those
        of 224x224 images; use 1 for 32x32 images.
      hidden_sizes: units of each hidden layer; use () for 32x32 images.
      dropout: rate after each hidden layer.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
      stage_sizes: convolutions of each stage.
      batch_norm: whether batch normalization follows each convolution.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 1000
    width: int = 64
    pool_size: int = 7
    hidden_sizes: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"
    stage_sizes: tuple[int, ...] = STAGES["vgg16"]
    batch_norm: bool = False

    def __post_init__(self):
        check_sizes(
            num_classes=self.num_classes,
            width=self.width,
            pool_size=self.pool_size,
            hidden_sizes=self.hidden_sizes,
        )
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be halved after each stage.
        """
        check_image("VGG", image, 2 ** len(self.stage_sizes))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image
        widths = [self.width * factor for factor in WIDTHS]
        for stage, (layers, features) in enumerate(zip(self.stage_sizes, widths), 1):
            for i in range(1, layers + 1):
                name = f"stage{stage}_conv{i}"
                x = nn.Conv(
                    features, (3, 3), padding=1, kernel_init=_he_normal, name=name, **types
                )(x)
                if self.batch_norm:
                    x = norm(x, "batch", name=f"stage{stage}_norm{i}", train=train, **types)
                x = nn.relu(x)
            store(self, f"stage{stage}", x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = adaptive_average_pool(x, self.pool_size)
        x = x.reshape(len(x), -1)
        init = nn.initializers.normal(0.01)
        for i, size in enumerate(self.hidden_sizes, 1):
            x = nn.relu(nn.Dense(size, kernel_init=init, name=f"fc{i}", **types)(x))
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"fc{i}_dropout")(x)
        store(self, "features", x)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


vgg11 = variant(VGG, "vgg11", stage_sizes=STAGES["vgg11"], batch_norm=False)
vgg13 = variant(VGG, "vgg13", stage_sizes=STAGES["vgg13"], batch_norm=False)
vgg16 = variant(VGG, "vgg16", stage_sizes=STAGES["vgg16"], batch_norm=False)
vgg19 = variant(VGG, "vgg19", stage_sizes=STAGES["vgg19"], batch_norm=False)
vgg11_bn = variant(VGG, "vgg11_bn", stage_sizes=STAGES["vgg11"], batch_norm=True)
vgg13_bn = variant(VGG, "vgg13_bn", stage_sizes=STAGES["vgg13"], batch_norm=True)
vgg16_bn = variant(VGG, "vgg16_bn", stage_sizes=STAGES["vgg16"], batch_norm=True)
vgg19_bn = variant(VGG, "vgg19_bn", stage_sizes=STAGES["vgg19"], batch_norm=True)
