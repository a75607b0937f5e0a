"""C3D: a VGG-like network whose kernels also cover three frames.

Tran, Bourdev, Fergus, Torresani & Paluri 2015, "Learning spatiotemporal features with 3D
convolutional networks" (arXiv 1412.0767), figure 3. It has 78,409,573 params with 101 classes, for
clips of 16 frames of 112x112.
"""

from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.convolution_3d import Conv3D, clip_max_pool
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.models.video.clips import check_clip
from library.variants import variant

# Channels of the convolutions between poolings.
STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
HIDDEN = 4096
# The first pooling keeps all frames; the others halve them. Fewer frames or pixels leave none.
SMALLEST_FRAMES, SMALLEST_SIDE = 16, 32


class C3D(nn.Module):
    """C3D: eight convolutions of 3x3x3, five poolings, two dense layers, linear head.

    Submodules are "conv1a", "conv2a", "conv3a", "conv3b", ..., "fc6", "fc7", "head". Stores
    "stage1", ..., "stage5", each before pooling, (b, t, h, w, c), and "features" (b, d), the output
    of fc7. The last pooling pads one row and one column at each side, as in the authors' network.

    Attributes:
      num_classes: size of the logits.
      width_multiplier: factor of all channels, and of the units of the dense layers.
      dropout: rate after each dense layer.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), there are no classes, or the
        multiplier is not positive.
    """

    num_classes: int = 101
    width_multiplier: float = 1.0
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        if self.width_multiplier <= 0:
            raise ConfigError(f"width_multiplier={self.width_multiplier}: a factor is more than 0")
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, clip: Float[Array, "*clip"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the clip has fewer than 16 frames, or frames smaller than 32x32.
        """
        check_clip("C3D", clip, SMALLEST_FRAMES, SMALLEST_SIDE)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = nn.initializers.he_normal()
        conv = partial(Conv3D, kernel_size=(3, 3, 3), kernel_init=init, **types)
        x = clip.astype(self.dtype)
        for stage, widths in enumerate(STAGES, 1):
            for letter, width in zip("ab", widths):
                x = nn.relu(conv(self._scaled(width), name=f"conv{stage}{letter}")(x))
            store(self, f"stage{stage}", x)
            x = clip_max_pool(x, 1 if stage == 1 else 2, 2, edge=1 if stage == 5 else 0)
        x = x.reshape(len(x), -1)
        for name in ("fc6", "fc7"):
            x = nn.Dense(self._scaled(HIDDEN), kernel_init=init, name=name, **types)(x)
            x = nn.relu(x)
            if name == "fc7":
                store(self, "features", x)
            drop = nn.Dropout(self.dropout, deterministic=not train, name=f"{name}_dropout")
            x = drop(x)
        init = nn.initializers.normal(0.01)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)

    def _scaled(self, width: int) -> int:
        return max(1, round(width * self.width_multiplier))


c3d = variant(C3D, "c3d")
