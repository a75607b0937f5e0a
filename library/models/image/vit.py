"""Vision Transformer (Dosovitskiy et al. 2021, arXiv 2010.11929), and a simpler variant of it.

With the defaults, learned positions and a class token, it is the network of torchvision and timm,
and has the published number of params at 224 pixels and 1000 classes:

  Ti/16  5,717,416    S/16  22,050,664    B/16  86,567,656    L/16  304,326,632
  Ti/32  6,131,560    S/32  22,878,952    B/32  88,224,232    L/32  306,535,400

`pool="gap", positions="sincos2d"` is the network of Beyer, Zhai & Kolesnikov 2022, "Better plain
ViT baselines for ImageNet-1k" (arXiv 2205.01580).
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError, check_choice
from library.layers.attention import Attention, FeedForward
from library.layers.checks import check_dtypes, check_heads, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.patches import check_sides, take_tokens
from library.layers.placement import constrain
from library.layers.positions import POSITIONS, LearnedPositions, sincos2d
from library.layers.remat import with_remat
from library.layers.stochastic_depth import StochasticDepth, rates
from library.variants import variant

# Width, depth, heads; the feed-forward layer is four times as wide (table 1; Ti and S of DeiT).
VARIANTS = {
    "ti": dict(width=192, depth=12, num_heads=3),
    "s": dict(width=384, depth=12, num_heads=6),
    "b": dict(width=768, depth=12, num_heads=12),
    "l": dict(width=1024, depth=24, num_heads=16),
}
# Dimensions of the tokens between the halves of a block, for `constrain`.
PLACES = ("batch", "sequence", "width")
POOLS = ("cls", "gap")


class Block(nn.Module):
    """Pre-norm Transformer block: residual attention and feed-forward layers (eq. 2, 3)."""

    num_heads: int
    hidden: int
    dropout: float = 0.0
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], train: bool) -> Float[Array, "b t d"]:
        """Returns tokens of the input's shape."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        y = nn.LayerNorm(epsilon=1e-6, name="norm1", **types)(x)
        y = Attention(self.num_heads, name="attention", **types)(y)
        y = nn.Dropout(self.dropout, deterministic=not train, name="dropout1")(y)
        x = x + StochasticDepth(self.drop_path, name="drop_path1")(y, train)
        x = constrain(x, *PLACES)
        y = nn.LayerNorm(epsilon=1e-6, name="norm2", **types)(x)
        y = FeedForward(self.hidden, self.dropout, name="feed_forward", **types)(y, train)
        y = nn.Dropout(self.dropout, deterministic=not train, name="dropout2")(y)
        x = x + StochasticDepth(self.drop_path, name="drop_path2")(y, train)
        return constrain(x, *PLACES)


class Encoder(nn.Module):
    """A Vision Transformer up to its pooling: patches, positions, blocks, a last LayerNorm.

    Submodules are "patches", "positions" (if learned), "block1", "block2", ..., "norm". The param
    "cls" is the class token. Stores "tokens" (b, t, d), the input of the first block, and "stage1",
    "stage2", ..., the outputs of the blocks. The attributes are those of `VisionTransformer`.
    """

    width: int
    depth: int
    num_heads: int
    patch_size: int
    hidden: int
    pool: str = "cls"
    positions: str = "learned"
    dropout: float = 0.0
    drop_path: float = 0.0
    remat: bool | str = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w c"],
        train: bool = False,
        visible: Int[Array, "b v"] | None = None,
    ) -> Float[Array, "b t d"]:
        """Returns normalized tokens, the class token before those of the patches.

        Args:
          image: images whose sides are multiples of `patch_size`.
          train: whether to apply dropout and stochastic depth.
          visible: numbers of the patches to encode, counted row by row. The other patches are
            removed before the first block. By default all patches are encoded, in order.

        Raises:
          ValueError: a side of the image is not a multiple of `patch_size`.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = self._embed(image)
        if visible is not None:
            places = jnp.pad(visible + 1, ((0, 0), (1, 0))) if self.pool == "cls" else visible
            x = take_tokens(x, places)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        store(self, "tokens", x)
        block = with_remat(Block, self.remat, static_argnums=(2,))
        for i, drop_path in enumerate(rates(self.drop_path, self.depth), 1):
            x = block(
                self.num_heads, self.hidden, self.dropout, drop_path, name=f"block{i}", **types
            )(x, train)
            store(self, f"stage{i}", x)
        return nn.LayerNorm(epsilon=1e-6, name="norm", **types)(x)

    def _embed(self, image: Float[Array, "b h w c"]) -> Float[Array, "b t d"]:
        """Returns the class token, if there is one, and the projected patches, with positions."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        check_sides(image, self.patch_size)
        side = (self.patch_size, self.patch_size)
        x = nn.Conv(self.width, side, strides=side, padding="VALID", name="patches", **types)(image)
        rows, columns = x.shape[1:3]
        x = x.reshape(x.shape[0], rows * columns, self.width)
        if self.positions == "sincos2d":
            x = x + jnp.asarray(sincos2d(rows, columns, self.width), self.dtype)
        if self.pool == "cls":
            cls = self.param("cls", nn.initializers.zeros, (1, 1, self.width), self.param_dtype)
            cls = jnp.broadcast_to(cls.astype(self.dtype), (x.shape[0], 1, self.width))
            x = jnp.concatenate([cls, x], axis=1)
        return LearnedPositions(name="positions", **types)(x) if self.positions == "learned" else x


