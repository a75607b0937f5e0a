"""Darknet-19 and Darknet-53: the classifiers whose layers YOLOv2 and YOLOv3 start with.

Redmon & Farhadi 2017, "YOLO9000: Better, Faster, Stronger" (arXiv 1612.08242), table 6: 19
convolutions, 3x3 windows and 1x1 windows that reduce the channels, max pooling between stages.
Redmon & Farhadi 2018, "YOLOv3: An Incremental Improvement" (arXiv 1804.02767), table 1: 53 layers,
residual blocks, steps of two pixels in place of pooling. Params with a thousand classes:

  darknet19  20,842,376
  darknet53  41,609,928

Darknet-19 ends in a 1x1 convolution before the mean over space. It is linear, so the mean before a
dense layer is the same. Darknet divides by the standard deviation plus 1e-6, here it is the root of
the variance plus 1e-5.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_image, check_sizes
from library.layers.darknet import plain_stages, residual_stages
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import NORMS
from library.variants import variant

# Residual blocks of each stage of Darknet-53; the plain network has none.
BLOCKS = (1, 2, 8, 8, 4)


class Darknet(nn.Module):
    """A classifier: images (b, h, w, c) -> logits (b, num_classes).

    Submodules are those of `plain_stages` or `residual_stages`, and "head". Stores "stage1", ...,
    and "features" (b, d), the means over space.

    Attributes:
      num_classes: size of the logits.
      width: channels of the first layer.
      blocks: residual blocks of each stage, as in Darknet-53; () is the plain Darknet-19.
      normalization: normalization after each convolution, "batch" or "group".
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 1000
    width: int = 32
    blocks: tuple[int, ...] = BLOCKS
    normalization: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, width=self.width, blocks=self.blocks)
        check_choice("normalization", self.normalization, NORMS)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be pooled after each stage but the last.
        """
        options = dict(
            normalization=self.normalization,
            train=train,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        x = image.astype(self.dtype)
        if self.blocks:
            stages = residual_stages(x, self.width, self.blocks, **options)
        else:
            check_image("Darknet-19", image, 32)
            stages = plain_stages(x, self.width, **options)
        for number, features in enumerate(stages, 1):
            store(self, f"stage{number}", features)
        x = jnp.mean(stages[-1], axis=(1, 2))
        store(self, "features", x)
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


darknet19 = variant(Darknet, "darknet19", blocks=())
darknet53 = variant(Darknet, "darknet53")
