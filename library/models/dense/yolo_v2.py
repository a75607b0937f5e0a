"""YOLOv2: Darknet-19, anchors, and features of a finer map passed through to the last layers.

Redmon & Farhadi 2017, "YOLO9000: Better, Faster, Stronger" (arXiv 1612.08242), section 2 and
yolov2.cfg of Darknet. With the defaults, 5 anchors and 80 classes, it has 50,962,889 params.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_multiples, check_sizes
from library.layers.darknet import conv_block, plain_stages
from library.layers.intermediates import store
from library.layers.normalization import NORMS
from library.variants import variant


class YOLOv2(nn.Module):
    """YOLOv2: images (b, h, w, c) -> one map (b, h / 32, w / 32, num_anchors, 5 + num_classes).

    What the outputs mean is stated in library/object_detection/anchors.py. Submodules are those of
    Darknet-19, "neck_conv1", "neck_conv2", "passthrough", "neck_conv3" and "head". Stores
    "features" (b, d), the means over space of the input of the head.

    Attributes:
      num_classes: number of classes of objects.
      num_anchors: anchors of a cell.
      width: channels of the first layer; all others are multiples.
      normalization: normalization after each convolution, "batch" or "group".
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 80
    num_anchors: int = 5
    width: int = 32
    normalization: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, num_anchors=self.num_anchors, width=self.width)
        check_choice("normalization", self.normalization, NORMS)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[Float[Array, "b rows columns a k"], ...]:
        """Returns the logits of each anchor of each cell, float32.

        Raises:
          ValueError: a side of the image is no multiple of 32.
        """
        check_multiples("YOLOv2", image, 32)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        options = dict(normalization=self.normalization, train=train, **types)
        stages = plain_stages(image.astype(self.dtype), self.width, **options)
        wide = 32 * self.width
        x = conv_block(stages[5], wide, name="neck_conv1", **options)
        x = conv_block(x, wide, name="neck_conv2", **options)
        fine = conv_block(stages[4], 2 * self.width, 1, name="passthrough", **options)
        x = jnp.concatenate([_reorganized(fine), x], axis=-1)
        x = conv_block(x, wide, name="neck_conv3", **options)
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        return (anchor_head(x, self.num_anchors, self.num_classes, "head", types),)


def anchor_head(
    x: Float[Array, "b rows columns d"], num_anchors: int, num_classes: int, name: str, types: dict
) -> Float[Array, "b rows columns a k"]:
    """Applies the convolution `name`, which gives the logits of each anchor, float32."""
    init = nn.initializers.normal(0.01)
    channels = num_anchors * (5 + num_classes)
    x = nn.Conv(channels, (1, 1), kernel_init=init, name=name, **types)(x).astype(jnp.float32)
    return x.reshape(*x.shape[:3], num_anchors, 5 + num_classes)


def _reorganized(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c4"]:
    """Moves each square of four pixels into the channels, in the order of Darknet.

    Darknet's layer "reorg" does not keep squares together: it reads an image (c, h, w) as one of
    (c / 4, 2h, 2w), takes squares of four of it into channels, and reads the result as (4c, h / 2,
    w / 2). Published weights need this order.
    """
    b, h, w, c = x.shape
    flat = jnp.moveaxis(x, -1, 1).reshape(b, c // 4, h, 2, w, 2)
    return jnp.moveaxis(jnp.moveaxis(flat, (3, 5), (1, 2)).reshape(b, 4 * c, h // 2, w // 2), 1, -1)


yolo_v2 = variant(YOLOv2, "yolo_v2")
