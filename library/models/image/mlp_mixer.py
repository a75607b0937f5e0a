"""MLP-Mixer: no convolutions, no attention (Tolstikhin et al. 2021, arXiv 2105.01601).

Each block mixes a table of patches by channels twice (section 2, figure 1): along its columns, with
one MLP for all channels, and along its rows, with one MLP for all patches. The input size of the
first MLP is the number of patches, so the params fit only one image size. It is the network of timm
(the authors' code has the tanh approximation of the GELU). Params at 224 pixels and 1000 classes:

  mixer_s32  19,104,624    mixer_b32  60,293,428    mixer_l32  206,939,264
  mixer_s16  18,528,264    mixer_b16  59,880,472    mixer_l16  208,196,168    mixer_h14  432,350,952
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.patches import check_sides
from library.layers.remat import with_remat
from library.layers.stochastic_depth import StochasticDepth, rates
from library.variants import variant

# Width, blocks, and the widths of the token- and channel-mixing MLPs (table 1).
VARIANTS = {
    "s": dict(width=512, depth=8, tokens_hidden=256, channels_hidden=2048),
    "b": dict(width=768, depth=12, tokens_hidden=384, channels_hidden=3072),
    "l": dict(width=1024, depth=24, tokens_hidden=512, channels_hidden=4096),
    "h": dict(width=1280, depth=32, tokens_hidden=640, channels_hidden=5120),
}


class Mlp(nn.Module):
    """Two dense layers along the last axis with an exact (erf) GELU between them."""

    hidden: int
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b s f"], train: bool) -> Float[Array, "b s f"]:
        """Returns an array of the input's shape. Dropout follows both layers."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        features = x.shape[-1]
        x = nn.gelu(nn.Dense(self.hidden, name="fc1", **types)(x), approximate=False)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout1")(x)
        x = nn.Dense(features, name="fc2", **types)(x)
        return nn.Dropout(self.dropout, deterministic=not train, name="dropout2")(x)


class Block(nn.Module):
    """Mixes tokens, then channels. Each mixing is a normalized residual branch (eq. 1)."""

    tokens_hidden: int
    channels_hidden: int
    dropout: float = 0.0
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], train: bool) -> Float[Array, "b t d"]:
        """Returns tokens of the input's shape."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        y = nn.LayerNorm(epsilon=1e-6, name="norm1", **types)(x).swapaxes(1, 2)
        y = Mlp(self.tokens_hidden, self.dropout, name="token_mixing", **types)(y, train)
        x = x + StochasticDepth(self.drop_path, name="drop_path1")(y.swapaxes(1, 2), train)
        y = nn.LayerNorm(epsilon=1e-6, name="norm2", **types)(x)
        y = Mlp(self.channels_hidden, self.dropout, name="channel_mixing", **types)(y, train)
        return x + StochasticDepth(self.drop_path, name="drop_path2")(y, train)


class MlpMixer(nn.Module):
    """An MLP-Mixer: patches, blocks, a last LayerNorm, mean over patches, linear head.

    Submodules are "patches", "block1", "block2", ..., "norm", "head". Stores "stage1", "stage2",
    ... (b, t, d), the outputs of the blocks, and "features" (b, d). Kernels start with LeCun's
    variance, and biases and the head start at zero, as in the authors' code.

    Attributes:
      num_classes: size of the logits.
      width: d, the size of a token.
      depth: number of blocks.
      tokens_hidden: width of the MLPs along the patches.
      channels_hidden: width of the MLPs along the channels.
      patch_size: side of a patch in pixels.
      dropout: rate after both layers of an MLP.
      drop_path: rate of stochastic depth in the last block; it grows linearly from 0 in the first.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 1000
    width: int = 768
    depth: int = 12
    tokens_hidden: int = 384
    channels_hidden: int = 3072
    patch_size: int = 16
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
            tokens_hidden=self.tokens_hidden,
            channels_hidden=self.channels_hidden,
            patch_size=self.patch_size,
        )
        check_rates(dropout=self.dropout, drop_path=self.drop_path)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: a side of the image is not a multiple of `patch_size`.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        check_sides(image, self.patch_size)
        side = (self.patch_size, self.patch_size)
        x = nn.Conv(self.width, side, strides=side, padding="VALID", name="patches", **types)(image)
        x = x.reshape(x.shape[0], -1, self.width)
        block = with_remat(Block, self.remat, static_argnums=(2,))
        for i, drop_path in enumerate(rates(self.drop_path, self.depth), 1):
            options = dict(dropout=self.dropout, drop_path=drop_path, **types)
            x = block(self.tokens_hidden, self.channels_hidden, name=f"block{i}", **options)(
                x, train
            )
            store(self, f"stage{i}", x)
        x = nn.LayerNorm(epsilon=1e-6, name="norm", **types)(x).mean(axis=1)
        store(self, "features", x)
        init = nn.initializers.zeros
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


mlp_mixer = variant(MlpMixer, "mlp_mixer")


mixer_s32 = variant(MlpMixer, "mixer_s32", **VARIANTS["s"], patch_size=32)
mixer_s16 = variant(MlpMixer, "mixer_s16", **VARIANTS["s"], patch_size=16)
mixer_b32 = variant(MlpMixer, "mixer_b32", **VARIANTS["b"], patch_size=32)
mixer_b16 = variant(MlpMixer, "mixer_b16", **VARIANTS["b"], patch_size=16)
mixer_l32 = variant(MlpMixer, "mixer_l32", **VARIANTS["l"], patch_size=32)
mixer_l16 = variant(MlpMixer, "mixer_l16", **VARIANTS["l"], patch_size=16)
mixer_h14 = variant(MlpMixer, "mixer_h14", **VARIANTS["h"], patch_size=14)
