"""MobileNetV3, found by search, with hard swishes and squeeze-and-excitation.

Howard et al. 2019, "Searching for MobileNetV3" (arXiv 1905.02244), tables 1 and 2. The networks are
numerically the same as torchvision's. Params, and millions of multiply-adds at 224x224:

  mobilenet_v3_large  5,483,032  217
  mobilenet_v3_small  2,542,856   57
"""

import functools
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.convolution import convolution
from library.layers.depthwise import depthwise
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.squeeze_excite import SqueezeExcite
from library.models.image.mobilenet_v2 import rounded
from library.variants import variant


class Row(NamedTuple):
    """A block: one row of table 1 or 2."""

    kernel: int
    expanded: int
    out: int
    squeeze_excite: bool
    activation: str
    stride: int


# In the tables "RE" is relu and "HS" is hard swish.
ACTIVATIONS = {"RE": nn.relu, "HS": nn.hard_swish}
STEM = 16
LARGE = (
    Row(3, 16, 16, False, "RE", 1),
    Row(3, 64, 24, False, "RE", 2),
    Row(3, 72, 24, False, "RE", 1),
    Row(5, 72, 40, True, "RE", 2),
    Row(5, 120, 40, True, "RE", 1),
    Row(5, 120, 40, True, "RE", 1),
    Row(3, 240, 80, False, "HS", 2),
    Row(3, 200, 80, False, "HS", 1),
    Row(3, 184, 80, False, "HS", 1),
    Row(3, 184, 80, False, "HS", 1),
    Row(3, 480, 112, True, "HS", 1),
    Row(3, 672, 112, True, "HS", 1),
    Row(5, 672, 160, True, "HS", 2),
    Row(5, 960, 160, True, "HS", 1),
    Row(5, 960, 160, True, "HS", 1),
)
SMALL = (
    Row(3, 16, 16, True, "RE", 2),
    Row(3, 72, 24, False, "RE", 2),
    Row(3, 88, 24, False, "RE", 1),
    Row(5, 96, 40, True, "HS", 2),
    Row(5, 240, 40, True, "HS", 1),
    Row(5, 240, 40, True, "HS", 1),
    Row(5, 120, 48, True, "HS", 1),
    Row(5, 144, 48, True, "HS", 1),
    Row(5, 288, 96, True, "HS", 2),
    Row(5, 576, 96, True, "HS", 1),
    Row(5, 576, 96, True, "HS", 1),
)

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_conv = functools.partial(convolution, kernel_init=_he_normal)
_norm = partial(norm, kind="batch", momentum=0.99, epsilon=1e-3)


class Block(nn.Module):
    """Inverted residual with squeeze-and-excitation on the widened channels (figure 4).

    Submodules are "expand" and "norm1" (if it widens), "depthwise", "norm2", "squeeze_excite",
    "project", "norm3". A block that does not change the shape has a shortcut.
    """

    row: Row
    width_multiplier: float
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(_norm, train=train, **types)
        row, activate = self.row, ACTIVATIONS[self.row.activation]
        expanded = rounded(row.expanded * self.width_multiplier)
        y = x
        if expanded != x.shape[-1]:
            y = activate(normalize(_conv(y, expanded, name="expand", **types), name="norm1"))
        y = depthwise(y, row.kernel, row.stride, kernel_init=_he_normal, name="depthwise", **types)
        y = activate(normalize(y, name="norm2"))
        if row.squeeze_excite:
            hidden = rounded(expanded / 4)
            y = SqueezeExcite(hidden, gate=nn.hard_sigmoid, name="squeeze_excite", **types)(y)
        y = _conv(y, rounded(row.out * self.width_multiplier), name="project", **types)
        y = normalize(y, name="norm3")
        return x + y if x.shape == y.shape else y


class MobileNetV3(nn.Module):
    """MobileNetV3: strided convolution, blocks, 1x1 convolution, mean over space, two dense layers.

    Submodules are "stem_conv", "stem_norm", "block1", ..., "last_conv", "last_norm", "hidden",
    "head". Stores "stage1", "stage2", ..., the output of the last block of each height, and
    "features" (b, d), after the first dense layer and its hard swish.

    Attributes:
      num_classes: size of the logits.
      width_multiplier: factor of all widths, which are rounded to a multiple of 8.
      dropout: rate before the head.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
      rows: the blocks.
      hidden: width of the layer before the head.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, or the
        multiplier is not positive.
    """

    num_classes: int = 1000
    width_multiplier: float = 1.0
    dropout: float = 0.2
    dtype: str = "float32"
    param_dtype: str = "float32"
    rows: tuple[Row, ...] = LARGE
    hidden: int = 1280

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        if self.width_multiplier <= 0:
            raise ConfigError(f"width_multiplier={self.width_multiplier}: a factor is more than 0")
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(_norm, train=train, **types)
        init, alpha = nn.initializers.normal(0.01), self.width_multiplier
        x = _conv(image, rounded(STEM * alpha), 3, 2, name="stem_conv", **types)
        x = nn.hard_swish(normalize(x, name="stem_norm"))
        stage = 0
        for number, row in enumerate(self.rows, 1):
            stage += row.stride > 1 or number == 1
            x = Block(row, alpha, name=f"block{number}", **types)(x, train)
            # A later block of this height replaces it.
            store(self, f"stage{stage}", x)
        x = _conv(x, 6 * x.shape[-1], name="last_conv", **types)
        x = nn.hard_swish(normalize(x, name="last_norm")).mean(axis=(1, 2))
        x = nn.Dense(rounded(self.hidden * alpha), kernel_init=init, name="hidden", **types)(x)
        x = nn.hard_swish(x)
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


# Blocks, and the width of the layer before the head.
mobilenet_v3_large = variant(MobileNetV3, "mobilenet_v3_large", rows=LARGE, hidden=1280)
mobilenet_v3_small = variant(MobileNetV3, "mobilenet_v3_small", rows=SMALL, hidden=1024)