class VisionTransformer(nn.Module):
    """A Vision Transformer: an `Encoder`, pooling and a linear head.

    The submodules and intermediates of the encoder are those of this module. The submodule "head"
    starts at zero. Also stores "features" (b, d), the normalized class token or the mean of tokens.

    Attributes:
      num_classes: size of the logits.
      width: d, the size of a token.
      depth: number of blocks.
      num_heads: heads of each attention layer.
      patch_size: side of a patch in pixels.
      hidden: width of the feed-forward layers, by default four times `width`.
      pool: "cls" (a class token) or "gap" (mean of all tokens, after the last LayerNorm).
      positions: "learned", also for the class token, or "sincos2d", fixed and only for patches.
      dropout: rate after the positions, the attention and both feed-forward layers.
      drop_path: rate of stochastic depth in the last block; it grows linearly from 0 in the first.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: pool, positions or dtype are unknown; the width is not a multiple of `num_heads`
        or, for sincos2d, of 4; a rate is outside [0, 1); a size is below 1.
    """

    num_classes: int = 1000
    width: int = 384
    depth: int = 12
    num_heads: int = 6
    patch_size: int = 16
    hidden: int | None = None
    pool: str = "cls"
    positions: str = "learned"
    dropout: float = 0.0
    drop_path: float = 0.0
    remat: bool | str = False
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(
            num_classes=self.num_classes,
            width=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            patch_size=self.patch_size,
        )
        check_sizes(hidden=1 if self.hidden is None else self.hidden)
        check_heads(width=self.width, num_heads=self.num_heads)
        check_choice("pool", self.pool, POOLS)
        check_choice("positions", self.positions, POSITIONS)
        if self.positions == "sincos2d" and (self.width % 4 or self.width < 8):
            raise ConfigError(f"width={self.width}: sincos2d needs a multiple of 4, at least 8")
        check_rates(dropout=self.dropout, drop_path=self.drop_path)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    def setup(self):
        """Makes the encoder in this module's scope, so that its params have the usual paths."""
        shared = {f.name for f in dataclasses.fields(Encoder)} - {"parent", "name"}
        given = {name: getattr(self, name) for name in sorted(shared)}
        self.encoder = Encoder(**given | dict(hidden=self.hidden or 4 * self.width))
        nn.share_scope(self, self.encoder)

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: a side of the image is not a multiple of `patch_size`.
        """
        x = self.pooled(self.encode(image, train))
        store(self, "features", x)
        init = nn.initializers.zeros
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)

    def encode(
        self,
        image: Float[Array, "b h w c"],
        train: bool = False,
        visible: Int[Array, "b v"] | None = None,
    ) -> Float[Array, "b t d"]:
        """Returns the tokens before the pooling, see `Encoder`."""
        return self.encoder(image, train, visible)

    def pooled(self, tokens: Float[Array, "b t d"]) -> Float[Array, "b d"]:
        """Returns the class token, which is the first token, or the mean of all tokens."""
        return tokens[:, 0] if self.pool == "cls" else tokens.mean(axis=1)


vit = variant(VisionTransformer, "vit")


vit_ti16 = variant(VisionTransformer, "vit_ti16", **VARIANTS["ti"], hidden=None, patch_size=16)
vit_s16 = variant(VisionTransformer, "vit_s16", **VARIANTS["s"], hidden=None, patch_size=16)
vit_b16 = variant(VisionTransformer, "vit_b16", **VARIANTS["b"], hidden=None, patch_size=16)
vit_l16 = variant(VisionTransformer, "vit_l16", **VARIANTS["l"], hidden=None, patch_size=16)
vit_ti32 = variant(VisionTransformer, "vit_ti32", **VARIANTS["ti"], hidden=None, patch_size=32)
vit_s32 = variant(VisionTransformer, "vit_s32", **VARIANTS["s"], hidden=None, patch_size=32)
vit_b32 = variant(VisionTransformer, "vit_b32", **VARIANTS["b"], hidden=None, patch_size=32)
vit_l32 = variant(VisionTransformer, "vit_l32", **VARIANTS["l"], hidden=None, patch_size=32)
# For images of 32 to 64 pixels.
vit_ti4 = variant(VisionTransformer, "vit_ti4", **VARIANTS["ti"], hidden=None, patch_size=4)
vit_s4 = variant(VisionTransformer, "vit_s4", **VARIANTS["s"], hidden=None, patch_size=4)
vit_ti8 = variant(VisionTransformer, "vit_ti8", **VARIANTS["ti"], hidden=None, patch_size=8)
vit_s8 = variant(VisionTransformer, "vit_s8", **VARIANTS["s"], hidden=None, patch_size=8)
