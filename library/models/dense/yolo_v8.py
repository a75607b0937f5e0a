"""YOLOv8: stages that keep the results of all their blocks, and heads without anchors.

Jocher, Chaurasia & Qiu 2023, "Ultralytics YOLOv8", https://github.com/ultralytics/ultralytics.
There is no paper. Params with 80 classes, without the 16 constants that the original counts, too:

  yolo_v8n   3,157,184    yolo_v8l  43,691,504
  yolo_v8s  11,166,544    yolo_v8x  68,229,632
  yolo_v8m  25,902,624
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_multiples, check_sizes
from library.layers.convolution import convolution
from library.layers.intermediates import store
from library.layers.normalization import NORMS, norm
from library.variants import variant

# Channels of the stages from the stem on, before they are scaled, and blocks of the last four.
CHANNELS = (64, 128, 256, 512, 1024)
BLOCKS = (3, 6, 6, 3)
_STRIDES = (8, 16, 32)
_init = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")


class YOLOv8(nn.Module):
    """YOLOv8: images (b, h, w, c) -> maps (b, h / s, w / s, 4 * num_bins + num_classes).

    The maps have strides s of 8, 16 and 32 pixels. What they mean is stated in
    library/object_detection/task_aligned.py. Names of submodules begin with "stem", "down2",
    "stage2", ..., "pool", "up4", "up3", "back4", "merge4", "back5", "merge5", and "head3_box",
    "head3_class" for the finest map. Stores "features" (b, d), the means at the coarsest scale.

    Attributes:
      num_classes: number of classes of objects.
      depth: factor of the number of blocks.
      width: factor of the channels.
      most: the most channels of a stage before they are scaled.
      num_bins: whole numbers of strides in the distribution of a distance.
      normalization: normalization after each convolution, "batch" or "group".
      image_size: side of the images that the classes' biases start for, in pixels.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 80
    depth: float = 0.33
    width: float = 0.25
    most: int = 1024
    num_bins: int = 16
    normalization: str = "batch"
    image_size: int = 640
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, num_bins=self.num_bins, most=self.most)
        check_sizes(image_size=self.image_size)
        check_choice("normalization", self.normalization, NORMS)
        for name, value in (("depth", self.depth), ("width", self.width)):
            if not value > 0:
                raise ConfigError(f"{name}={value}: a factor is above 0")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ k"], ...]:
        """Returns the logits of each point, float32, from the finest map on.

        Raises:
          ValueError: a side of the image is no multiple of 32.
        """
        check_multiples("YOLOv8", image, 32)
        widths = [_channels(min(each, self.most) * self.width) for each in CHANNELS]
        counts = [max(round(each * self.depth), 1) for each in BLOCKS]
        x = self._conv(image.astype(self.dtype), widths[0], 3, 2, "stem", train)
        stages = {}
        for stage, (features, count) in enumerate(zip(widths[1:], counts), 2):
            x = self._conv(x, features, 3, 2, f"down{stage}", train)
            x = stages[stage] = self._split(x, features, count, f"stage{stage}", train, True)
        x = stages[5] = self._pooled(x, widths[4], train)
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        count = max(round(3 * self.depth), 1)
        fused = {5: x}
        for stage in (4, 3):
            x = x.repeat(2, axis=1).repeat(2, axis=2)
            x = jnp.concatenate([x, stages[stage]], axis=-1)
            x = self._split(x, widths[stage - 1], count, f"up{stage}", train, False)
            fused[stage] = x
        maps = [x]
        for stage in (4, 5):
            x = self._conv(x, widths[stage - 2], 3, 2, f"back{stage}", train)
            x = jnp.concatenate([x, fused[stage]], axis=-1)
            x = self._split(x, widths[stage - 1], count, f"merge{stage}", train, False)
            maps.append(x)
        return tuple(self._headed(x, i, widths[2], train) for i, x in enumerate(maps, 3))

    def _conv(
        self, x: Array, features: int, size: int, stride: int, name: str, train: bool
    ) -> Array:
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = convolution(x, features, size, stride, kernel_init=_init, name=name, **types)
        kept = dict(momentum=0.97, epsilon=1e-3)
        x = norm(x, self.normalization, name=f"{name}_norm", train=train, **kept, **types)
        return nn.silu(x)

    def _split(
        self, x: Array, features: int, count: int, name: str, train: bool, residual: bool
    ) -> Array:
        """Applies "C2f": half of the channels pass through blocks, and all results are joined."""
        half = features // 2
        x = self._conv(x, 2 * half, 1, 1, f"{name}_in", train)
        kept = [x[..., :half], x[..., half:]]
        for block in range(1, count + 1):
            own = f"{name}_block{block}"
            y = self._conv(kept[-1], half, 3, 1, f"{own}_conv1", train)
            y = self._conv(y, half, 3, 1, f"{own}_conv2", train)
            kept.append(kept[-1] + y if residual else y)
        return self._conv(jnp.concatenate(kept, axis=-1), features, 1, 1, f"{name}_out", train)

    def _pooled(self, x: Array, features: int, train: bool) -> Array:
        """Applies "SPPF": maxima over 5, 9 and 13 pixels beside the features themselves."""
        kept = [self._conv(x, x.shape[-1] // 2, 1, 1, "pool_in", train)]
        for _ in range(3):
            kept.append(nn.max_pool(kept[-1], (5, 5), (1, 1), "SAME"))
        return self._conv(jnp.concatenate(kept, axis=-1), features, 1, 1, "pool_out", train)

    def _headed(self, x: Array, level: int, finest: int, train: bool) -> Array:
        """Applies the two branches of a head, for distances and for classes."""
        bins = 4 * self.num_bins
        # A class is rare at first: 5 objects in an image of the stated size.
        stride = _STRIDES[level - 3]
        rare = math.log(5 / self.num_classes / (self.image_size / stride) ** 2)
        branches = (
            ("box", max(16, finest // 4, bins), bins, 1.0),
            ("class", max(finest, min(self.num_classes, 100)), self.num_classes, rare),
        )
        made = []
        for name, features, outputs, bias in branches:
            own = f"head{level}_{name}"
            y = self._conv(x, features, 3, 1, f"{own}1", train)
            y = self._conv(y, features, 3, 1, f"{own}2", train)
            last = nn.Conv(
                outputs,
                (1, 1),
                kernel_init=_init,
                bias_init=nn.initializers.constant(bias),
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=own,
            )
            made.append(last(y))
        return jnp.concatenate(made, axis=-1).astype(jnp.float32)


def _channels(count: float) -> int:
    """Returns the multiple of 8 from `count` on."""
    return math.ceil(count / 8) * 8


# Factors of depth and width, and the most channels.
_SIZES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}


def _sized(size: str):
    depth, width, most = _SIZES[size]
    return variant(YOLOv8, f"yolo_v8{size}", depth=depth, width=width, most=most)


yolo_v8 = variant(YOLOv8, "yolo_v8")
yolo_v8n = _sized("n")
yolo_v8s = _sized("s")
yolo_v8m = _sized("m")
yolo_v8l = _sized("l")
yolo_v8x = _sized("x")
