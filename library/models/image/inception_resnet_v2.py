"""Inception-ResNet-v2: Inception modules as the residuals of a residual network.

Szegedy, Ioffe, Vanhoucke & Alemi 2016, "Inception-v4, Inception-ResNet and the impact of residual
connections on learning" (arXiv 1602.07261), section 3.2. It is numerically the same as timm's
inception_resnet_v2, which is the authors' own code: 55,843,464 params with a thousand classes.

The authors' code differs from figure 15 of the paper. It has the stem of Inception-v3 and a plain
Inception module instead of the stem of Inception-v4. It has 10, 20 and 10 residual blocks instead
of 5, 10 and 5, and a 1x1 convolution before the mean.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.models.image.inception_v3 import HALVE, POOL, STEM, Conv, ConvNorm, Mixed
from library.variants import variant

# Names count branches and their steps: branch4_2 follows the pooling of the fourth branch.
_INCEPTION_A = (
    (Conv("branch1", 96, (1, 1)),),
    (Conv("branch2_1", 48, (1, 1)), Conv("branch2_2", 64, (5, 5))),
    (
        Conv("branch3_1", 64, (1, 1)),
        Conv("branch3_2", 96, (3, 3)),
        Conv("branch3_3", 96, (3, 3)),
    ),
    (POOL, Conv("branch4_2", 64, (1, 1))),
)
# Figure 7 with k, l, m, n of table 1, and figure 18.
_REDUCTION_A = (
    (Conv("branch1", 384, (3, 3), 2),),
    (
        Conv("branch2_1", 256, (1, 1)),
        Conv("branch2_2", 256, (3, 3)),
        Conv("branch2_3", 384, (3, 3), 2),
    ),
    (HALVE,),
)
_REDUCTION_B = (
    (Conv("branch1_1", 256, (1, 1)), Conv("branch1_2", 384, (3, 3), 2)),
    (Conv("branch2_1", 256, (1, 1)), Conv("branch2_2", 288, (3, 3), 2)),
    (
        Conv("branch3_1", 256, (1, 1)),
        Conv("branch3_2", 288, (3, 3)),
        Conv("branch3_3", 320, (3, 3), 2),
    ),
    (HALVE,),
)
# Residual branches on the grids of 35x35, 17x17 and 8x8: figures 16, 17 and 19.
_A = (
    (Conv("branch1", 32, (1, 1)),),
    (Conv("branch2_1", 32, (1, 1)), Conv("branch2_2", 32, (3, 3))),
    (
        Conv("branch3_1", 32, (1, 1)),
        Conv("branch3_2", 48, (3, 3)),
        Conv("branch3_3", 64, (3, 3)),
    ),
)
_B = (
    (Conv("branch1", 192, (1, 1)),),
    (
        Conv("branch2_1", 128, (1, 1)),
        Conv("branch2_2", 160, (1, 7)),
        Conv("branch2_3", 192, (7, 1)),
    ),
)
_C = (
    (Conv("branch1", 192, (1, 1)),),
    (
        Conv("branch2_1", 192, (1, 1)),
        Conv("branch2_2", 224, (1, 3)),
        Conv("branch2_3", 256, (3, 1)),
    ),
)
# For each stage: the module before its blocks, and the letter, branches, number and scale of these.
STAGES = {
    3: (("inception_a", _INCEPTION_A), ("a", _A, 10, 0.17)),
    4: (("reduction_a", _REDUCTION_A), ("b", _B, 20, 0.1)),
    5: (("reduction_b", _REDUCTION_B), ("c", _C, 9, 0.2)),
}
LAST = Conv("conv2d_7b", 1536, (1, 1))
SMALLEST = 75

_he_normal = nn.initializers.he_normal()


class Block(nn.Module):
    """Residual block: relu(x + scale * conv(branches(x))), figure 16.

    "branches" are Inception branches. "conv" is a 1x1 convolution with a bias. Small scales keep
    wide networks from dying early in training (section 3.3).
    """

    branches: tuple
    scale: float
    activate: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        """Returns features of the same shape. Without `activate` there is no relu at the end."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        y = Mixed(self.branches, "average", False, _he_normal, name="branches", **types)(x, train)
        y = nn.Conv(x.shape[-1], (1, 1), kernel_init=_he_normal, name="conv", **types)(y)
        x = x + self.scale * y
        return nn.relu(x) if self.activate else x


class InceptionResNetV2(nn.Module):
    """Inception-ResNet-v2: stem, three stages of residual blocks, 1x1 convolution, mean, head.

    Submodules are "conv2d_1a_3x3", ..., "inception_a", "block_a1", ..., "reduction_a", "block_b1",
    ..., "conv2d_7b", "head". Stores "stage1" and "stage2" (before the two poolings of the stem, 64
    and 192 channels), "stage3" (after the blocks A, 320), "stage4" (B, 1088), "stage5" (after the
    last convolution, 1536) and "features" (b, 1536).

    Average pooling does not count the padding. The last block has scale 1 and no relu. Kernels
    start as in the authors' code, from a truncated normal distribution with variance 2 / fan-in.
    The paper does not state initial values.

    Attributes:
      num_classes: size of the logits.
      dropout: rate before the head, 0.2 in the paper.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 1000
    dropout: float = 0.2
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32. Images are 299x299 in the paper.

        Raises:
          ValueError: the image is too small to be halved five times without padding.
        """
        check_image("Inception-ResNet-v2", image, SMALLEST)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image
        for i, layers in enumerate(STEM, 1):
            for layer in layers:
                x = ConvNorm(layer, _he_normal, name=layer.name, **types)(x, train)
            store(self, f"stage{i}", x)
            x = nn.max_pool(x, (3, 3), (2, 2))
        for stage, ((name, branches), (letter, residual, blocks, scale)) in STAGES.items():
            x = Mixed(branches, "average", False, _he_normal, name=name, **types)(x, train)
            for i in range(1, blocks + 1):
                x = Block(residual, scale, name=f"block_{letter}{i}", **types)(x, train)
            if stage < 5:
                store(self, f"stage{stage}", x)
        x = Block(_C, 1.0, activate=False, name="block_c10", **types)(x, train)
        x = ConvNorm(LAST, _he_normal, name=LAST.name, **types)(x, train)
        store(self, "stage5", x)
        return pooled_head(self, x, _he_normal, train)


inception_resnet_v2 = variant(InceptionResNetV2, "inception_resnet_v2")
