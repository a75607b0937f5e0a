"""Swin Transformer (Liu et al. 2021): attention within windows that shift from block to block.

"Swin Transformer: Hierarchical vision transformer using shifted windows", arXiv 2103.14030, section
3 and figure 3. Each of the four stages halves the sides and doubles the features. Attention is
within windows of 7x7 tokens. Every second block shifts the windows by 3, which connects them. It is
the network of torchvision. Params with 1000 classes:

  swin_t  28,288,354    swin_s  49,606,258    swin_b  87,768,224
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.remat import with_remat
from library.layers.stochastic_depth import StochasticDepth, rates
from library.layers.window_attention import WindowAttention
from library.variants import variant

HEAD_FEATURES = 32

_init = nn.initializers.normal(stddev=0.02)


class Block(nn.Module):
    """Pre-norm attention within windows, then two dense layers, each added (eq. 3)."""

    num_heads: int
    window: int
    shift: int
    dropout: float = 0.0
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"], train: bool) -> Float[Array, "b h w d"]:
        """Returns features of the input's shape."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        dense = dict(kernel_init=_init, **types)
        drop = dict(rate=self.dropout, deterministic=not train)
        y = nn.LayerNorm(epsilon=1e-5, name="norm1", **types)(x)
        y = WindowAttention(self.num_heads, self.window, self.shift, name="attention", **dense)(y)
        y = nn.Dropout(name="dropout1", **drop)(y)
        x = x + StochasticDepth(self.drop_path, name="drop_path1")(y, train)
        y = nn.LayerNorm(epsilon=1e-5, name="norm2", **types)(x)
        y = nn.gelu(nn.Dense(4 * x.shape[-1], name="fc1", **dense)(y), approximate=False)
        y = nn.Dropout(name="dropout2", **drop)(y)
        y = nn.Dense(x.shape[-1], name="fc2", **dense)(y)
        y = nn.Dropout(name="dropout3", **drop)(y)
        return x + StochasticDepth(self.drop_path, name="drop_path2")(y, train)


class Merging(nn.Module):
    """Merges each 2x2 tokens into one with twice the features. Odd sides are padded with zeros."""

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b _ _ _"]:
        """Returns features of half the height and width, rounded up."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        b, h, w, d = x.shape
        # Published weights have the four tokens in this order, column by column.
        x = x.reshape(b, h // 2, 2, w // 2, 2, d).transpose(0, 1, 3, 4, 2, 5)
        x = x.reshape(b, h // 2, w // 2, 4 * d)
        x = nn.LayerNorm(epsilon=1e-5, name="norm", **types)(x)
        return nn.Dense(2 * d, use_bias=False, kernel_init=_init, name="reduction", **types)(x)


class SwinTransformer(nn.Module):
    """A Swin Transformer: patches, stages of blocks, a last LayerNorm, mean over space, head.

    Submodules are "stem_conv", "stem_norm", "stage1_block1", ..., "stage2_merging" (before the
    blocks of its stage), ..., "norm", "head". Stores "stage1", "stage2", ... (b, h, w, d) and
    "features" (b, d).

    Kernels and relative biases start from a normal distribution with a standard deviation of 0.02.
    The kernel of the first convolution starts as in PyTorch. Other biases start at zero.

    Attributes:
      num_classes: size of the logits.
      width: features of the first stage; they double in each later stage.
      depths: blocks of each stage.
      num_heads: heads of the first stage; they double in each later stage.
      window: side of a window in tokens.
      patch_size: side of a patch in pixels.
      dropout: rate after the attention and both dense layers.
      drop_path: rate of stochastic depth in the last block; it grows linearly from 0 in the first.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
    """

    num_classes: int
    width: int
    depths: tuple[int, ...]
    num_heads: int
    window: int = 7
    patch_size: int = 4
    dropout: float = 0.0
    drop_path: float = 0.0
    remat: bool | str = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is smaller than a patch.
        """
        check_image("Swin", image, self.patch_size)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        side = (self.patch_size, self.patch_size)
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        stem = dict(strides=side, padding="VALID", kernel_init=init, name="stem_conv")
        x = nn.Conv(self.width, side, **stem, **types)(image)
        x = nn.LayerNorm(epsilon=1e-5, name="stem_norm", **types)(x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        block = with_remat(Block, self.remat, static_argnums=(2,))
        drop_paths = iter(rates(self.drop_path, sum(self.depths)))
        for stage, depth in enumerate(self.depths, 1):
            x = x if stage == 1 else Merging(name=f"stage{stage}_merging", **types)(x)
            for i in range(1, depth + 1):
                x = block(
                    num_heads=self.num_heads * 2 ** (stage - 1),
                    window=self.window,
                    shift=0 if i % 2 else self.window // 2,
                    dropout=self.dropout,
                    drop_path=next(drop_paths),
                    name=f"stage{stage}_block{i}",
                    **types,
                )(x, train)
            store(self, f"stage{stage}", x)
        x = nn.LayerNorm(epsilon=1e-5, name="norm", **types)(x).mean(axis=(1, 2))
        store(self, "features", x)
        return linear_head(x, self.num_classes, kernel_init=_init, param_dtype=self.param_dtype)


def swin(
    num_classes: int = 1000,
    width: int = 96,
    depths: tuple[int, ...] = (2, 2, 6, 2),
    window: int = 7,
    patch_size: int = 4,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> SwinTransformer:
    """Builds a Swin Transformer of any size, with heads of 32 features.

    For the arguments see `SwinTransformer`.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, or the width is
        not a multiple of 32.
    """
    check_sizes(num_classes=num_classes, depths=depths, window=window, patch_size=patch_size)
    if width < 1 or width % HEAD_FEATURES:
        nearest = max(round(width / HEAD_FEATURES), 1) * HEAD_FEATURES
        raise ConfigError(f"width={width} is no multiple of {HEAD_FEATURES}; nearest: {nearest}")
    check_rates(dropout=dropout, drop_path=drop_path)
    check_dtypes(dtype, param_dtype)
    return SwinTransformer(
        num_classes=num_classes,
        width=width,
        depths=depths,
        num_heads=width // HEAD_FEATURES,
        window=window,
        patch_size=patch_size,
        dropout=dropout,
        drop_path=drop_path,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )


# First width and blocks of the stages (section 3.3), and rate of stochastic depth (appendix A2.1).
swin_t = variant(swin, "swin_t", width=96, depths=(2, 2, 6, 2), defaults=dict(drop_path=0.2))
swin_s = variant(swin, "swin_s", width=96, depths=(2, 2, 18, 2), defaults=dict(drop_path=0.3))
swin_b = variant(swin, "swin_b", width=128, depths=(2, 2, 18, 2), defaults=dict(drop_path=0.5))
