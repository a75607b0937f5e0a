"""ConvNeXt: a residual network that adopts the design of Transformers step by step.

Liu, Mao, Wu, Feichtenhofer, Darrell & Xie 2022, "A ConvNet for the 2020s" (arXiv 2201.03545), with
the layout of torchvision. Params with 1000 classes:

  convnext_tiny   28,589,128    convnext_base    88,591,464
  convnext_small  50,223,688    convnext_large  197,767,336

Kernels start with a standard deviation of 0.02, and biases at zero. The factors of a block's
channels start at `layer_scale` (appendix A.1).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.depthwise import depthwise
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.remat import with_remat
from library.layers.stochastic_depth import StochasticDepth, rates
from library.variants import variant

EPSILON = 1e-6
# Stride of the stem; each later stage begins with a stride of 2.
STRIDE = 4

_normal = nn.initializers.normal(0.02)


class Block(nn.Module):
    """Residual block: x + layer_scale * project(gelu(expand(norm(depthwise x)))), figure 4.

    The depthwise convolution is 7x7. "expand" and "project" are dense layers on each pixel, and
    "expand" is four times as wide as the block. The GELU is exact (erf).
    """

    layer_scale: float
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        """Returns features of the input's shape."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        width = x.shape[-1]
        y = depthwise(x, 7, use_bias=True, kernel_init=_normal, name="depthwise", **types)
        y = nn.LayerNorm(epsilon=EPSILON, name="norm", **types)(y)
        y = nn.Dense(4 * width, kernel_init=_normal, name="expand", **types)(y)
        y = nn.gelu(y, approximate=False)
        y = nn.Dense(width, kernel_init=_normal, name="project", **types)(y)
        initial = nn.initializers.constant(self.layer_scale)
        scale = self.param("layer_scale", initial, (width,), self.param_dtype)
        y = y * scale.astype(y.dtype)
        return x + StochasticDepth(self.drop_path, name="drop_path")(y, train)


class ConvNeXt(nn.Module):
    """ConvNeXt: stem, stages of blocks, mean over space, layer normalization, linear head.

    Submodules are "stem_conv" and "stem_norm", "stage1_block1", ..., before the second and each
    later stage "stage2_norm" and "stage2_conv", ..., then "final_norm" and "head". Stores "stage1",
    ..., "stage4" and the normalized "features" (b, d).

    Attributes:
      num_classes: size of the logits.
      stage_sizes: blocks of each stage.
      widths: channels of each stage.
      drop_path: rate of stochastic depth in the last block; published sizes have the paper's rate.
      layer_scale: initial value of the factors of a block's channels, above 0.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a rate is outside [0, 1), `layer_scale` is 0 or less, a dtype is unknown, a size
        is below 1, or there are not as many stages as widths.
    """

    num_classes: int = 1000
    stage_sizes: tuple[int, ...] = (3, 3, 9, 3)
    widths: tuple[int, ...] = (96, 192, 384, 768)
    drop_path: float = 0.0
    layer_scale: float = 1e-6
    remat: bool | str = False
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, stage_sizes=self.stage_sizes, widths=self.widths)
        if len(self.stage_sizes) != len(self.widths):
            raise ConfigError(
                f"stage_sizes={self.stage_sizes}, widths={self.widths}: one value for each stage"
            )
        check_rates(drop_path=self.drop_path)
        if self.layer_scale <= 0:
            raise ConfigError(f"layer_scale={self.layer_scale}: it is above 0, in the paper 1e-6")
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is so small that the last stage would be empty; with four stages,
            smaller than 32x32.
        """
        stages = len(self.widths)
        check_image(f"ConvNeXt of {stages} stages", image, STRIDE * 2 ** (stages - 1))
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        block = with_remat(Block, self.remat, static_argnums=(2,))
        drop_paths = iter(rates(self.drop_path, sum(self.stage_sizes)))
        x = self._patches(image, self.widths[0], STRIDE, "stem_conv")
        x = self._norm(x, "stem_norm")
        for stage, (blocks, width) in enumerate(zip(self.stage_sizes, self.widths), 1):
            if stage > 1:
                x = self._norm(x, f"stage{stage}_norm")
                x = self._patches(x, width, 2, f"stage{stage}_conv")
            for i in range(1, blocks + 1):
                name = f"stage{stage}_block{i}"
                x = block(self.layer_scale, next(drop_paths), name=name, **types)(x, train)
            store(self, f"stage{stage}", x)
        x = self._norm(x.mean(axis=(1, 2)), "final_norm")
        store(self, "features", x)
        return linear_head(x, self.num_classes, kernel_init=_normal, param_dtype=self.param_dtype)

    def _norm(self, x, name):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        return nn.LayerNorm(epsilon=EPSILON, name=name, **types)(x)

    def _patches(self, x, features, size, name):
        return nn.Conv(
            features,
            kernel_size=(size, size),
            strides=(size, size),
            padding="VALID",
            kernel_init=_normal,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )(x)


convnext = variant(ConvNeXt, "convnext")


def _size(name: str, stage_sizes: tuple[int, ...], width: int, drop_path: float) -> Callable:
    widths = tuple(width * 2**stage for stage in range(4))
    defaults = dict(drop_path=drop_path)
    return variant(ConvNeXt, name, stage_sizes=stage_sizes, widths=widths, defaults=defaults)


# Blocks, first width, and rate of stochastic depth on ImageNet-1k (section 2.2, table 5).
convnext_tiny = _size("convnext_tiny", (3, 3, 9, 3), 96, 0.1)
convnext_small = _size("convnext_small", (3, 3, 27, 3), 96, 0.4)
convnext_base = _size("convnext_base", (3, 3, 27, 3), 128, 0.5)
convnext_large = _size("convnext_large", (3, 3, 27, 3), 192, 0.5)
