"""Inception-ResNet-v1 for faces, as FaceNet projects have it: a face becomes a unit vector.

Szegedy, Ioffe, Vanhoucke & Alemi 2016, "Inception-v4, Inception-ResNet and the impact of residual
connections on learning" (arXiv 1602.07261), section 3.2 and figures 10 to 14, with the embedding of
Schroff, Kalenichenko & Philbin 2015, "FaceNet: A unified embedding for face recognition and
clustering" (arXiv 1503.03832). The layout is that of facenet-pytorch, a port of D. Sandberg's
network: 23,482,624 params of the embedding, and 27,910,327 with 8,631 classes (VGGFace2).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.models.image.inception_resnet_v2 import Block
from library.models.image.inception_v3 import HALVE, Conv, ConvNorm, Mixed
from library.variants import variant

STEM = (
    (
        Conv("conv2d_1a", 32, (3, 3), 2),
        Conv("conv2d_2a", 32, (3, 3), padding="VALID"),
        Conv("conv2d_2b", 64, (3, 3)),
    ),
    (
        Conv("conv2d_3b", 80, (1, 1)),
        Conv("conv2d_4a", 192, (3, 3), padding="VALID"),
        Conv("conv2d_4b", 256, (3, 3), 2),
    ),
)
# Names count branches and their steps from 1: branch2_1 is the first step of the second branch.
_REDUCTION_A = (
    (Conv("branch1", 384, (3, 3), 2),),
    (
        Conv("branch2_1", 192, (1, 1)),
        Conv("branch2_2", 192, (3, 3)),
        Conv("branch2_3", 256, (3, 3), 2),
    ),
    (HALVE,),
)
_REDUCTION_B = (
    (Conv("branch1_1", 256, (1, 1)), Conv("branch1_2", 384, (3, 3), 2)),
    (Conv("branch2_1", 256, (1, 1)), Conv("branch2_2", 256, (3, 3), 2)),
    (
        Conv("branch3_1", 256, (1, 1)),
        Conv("branch3_2", 256, (3, 3)),
        Conv("branch3_3", 256, (3, 3), 2),
    ),
    (HALVE,),
)
_A = (
    (Conv("branch1", 32, (1, 1)),),
    (Conv("branch2_1", 32, (1, 1)), Conv("branch2_2", 32, (3, 3))),
    (
        Conv("branch3_1", 32, (1, 1)),
        Conv("branch3_2", 32, (3, 3)),
        Conv("branch3_3", 32, (3, 3)),
    ),
)


def _separated(width: int, size: int) -> tuple:
    """Returns the branches of blocks B and C: 1x1, and 1x1 with a kernel split in two."""
    return (
        (Conv("branch1", width, (1, 1)),),
        (
            Conv("branch2_1", width, (1, 1)),
            Conv("branch2_2", width, (1, size)),
            Conv("branch2_3", width, (size, 1)),
        ),
    )


_B, _C = _separated(128, 7), _separated(192, 3)
# For each stage: the module before its blocks, if any, and their letter, branches, number, scale.
STAGES = {
    3: (None, ("a", _A, 5, 0.17)),
    4: (("reduction_a", _REDUCTION_A), ("b", _B, 10, 0.1)),
    5: (("reduction_b", _REDUCTION_B), ("c", _C, 5, 0.2)),
}
EMBEDDING = 512
SMALLEST = 75

_he_normal = nn.initializers.he_normal()


class InceptionResNetV1(nn.Module):
    """Inception-ResNet-v1: stem, three stages of residual blocks, mean, embedding, head.

    Submodules are "conv2d_1a", ..., "block_a1", ..., "reduction_a", "block_b1", ..., "block_c6",
    "embedding", "embedding_norm" and, unless the output is the embedding, "head". Stores "stage1"
    (after conv2d_2b), "stage2" (conv2d_4b), "stage3" (blocks A, 256 channels), "stage4" (B, 896),
    "stage5" (C, 1792), "features" (b, 512), the input of the head, and "embedding" (b, 512), the
    same with length 1.

    Attributes:
      num_classes: size of the logits; 8,631 and 10,575 in the published weights.
      output: "logits", or "embedding", unit vectors, for losses on distances.
      dropout: rate before the embedding, 0.6 in the published network.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: an output or dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 8631
    output: str = "logits"
    dropout: float = 0.6
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_choice("output", self.output, ("logits", "embedding"))
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits or, with that output, embeddings, float32. Faces are 160x160.

        Raises:
          ValueError: the image is too small to be halved five times without padding.
        """
        check_image("Inception-ResNet-v1", image, SMALLEST)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image
        for i, layers in enumerate(STEM, 1):
            for layer in layers:
                x = ConvNorm(layer, _he_normal, name=layer.name, **types)(x, train)
            store(self, f"stage{i}", x)
            x = nn.max_pool(x, (3, 3), (2, 2)) if i == 1 else x
        for stage, (reduction, (letter, residual, blocks, scale)) in STAGES.items():
            if reduction is not None:
                name, branches = reduction
                x = Mixed(branches, "average", False, _he_normal, name=name, **types)(x, train)
            for i in range(1, blocks + 1):
                x = Block(residual, scale, name=f"block_{letter}{i}", **types)(x, train)
            if stage < 5:
                store(self, f"stage{stage}", x)
        x = Block(_C, 1.0, activate=False, name="block_c6", **types)(x, train)
        store(self, "stage5", x)
        return self._headed(x.mean(axis=(1, 2)), train)

    def _headed(self, x, train):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        options = dict(use_bias=False, kernel_init=_he_normal, name="embedding")
        x = nn.Dense(EMBEDDING, **options, **types)(x)
        x = norm(x, "batch", name="embedding_norm", train=train, epsilon=1e-3, **types)
        store(self, "features", x)
        wide = x.astype(jnp.float32)
        length = jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(wide), axis=-1, keepdims=True), 1e-24))
        embedding = wide / length
        store(self, "embedding", embedding.astype(x.dtype))
        if self.output == "embedding":
            return embedding
        init = nn.initializers.lecun_normal()
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


inception_resnet_v1 = variant(InceptionResNetV1, "inception_resnet_v1")
