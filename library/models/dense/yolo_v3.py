"""YOLOv3: Darknet-53, and predictions at three scales that share features from coarse to fine.

Redmon & Farhadi 2018, "YOLOv3: An Incremental Improvement" (arXiv 1804.02767), section 2, and
yolov3.cfg of Darknet. With the defaults, 80 classes, it has 61,949,149 params.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_multiples, check_sizes
from library.layers.darknet import conv_block, residual_stages
from library.layers.intermediates import store
from library.layers.normalization import NORMS
from library.models.dense.yolo_v2 import anchor_head
from library.variants import variant


class YOLOv3(nn.Module):
    """YOLOv3: images (b, h, w, c) -> maps (b, h / s, w / s, num_anchors, 5 + num_classes).

    The maps have strides s of 8, 16 and 32 pixels. What they mean is stated in
    library/object_detection/anchors.py. Submodules are those of Darknet-53; "neck3_conv1", ...,
    "neck3_conv5", "head3_conv" and "head3" at the coarsest scale; "up2", "neck2_conv1", ..., at the
    next. Stores "features" (b, d), the means over space at the coarsest scale.

    Attributes:
      num_classes: number of classes of objects.
      num_anchors: anchors of a cell of a map.
      width: channels of the first layer; all others are multiples.
      blocks: residual blocks of each of the five stages.
      normalization: normalization after each convolution, "batch" or "group".
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 80
    num_anchors: int = 3
    width: int = 32
    blocks: tuple[int, ...] = (1, 2, 8, 8, 4)
    normalization: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, num_anchors=self.num_anchors, width=self.width)
        check_choice("normalization", self.normalization, NORMS)
        if len(self.blocks) != 5 or min(self.blocks) < 0:
            raise ConfigError(f"blocks={self.blocks}: YOLOv3 has five stages of 0 blocks or more")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ a k"], ...]:
        """Returns the logits of each anchor of each cell, float32, from the finest map on.

        Raises:
          ValueError: a side of the image is no multiple of 32.
        """
        check_multiples("YOLOv3", image, 32)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        options = dict(normalization=self.normalization, train=train, **types)
        stages = residual_stages(image.astype(self.dtype), self.width, self.blocks, **options)
        store(self, "features", jnp.mean(stages[-1], axis=(1, 2)))
        maps, x = [], stages[-1]
        for scale in (3, 2, 1):
            features = self.width * 2 ** (scale + 1)
            if scale < 3:
                x = conv_block(x, features, 1, name=f"up{scale}", **options)
                x = x.repeat(2, axis=1).repeat(2, axis=2)
                x = jnp.concatenate([x, stages[scale + 1]], axis=-1)
            for i in range(1, 6):
                size, wide = (3, 2 * features) if i % 2 == 0 else (1, features)
                x = conv_block(x, wide, size, name=f"neck{scale}_conv{i}", **options)
            y = conv_block(x, 2 * features, name=f"head{scale}_conv", **options)
            name = f"head{scale}"
            maps.append(anchor_head(y, self.num_anchors, self.num_classes, name, types))
        return tuple(reversed(maps))


yolo_v3 = variant(YOLOv3, "yolo_v3")
