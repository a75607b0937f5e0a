"""YOLO: a network that sees the whole image and predicts all boxes at once.

Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection" (arXiv 1506.02640),
figure 3: 24 convolutions and two dense layers, from 448x448 pixels to 7x7 cells of two boxes and 20
classes, 1470 numbers. Fast YOLO has 9 convolutions instead of 24 (section 2.1). The paper does not
list them; here they are those of yolov1-tiny.cfg of Darknet, which has 8 and batch normalization.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.convolution import convolution
from library.layers.darknet import leaky
from library.layers.intermediates import store
from library.layers.normalization import NORMS, norm
from library.variants import variant

# (window, channels) of the convolutions of each stage. Max pooling by two follows each stage; the
# first convolution of the paper, and the sixth of its last stage, has a step of two.
PAPER = (
    ((7, 64),),
    ((3, 192),),
    ((1, 128), (3, 256), (1, 256), (3, 512)),
    (*((1, 256), (3, 512)) * 4, (1, 512), (3, 1024)),
    (*((1, 512), (3, 1024)) * 2, (3, 1024), (3, 1024), (3, 1024), (3, 1024)),
)
STRIDED = ((0, 0), (4, 5))
FAST = (
    *(((3, channels),) for channels in (16, 32, 64, 128, 256, 512)),
    ((3, 1024), (3, 256)),
)

_init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class YOLOv1(nn.Module):
    """YOLO: images (b, h, w, c) -> (b, rows, columns, 5 * num_boxes + num_classes).

    What the outputs mean is stated in library/object_detection/yolo_v1.py. Submodules are
    "stage1_conv1", ..., "fc1" and "head". Stores "features" (b, d), the input of the head.

    Attributes:
      num_classes: number of classes of objects.
      num_boxes: boxes of a cell.
      cells: rows and columns of the grid.
      stages: (window, channels) of the convolutions of each stage; max pooling between stages.
      strided: (stage, convolution), from 0, of the convolutions with a step of two.
      hidden_sizes: units of each hidden layer.
      dropout: rate after the first hidden layer.
      normalization: normalization after each convolution: "none" as in the paper, "batch", "group".
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 20
    num_boxes: int = 2
    cells: int = 7
    stages: tuple[tuple[tuple[int, int], ...], ...] = PAPER
    strided: tuple[tuple[int, int], ...] = STRIDED
    hidden_sizes: tuple[int, ...] = (4096,)
    dropout: float = 0.5
    normalization: str = "none"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_rates(dropout=self.dropout)
        check_sizes(num_classes=self.num_classes, num_boxes=self.num_boxes, cells=self.cells)
        check_sizes(stages=[size for stage in self.stages for layer in stage for size in layer])
        check_choice("normalization", self.normalization, ("none", *NORMS))
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b rows columns k"]:
        """Returns the outputs of each cell, float32.

        Raises:
          ValueError: the image is too small to be pooled between the stages.
        """
        check_image("YOLO", image, 2 ** (len(self.stages) - 1 + len(self.strided)))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image.astype(self.dtype)
        for number, stage in enumerate(self.stages):
            for i, (size, features) in enumerate(stage):
                stride = 2 if (number, i) in self.strided else 1
                name = f"stage{number + 1}_conv{i + 1}"
                x = self._convolved(x, features, size, stride, name, train)
            if number < len(self.stages) - 1:
                x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for i, size in enumerate(self.hidden_sizes, 1):
            x = leaky(nn.Dense(size, kernel_init=_init, name=f"fc{i}", **types)(x))
            if i == 1:
                x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        store(self, "features", x)
        channels = 5 * self.num_boxes + self.num_classes
        head = nn.Dense(self.cells**2 * channels, name="head", **types)
        return head(x).reshape(len(x), self.cells, self.cells, channels).astype(jnp.float32)

    def _convolved(
        self, x: Array, features: int, size: int, stride: int, name: str, train: bool
    ) -> Array:
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if self.normalization == "none":
            padding, strides = (size - 1) // 2, (stride, stride)
            return leaky(
                nn.Conv(
                    features,
                    (size, size),
                    strides,
                    padding,
                    kernel_init=_init,
                    name=name,
                    **types,
                )(x)
            )
        x = convolution(x, features, size, stride, kernel_init=_init, name=name, **types)
        return leaky(norm(x, self.normalization, name=f"{name}_norm", train=train, **types))


yolo_v1 = variant(YOLOv1, "yolo_v1")
fast_yolo = variant(
    YOLOv1,
    "fast_yolo",
    strided=(),
    defaults=dict(stages=FAST, hidden_sizes=(), dropout=0.0, normalization="batch"),
)
