"""ShuffleNet of version 1, with grouped 1x1 convolutions and channel shuffles.

Zhang, Zhou, Lin & Sun 2018, "ShuffleNet: an extremely efficient convolutional neural network for
mobile devices" (arXiv 1707.01083), table 1. More groups allow more channels for the same number of
operations. A shuffle passes information between the groups. Params with 1000 classes, and millions
of multiply-adds at 224x224 without those of the head, as in the table:

  groups=1  1,531,936  143    groups=4  1,968,344  133
  groups=2  1,733,848  140    groups=8  2,434,768  137
  groups=3  1,865,728  137
"""

import functools
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.channel_shuffle import channel_shuffle
from library.layers.checks import check_dtypes, check_sizes
from library.layers.convolution import convolution
from library.layers.depthwise import depthwise
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

STEM = 24
# Width of the second stage, by groups. It doubles in each later stage.
WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
# Units of stages 2, 3 and 4. The first unit of each stage is strided.
UNITS = (4, 8, 4)

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
_conv = functools.partial(convolution, kernel_init=_he_normal)


class Unit(nn.Module):
    """Bottleneck unit of grouped 1x1 and depthwise 3x3 convolutions (figure 2b, c).

    The bottleneck is a quarter as wide as the output. A strided unit concatenates its channels with
    the averaged input. Other units add the input.

    Attributes:
      features: channels of the output.
      stride: 1 or 2.
      groups: groups of the 1x1 convolutions.
      first_groups: groups of the first 1x1 convolution; 1 if the input has few channels (section
        3.3).
      dtype: type of the computation.
      param_dtype: type of the params.
    """

    features: int
    stride: int
    groups: int
    first_groups: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind="batch", train=train, **types)
        y = _conv(x, self.features // 4, groups=self.first_groups, name="compress", **types)
        y = channel_shuffle(nn.relu(normalize(y, name="norm1")), self.groups)
        y = depthwise(y, 3, self.stride, kernel_init=_he_normal, name="depthwise", **types)
        y = normalize(y, name="norm2")
        new = self.features - (x.shape[-1] if self.stride > 1 else 0)
        y = normalize(_conv(y, new, groups=self.groups, name="expand", **types), name="norm3")
        if self.stride == 1:
            return nn.relu(x + y)
        averaged = nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        return nn.relu(jnp.concatenate([y, averaged], axis=-1))


class ShuffleNetV1(nn.Module):
    """A ShuffleNet: strided convolution, max pooling, three stages of units, mean over space, head.

    Submodules are "stem_conv", "stem_norm", "stage2_unit1", ..., "head", with stages counted as in
    the paper. Stores "stage1" (after the pooling), "stage2", "stage3", "stage4" and "features"
    (b, d).

    Attributes:
      num_classes: size of the logits.
      groups: groups of the 1x1 convolutions: 1, 2, 3, 4 or 8; they also set the widths.
      scale: factor of all widths, which are rounded down; 0.25 to 2 in the paper.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a number of groups or dtype is unknown, a size is below 1, or the scale gives
        widths that the groups do not divide.
    """

    num_classes: int = 1000
    groups: int = 3
    scale: float = 1.0
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_choice("groups", self.groups, WIDTHS)
        check_dtypes(self.dtype, self.param_dtype)
        stem, *widths = (
            int(w * self.scale) for w in (STEM, *(WIDTHS[self.groups] * 2**i for i in range(3)))
        )
        entering = (stem, *widths)
        divided = [w // 4 for w in widths] + [new - old for old, new in zip(entering, widths)]
        if stem < 1 or any(w < 1 or w % self.groups for w in divided):
            raise ConfigError(
                f"scale={self.scale} makes widths {stem} and {', '.join(map(str, widths))}, "
                f"which {self.groups} groups cannot divide; the paper's scales are 0.25, 0.5, 1, "
                "1.5 and 2"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = _conv(image, int(STEM * self.scale), 3, 2, name="stem_conv", **types)
        x = nn.relu(norm(x, "batch", name="stem_norm", train=train, **types))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        store(self, "stage1", x)
        for stage, units in enumerate(UNITS, 2):
            for i in range(1, units + 1):
                x = Unit(
                    int(WIDTHS[self.groups] * 2 ** (stage - 2) * self.scale),
                    stride=2 if i == 1 else 1,
                    groups=self.groups,
                    first_groups=1 if stage == 2 and i == 1 else self.groups,
                    name=f"stage{stage}_unit{i}",
                    **types,
                )(x, train)
            store(self, f"stage{stage}", x)
        x = x.mean(axis=(1, 2))
        store(self, "features", x)
        init = nn.initializers.normal(0.01)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


shufflenet_v1 = variant(ShuffleNetV1, "shufflenet_v1")
