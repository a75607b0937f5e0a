"""Masked autoencoder on a Vision Transformer (He et al. 2022, arXiv 2111.06377).

The encoder takes only the visible patches, so that masking three quarters of an image saves most of
its cost. A small decoder takes all patches, with a learned token for each masked patch, and
predicts pixels (section 3, figure 1). The encoder is a `vit` without its head. Its params are under
"encoder", with the paths and shapes of a `vit`.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError
from library.layers.checks import check_heads, check_sizes
from library.layers.patches import unshuffle
from library.layers.positions import sincos2d
from library.layers.remat import with_remat
from library.models.image import vit
from library.models.image.vit import Block, VisionTransformer
from library.variants import variant

# The decoder of every published size (table 1, default settings).
DECODER = dict(decoder_width=512, decoder_depth=8, decoder_heads=16)


class Decoder(nn.Module):
    """The decoder of a masked autoencoder: predicts the pixels of all patches.

    It puts the encoded patches back in their places. The param "mask" is the token of a masked
    patch. Submodules are "embed", "block1", "block2", ..., "norm" and "pixels". Positions are
    fixed. A class token takes part without a position.

    Attributes:
      width: size of a token, a multiple of 4.
      depth: number of blocks.
      num_heads: heads of each attention layer.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; predictions are computed in float32.
      param_dtype: type of the params.
    """

    width: int
    depth: int
    num_heads: int
    remat: bool | str = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        encoded: Float[Array, "b s d"],
        order: Int[Array, "b n"],
        num_visible: int,
        grid: tuple[int, int],
        outputs: int,
    ) -> Float[Array, "b n p"]:
        """Returns predictions for all patches, row by row.

        Args:
          encoded: tokens of the first `num_visible` patches of `order`, after the class token.
          order: permutation of the patches, with the visible patches first.
          num_visible: number of visible patches.
          grid: rows and columns of patches.
          outputs: number of values to predict for each patch.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        init = nn.initializers.xavier_uniform()
        x = nn.Dense(self.width, kernel_init=init, name="embed", **types)(encoded)
        extra = x.shape[1] - num_visible
        stddev = nn.initializers.normal(stddev=0.02)
        mask = self.param("mask", stddev, (1, 1, self.width), self.param_dtype)
        patches = unshuffle(x[:, extra:], order, mask.astype(x.dtype))
        patches = patches + jnp.asarray(sincos2d(*grid, self.width), self.dtype)
        x = jnp.concatenate([x[:, :extra], patches], axis=1)
        block = with_remat(Block, self.remat, static_argnums=(2,))
        for i in range(1, self.depth + 1):
            x = block(self.num_heads, 4 * self.width, name=f"block{i}", **types)(x, False)
        x = nn.LayerNorm(epsilon=1e-6, name="norm", **types)(x)[:, extra:]
        pixels = nn.Dense(
            outputs,
            kernel_init=init,
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            name="pixels",
        )
        return pixels(x)


class MaskedAutoencoder(nn.Module):
    """A Vision Transformer that encodes some patches, and a decoder that predicts all patches.

    Attributes:
      encoder: the Vision Transformer, which never makes its head.
      decoder: the decoder.
    """

    encoder: VisionTransformer
    decoder: Decoder

    @property
    def patch_size(self) -> int:
        """The side of a patch in pixels."""
        return self.encoder.patch_size

    def __call__(
        self,
        image: Float[Array, "b h w c"],
        order: Int[Array, "b n"],
        num_visible: int,
        train: bool = False,
    ) -> Float[Array, "b n p"]:
        """Returns a prediction for every patch, flattened as (row, column, channel), float32.

        Args:
          image: images whose sides are multiples of `patch_size`.
          order: permutation of the patches of each example, with the visible patches first. Patches
            are counted row by row.
          num_visible: number of visible patches.
          train: whether the encoder applies dropout and stochastic depth.
        """
        patch = self.patch_size
        grid = (image.shape[1] // patch, image.shape[2] // patch)
        encoded = self.encoder.encode(image, train, order[:, :num_visible])
        return self.decoder(encoded, order, num_visible, grid, patch * patch * image.shape[3])

    def features(self, image: Float[Array, "b h w c"]) -> Float[Array, "b d"]:
        """Returns the input of the head of a `vit` with these params, for the whole image."""
        return self.encoder.pooled(self.encoder.encode(image))


def mae(
    width: int = 768,
    depth: int = 12,
    num_heads: int = 12,
    patch_size: int = 16,
    decoder_width: int = 512,
    decoder_depth: int = 8,
    decoder_heads: int = 16,
    pool: str = "cls",
    positions: str = "sincos2d",
    drop_path: float = 0.0,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> MaskedAutoencoder:
    """Builds a masked autoencoder of any size.

    Args:
      width: size of a token of the encoder.
      depth: blocks of the encoder.
      num_heads: heads of the encoder.
      patch_size: side of a patch in pixels.
      decoder_width: size of a token of the decoder, a multiple of 4.
      decoder_depth: blocks of the decoder; the paper's smallest is 1.
      decoder_heads: heads of the decoder.
      pool: "cls" gives the encoder a class token, which is the features of an image. "gap" gives
        it none, and the features are the mean over the patches. Use the pool of the `vit` to
        fine-tune.
      positions: positions of the encoder, "sincos2d", as in the paper, or "learned". Use those of
        the `vit` to fine-tune.
      drop_path: rate of stochastic depth in the encoder's last block.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: see `vit.vit`, or `decoder_width` does not fit the heads or the positions.
    """
    encoder = vit.vit(
        width=width,
        depth=depth,
        num_heads=num_heads,
        patch_size=patch_size,
        pool=pool,
        positions=positions,
        drop_path=drop_path,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )
    return _with_decoder(encoder, decoder_width, decoder_depth, decoder_heads)


def _with_decoder(
    encoder: VisionTransformer, width: int, depth: int, num_heads: int
) -> MaskedAutoencoder:
    check_sizes(decoder_width=width, decoder_depth=depth, decoder_heads=num_heads)
    if width % 4 or width < 8:
        raise ConfigError(f"decoder_width={width}: its positions need a multiple of 4, at least 8")
    check_heads(decoder_width=width, decoder_heads=num_heads)
    decoder = Decoder(
        width=width,
        depth=depth,
        num_heads=num_heads,
        remat=encoder.remat,
        dtype=encoder.dtype,
        param_dtype=encoder.param_dtype,
    )
    return MaskedAutoencoder(encoder=encoder, decoder=decoder)


mae_b16 = variant(mae, "mae_b16", **vit.VARIANTS["b"], patch_size=16, **DECODER)
mae_l16 = variant(mae, "mae_l16", **vit.VARIANTS["l"], patch_size=16, **DECODER)
