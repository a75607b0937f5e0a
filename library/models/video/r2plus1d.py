"""R(2+1)D: residual networks whose 3-D convolutions are a spatial one and one over time.

Tran, Wang, Torresani, Ray, LeCun & Paluri 2018, "A closer look at spatiotemporal convolutions for
action recognition" (arXiv 1711.11248). `r2plus1d_18` is torchvision's network of this name:
31,505,325 params with 400 classes, for clips of 16 frames of 112x112.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.convolution_3d import Conv3D
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.models.video.clips import check_clip
from library.variants import variant

# Channels between the two convolutions of the stem, for a width of 64.
STEM_MIDDLE = 45

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def _middle_width(width_in: int, width: int) -> int:
    """Returns the channels between the two convolutions (section 3.5).

    With them the two have as many weights as one 3x3x3 convolution, rounded down.
    """
    return (width_in * width * 27) // (width_in * 9 + 3 * width)


class SplitConv(nn.Module):
    """A convolution in space "space", batch normalization "norm", relu, one over time "time"."""

    width: int
    middle: int
    size: int = 3
    strides: tuple[int, int] = (1, 1)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b _ _ _ o"]:
        """Returns features; `strides` divides the frames by its first and the sides by its last."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        over_time, edge = self.strides[0], self.size // 2
        common = dict(use_bias=False, kernel_init=_he_normal, **types)
        strides, padding = (1, *2 * self.strides[1:]), ((0, 0), (edge, edge), (edge, edge))
        shape = (1, self.size, self.size)
        x = Conv3D(self.middle, shape, strides, padding, name="space", **common)(x)
        x = nn.relu(norm(x, "batch", name="norm", train=train, **types))
        padding = ((1, 1), (0, 0), (0, 0))
        strides = (over_time, 1, 1)
        return Conv3D(self.width, (3, 1, 1), strides, padding, name="time", **common)(x)


class Block(nn.Module):
    """A residual block of two split convolutions; a strided one has a 1x1x1 shortcut."""

    width: int
    stride: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b _ _ _ o"]:
        """Returns features; the stride divides frames, height and width."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        # torchvision computes the middle channels once, from the input of the block.
        middle, strides = _middle_width(x.shape[-1], self.width), (self.stride, self.stride)
        y = SplitConv(self.width, middle, strides=strides, name="conv1", **types)(x, train)
        y = nn.relu(norm(y, "batch", name="norm1", train=train, **types))
        y = SplitConv(self.width, middle, name="conv2", **types)(y, train)
        y = norm(y, "batch", name="norm2", train=train, **types)
        if self.stride > 1 or x.shape[-1] != self.width:
            options = dict(use_bias=False, kernel_init=_he_normal, name="shortcut_conv", **types)
            x = Conv3D(self.width, (1, 1, 1), 3 * (self.stride,), **options)(x)
            x = norm(x, "batch", name="shortcut_norm", train=train, **types)
        return nn.relu(x + y)


class R2Plus1D(nn.Module):
    """R(2+1)D: stem, four stages of residual blocks, mean over frames and space, linear head.

    Submodules are "stem", "stem_norm", "stage1_block1", ..., "head". Stores "stage1", ..., (b, t,
    h, w, c), and "features" (b, d).

    Attributes:
      num_classes: size of the logits.
      stage_sizes: blocks of each stage; each stage after the first halves frames and sides.
      width: channels of the first stage; each stage has twice those of the stage before.
      dropout: rate before the head.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 400
    stage_sizes: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    dropout: float = 0.0
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, stage_sizes=self.stage_sizes, width=self.width)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, clip: Float[Array, "*clip"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the input is no clip.
        """
        check_clip("R(2+1)D", clip, 1, 1)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        middle = max(1, STEM_MIDDLE * self.width // 64)
        stem = SplitConv(self.width, middle, 7, (1, 2), name="stem", **types)
        x = stem(clip.astype(self.dtype), train)
        x = nn.relu(norm(x, "batch", name="stem_norm", train=train, **types))
        for stage, blocks in enumerate(self.stage_sizes, 1):
            width = self.width * 2 ** (stage - 1)
            for i in range(1, blocks + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                x = Block(width, stride, name=f"stage{stage}_block{i}", **types)(x, train)
            store(self, f"stage{stage}", x)
        x = x.mean(axis=(1, 2, 3))
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        init = nn.initializers.normal(0.01)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


r2plus1d_18 = variant(R2Plus1D, "r2plus1d_18", stage_sizes=(2, 2, 2, 2))
r2plus1d = variant(R2Plus1D, "r2plus1d", defaults=dict(stage_sizes=(1, 1, 1)))
