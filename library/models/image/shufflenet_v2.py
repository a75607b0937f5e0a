"""ShuffleNetV2, designed for speed as measured, not for few operations.

Ma, Zhang, Zheng & Sun 2018, "ShuffleNet V2: practical guidelines for efficient CNN architecture
design" (arXiv 1807.11164), table 5. Half of the channels pass through a unit unchanged. Only the
depthwise convolutions are grouped. The networks are numerically the same as torchvision's. Params,
and millions of multiply-adds at 224x224:

  shufflenet_v2_x0_5  1,366,792   40    shufflenet_v2_x1_5  3,503,624  296
  shufflenet_v2_x1_0  2,278,604  145    shufflenet_v2_x2_0  7,393,996  583

With `stem="cifar"`, small images keep their size up to the first unit.
"""

import functools
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.channel_shuffle import channel_shuffle
from library.layers.checks import check_dtypes, check_sizes
from library.layers.convolution import convolution
from library.layers.depthwise import depthwise
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

STEM = 24
# Stride of the first convolution, and whether max pooling follows it.
STEMS = {"imagenet": (2, True), "cifar": (1, False)}
# Units of stages 2, 3 and 4. The first unit of each stage is strided.
UNITS = (4, 8, 4)

# PyTorch's default: uniform with variance 1 / (3 fan-in).
_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
_conv = functools.partial(convolution, kernel_init=_init)


class Unit(nn.Module):
    """Unit of two branches, each half of the output, concatenated and shuffled (figure 3c, d).

    With stride 1, the first branch is one half of x, unchanged, and the second branch takes the
    other half. With stride 2, both branches take all of x. The first branch is then
    "shortcut_depthwise", "shortcut_norm1", "shortcut_conv", "shortcut_norm2". The second branch is
    "conv1", "norm1", "depthwise", "norm2", "conv2", "norm3".
    """

    features: int
    stride: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        window = partial(depthwise, size=3, stride=self.stride, kernel_init=_init, **types)
        half = self.features // 2
        if self.stride == 1:
            shortcut, x = x[..., :half], x[..., half:]
        else:
            shortcut = normalize(window(x, name="shortcut_depthwise"), name="shortcut_norm1")
            shortcut = _conv(shortcut, half, name="shortcut_conv", **types)
            shortcut = nn.relu(normalize(shortcut, name="shortcut_norm2"))
        y = nn.relu(normalize(_conv(x, half, name="conv1", **types), name="norm1"))
        y = normalize(window(y, name="depthwise"), name="norm2")
        y = nn.relu(normalize(_conv(y, half, name="conv2", **types), name="norm3"))
        return channel_shuffle(jnp.concatenate([shortcut, y], axis=-1), 2)


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2: strided convolution, max pooling, three stages of units, 1x1 convolution, head.

    Submodules are "stem_conv", "stem_norm", "stage2_unit1", ..., "last_conv", "last_norm", "head",
    with stages counted as in the paper. Stores "stage1" (after the pooling), "stage2", "stage3",
    "stage4" and "features" (b, d), the mean over space. The stem "cifar" neither strides nor pools.

    Attributes:
      num_classes: size of the logits.
      stem: "imagenet" (stride 2, max pooling) or "cifar" (neither) for small images.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
      widths: widths of stages 2, 3 and 4, which are even numbers.
      last: channels of the last convolution.

    Raises:
      ConfigError: a stem or dtype is unknown, or a size is below 1.
    """

    num_classes: int = 1000
    stem: str = "imagenet"
    dtype: str = "float32"
    param_dtype: str = "float32"
    widths: tuple[int, ...] = (116, 232, 464)
    last: int = 1024

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_choice("stem", self.stem, STEMS)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        stride, pool = STEMS[self.stem]
        x = _conv(image, STEM, 3, stride, name="stem_conv", **types)
        x = nn.relu(normalize(x, name="stem_norm"))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))) if pool else x
        store(self, "stage1", x)
        for stage, (units, width) in enumerate(zip(UNITS, self.widths), 2):
            for i in range(1, units + 1):
                stride = 2 if i == 1 else 1
                x = Unit(width, stride, name=f"stage{stage}_unit{i}", **types)(x, train)
            store(self, f"stage{stage}", x)
        x = nn.relu(normalize(_conv(x, self.last, name="last_conv", **types), name="last_norm"))
        x = x.mean(axis=(1, 2))
        store(self, "features", x)
        return linear_head(x, self.num_classes, kernel_init=_init, param_dtype=self.param_dtype)


# Widths of stages 2, 3 and 4, and of the last convolution.
shufflenet_v2_x0_5 = variant(ShuffleNetV2, "shufflenet_v2_x0_5", widths=(48, 96, 192), last=1024)
shufflenet_v2_x1_0 = variant(ShuffleNetV2, "shufflenet_v2_x1_0", widths=(116, 232, 464), last=1024)
shufflenet_v2_x1_5 = variant(ShuffleNetV2, "shufflenet_v2_x1_5", widths=(176, 352, 704), last=1024)
shufflenet_v2_x2_0 = variant(ShuffleNetV2, "shufflenet_v2_x2_0", widths=(244, 488, 976), last=2048)
