"""Inception-v4: a more uniform Inception architecture with more and wider modules.

Szegedy, Ioffe, Vanhoucke & Alemi 2016, "Inception-v4, Inception-ResNet and the impact of residual
connections on learning" (arXiv 1602.07261), section 3.1 and figures 3 to 9. It is numerically the
same as timm's inception_v4, which is the authors' own code: 42,679,816 params with a thousand
classes.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.models.image.inception_v3 import HALVE, POOL, Conv, ConvNorm, Mixed
from library.variants import variant

# Names count branches and their steps: branch4_2 follows the pooling of the fourth branch.
STEM = (
    Conv("conv1", 32, (3, 3), 2),
    Conv("conv2", 32, (3, 3), padding="VALID"),
    Conv("conv3", 64, (3, 3)),
)
# Figure 3: two parallel branches halve the grid, or remove its border.
_STEM_3A = ((HALVE,), (Conv("branch2", 96, (3, 3), 2),))
_STEM_4A = (
    (Conv("branch1_1", 64, (1, 1)), Conv("branch1_2", 96, (3, 3), padding="VALID")),
    (
        Conv("branch2_1", 64, (1, 1)),
        Conv("branch2_2", 64, (1, 7)),
        Conv("branch2_3", 64, (7, 1)),
        Conv("branch2_4", 96, (3, 3), padding="VALID"),
    ),
)
_STEM_5A = ((Conv("branch1", 192, (3, 3), 2),), (HALVE,))
# Figure 4, on the 35x35 grid.
_A = (
    (Conv("branch1", 96, (1, 1)),),
    (Conv("branch2_1", 64, (1, 1)), Conv("branch2_2", 96, (3, 3))),
    (
        Conv("branch3_1", 64, (1, 1)),
        Conv("branch3_2", 96, (3, 3)),
        Conv("branch3_3", 96, (3, 3)),
    ),
    (POOL, Conv("branch4_2", 96, (1, 1))),
)
# Figure 7, with k, l, m, n of table 1.
_REDUCTION_A = (
    (Conv("branch1", 384, (3, 3), 2),),
    (
        Conv("branch2_1", 192, (1, 1)),
        Conv("branch2_2", 224, (3, 3)),
        Conv("branch2_3", 256, (3, 3), 2),
    ),
    (HALVE,),
)
# Figure 5, on the 17x17 grid: 7x7 as 1x7 and 7x1.
_B = (
    (Conv("branch1", 384, (1, 1)),),
    (
        Conv("branch2_1", 192, (1, 1)),
        Conv("branch2_2", 224, (1, 7)),
        Conv("branch2_3", 256, (7, 1)),
    ),
    (
        Conv("branch3_1", 192, (1, 1)),
        Conv("branch3_2", 192, (7, 1)),
        Conv("branch3_3", 224, (1, 7)),
        Conv("branch3_4", 224, (7, 1)),
        Conv("branch3_5", 256, (1, 7)),
    ),
    (POOL, Conv("branch4_2", 128, (1, 1))),
)
# Figure 8.
_REDUCTION_B = (
    (Conv("branch1_1", 192, (1, 1)), Conv("branch1_2", 192, (3, 3), 2)),
    (
        Conv("branch2_1", 256, (1, 1)),
        Conv("branch2_2", 256, (1, 7)),
        Conv("branch2_3", 320, (7, 1)),
        Conv("branch2_4", 320, (3, 3), 2),
    ),
    (HALVE,),
)
# Figure 6, on the 8x8 grid; the forks at the ends widen the filter banks.
_C = (
    (Conv("branch1", 256, (1, 1)),),
    (
        Conv("branch2_1", 384, (1, 1)),
        (Conv("branch2_2a", 256, (1, 3)), Conv("branch2_2b", 256, (3, 1))),
    ),
    (
        Conv("branch3_1", 384, (1, 1)),
        Conv("branch3_2", 448, (3, 1)),
        Conv("branch3_3", 512, (1, 3)),
        (Conv("branch3_4a", 256, (1, 3)), Conv("branch3_4b", 256, (3, 1))),
    ),
    (POOL, Conv("branch4_2", 256, (1, 1))),
)

# The modules between two halvings of the grid, figure 9. Stage 1 is the convolutions of the stem.
STAGES = {
    2: {"stem_3a": _STEM_3A},
    3: {
        "stem_4a": _STEM_4A,
        "stem_5a": _STEM_5A,
        **{f"inception_a{i}": _A for i in range(1, 5)},
    },
    4: {"reduction_a": _REDUCTION_A, **{f"inception_b{i}": _B for i in range(1, 8)}},
    5: {"reduction_b": _REDUCTION_B, **{f"inception_c{i}": _C for i in range(1, 4)}},
}
SMALLEST = 75

_he_normal = nn.initializers.he_normal()


class InceptionV4(nn.Module):
    """Inception-v4: stem, fourteen Inception modules and two reductions, mean over space, head.

    Submodules are "conv1" to "conv3", "stem_3a", ..., "inception_a1", "reduction_a", ..., "head".
    Stores "stage1" (after the stem's convolutions, 64 channels), "stage2" (160), "stage3" (after
    the modules A, 384), "stage4" (B, 1024), "stage5" (C, 1536) and "features" (b, 1536).

    Average pooling does not count the padding. Kernels start as in the authors' code, from a
    truncated normal distribution with variance 2 / fan-in. The paper does not state initial values.

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
        check_image("Inception-v4", image, SMALLEST)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image
        for layer in STEM:
            x = ConvNorm(layer, _he_normal, name=layer.name, **types)(x, train)
        store(self, "stage1", x)
        for stage, modules in STAGES.items():
            for name, branches in modules.items():
                x = Mixed(branches, "average", False, _he_normal, name=name, **types)(x, train)
            store(self, f"stage{stage}", x)
        return pooled_head(self, x, _he_normal, train)


inception_v4 = variant(InceptionV4, "inception_v4")
