"""Network in Network: a small perceptron in place of each linear filter, and the mean over space.

Lin, Chen & Yan 2014, "Network in network" (arXiv 1312.4400), figure 2. A convolution and the 1x1
convolutions after it are the perceptron that slides over the image. The classes have no dense
layer: each class has a map, and its logit is the mean of the map. Params:

  nin_cifar        966,986 with 10 classes, the authors' network for CIFAR
  nin_imagenet   7,595,176 with 1,000 classes, Caffe's network for ImageNet

The map of a class is a linear function of the last features, so its mean is the same function of
their mean. The layer "head" computes that.
"""

from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.pooling import max_pool_to_the_edge
from library.variants import variant

_normal = nn.initializers.normal(0.05)
_he_normal = nn.initializers.he_normal()


class Perceptron(NamedTuple):
    """A block of the network.

    Attributes:
      size: side of the kernels of its convolution.
      widths: channels of the convolution and of the 1x1 convolutions after it.
      stride: stride of the convolution; with a stride there is no padding.
      pool: the pooling before the block, "max" or "average" of 3x3 with stride 2, or "".
    """

    size: int
    widths: tuple[int, ...]
    stride: int = 1
    pool: str = ""


CIFAR = (
    Perceptron(5, (192, 160, 96)),
    Perceptron(5, (192, 192, 192), pool="max"),
    Perceptron(3, (192, 192), pool="average"),
)
IMAGENET = (
    Perceptron(11, (96, 96, 96), stride=4),
    Perceptron(5, (256, 256, 256), pool="max"),
    Perceptron(3, (384, 384, 384), pool="max"),
    Perceptron(3, (1024, 1024), pool="max"),
)
# Smallest side of an image: the poolings of a smaller one would be empty.
SMALLEST = {CIFAR: 4, IMAGENET: 39}


class NIN(nn.Module):
    """Network in Network: blocks of convolutions with poolings and dropout between, mean, head.

    Submodules are "block1_conv", "block1_mlp1", "block1_mlp2", "block2_conv", ..., "head". Stores
    "stage1", "stage2", ..., the output of each block, and "features" (b, d), the mean of the last.

    Kernels of the network for CIFAR start with a variance of 2 / fan-in; the paper's start smaller
    and train only slowly. Those for ImageNet start as in Caffe, with a deviation of 0.05.

    Attributes:
      num_classes: size of the logits.
      blocks: the blocks, of CIFAR or IMAGENET; a variant fixes them.
      dropout: rate at the poolings, 0.5 in the paper; for ImageNet only at the last.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or there are no classes.
    """

    num_classes: int = 10
    blocks: tuple[Perceptron, ...] = CIFAR
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
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be pooled.
        """
        # A variant's blocks are plain tuples after Flax has frozen them.
        blocks = tuple(Perceptron(*block) for block in self.blocks)
        check_image("Network in Network", image, SMALLEST.get(blocks, 1))
        x = image.astype(self.dtype)
        for i, block in enumerate(blocks, 1):
            if block.pool:
                x = self._pooled(x, block.pool)
                if blocks != IMAGENET or i == len(blocks):
                    name = f"block{i}_dropout"
                    x = nn.Dropout(self.dropout, deterministic=not train, name=name)(x)
            x = self._block(x, i, block)
            store(self, f"stage{i}", x)
        x = x.mean(axis=(1, 2))
        store(self, "features", x)
        init = nn.initializers.lecun_normal()
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)

    def _block(self, x, i, block):
        init = _he_normal if tuple(self.blocks) == CIFAR else _normal
        options = dict(dtype=self.dtype, param_dtype=self.param_dtype, kernel_init=init)
        first, *others = block.widths
        padding = "VALID" if block.stride > 1 else "SAME"
        sides, strides = 2 * (block.size,), 2 * (block.stride,)
        conv = nn.Conv(first, sides, strides, padding, name=f"block{i}_conv", **options)
        x = nn.relu(conv(x))
        for j, width in enumerate(others, 1):
            x = nn.relu(nn.Conv(width, (1, 1), name=f"block{i}_mlp{j}", **options)(x))
        return x

    def _pooled(self, x, pool):
        if pool == "max":
            return max_pool_to_the_edge(x, 3, 2)
        rest = [(0, -(side - 3) % 2) for side in x.shape[1:3]]
        return nn.avg_pool(x, (3, 3), (2, 2), rest, count_include_pad=False)


nin_cifar = variant(NIN, "nin_cifar", blocks=CIFAR)
nin_imagenet = variant(NIN, "nin_imagenet", blocks=IMAGENET, defaults=dict(num_classes=1000))
