"""Vision Transformer with a distillation token, to learn from a teacher (DeiT).

Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention",
arXiv 2012.12877, section 4. In addition to the class token there is a distillation token. Its own
head learns the decision of a teacher network. The network returns the mean of both heads (figure
2). Without the distillation token, DeiT is a `vit`. It is the network of timm. Params at 224 pixels
and 1000 classes:

  deit_ti16  5,910,800    deit_s16  22,436,432    deit_b16  87,338,192
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.patches import check_sides
from library.layers.positions import LearnedPositions
from library.layers.remat import with_remat
from library.layers.stochastic_depth import rates
from library.models.image.vit import VARIANTS, Block
from library.variants import variant

_init = nn.initializers.normal(stddev=0.02)


class DistilledVisionTransformer(nn.Module):
    """A Vision Transformer with two tokens before the patches and a head on each of them.

    Submodules are those of `vit`, and "distillation_head". The params "cls" and "distillation" are
    the tokens. Tokens, positions and heads start from a normal distribution with a standard
    deviation of 0.02, and blocks as in `vit`.

    Stores "tokens" (b, t, d), the input of the first block, "stage1", "stage2", ..., the outputs of
    the blocks, "features" (b, d), the mean of the two normalized tokens, and the logits of the
    heads, "class_logits" and "distillation_logits" (b, k).

    The paper's loss is the mean of two cross-entropies: of the class logits with the label, and of
    the distillation logits with the class that the teacher predicts (section 4, hard-label
    distillation). The task `distillation` computes it. Without a teacher, as in transfer to other
    classes, training uses the mean of both logits, which the network returns.

    Attributes:
      num_classes: size of the logits.
      dropout: rate after the positions, the attention and both feed-forward layers.
      drop_path: rate of stochastic depth in the last block; it grows linearly from 0 in the first.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the heads are computed in float32.
      param_dtype: type of the params.
      width: d, the size of a token.
      depth: number of blocks.
      num_heads: heads of each attention layer.
      patch_size: side of a patch in pixels.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or there are no classes.
    """

    num_classes: int = 1000
    dropout: float = 0.0
    drop_path: float = 0.0
    remat: bool | str = False
    dtype: str = "float32"
    param_dtype: str = "float32"
    width: int = 384
    depth: int = 12
    num_heads: int = 6
    patch_size: int = 16

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_rates(dropout=self.dropout, drop_path=self.drop_path)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns the mean of both heads' logits, float32.

        Raises:
          ValueError: a side of the image is not a multiple of `patch_size`.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = self._embed(image)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        store(self, "tokens", x)
        block = with_remat(Block, self.remat, static_argnums=(2,))
        for i, drop_path in enumerate(rates(self.drop_path, self.depth), 1):
            options = dict(dropout=self.dropout, drop_path=drop_path, **types)
            x = block(self.num_heads, 4 * self.width, name=f"block{i}", **options)(x, train)
            store(self, f"stage{i}", x)
        x = nn.LayerNorm(epsilon=1e-6, name="norm", **types)(x)
        cls, distilled = x[:, 0], x[:, 1]
        store(self, "features", (cls + distilled) / 2)
        head = dict(kernel_init=_init, param_dtype=self.param_dtype)
        logits = linear_head(cls, self.num_classes, **head)
        head = dict(dtype=jnp.float32, **head)
        taught = nn.Dense(self.num_classes, name="distillation_head", **head)(distilled)
        store(self, "class_logits", logits)
        store(self, "distillation_logits", taught)
        return (logits + taught) / 2

    def _embed(self, image: Float[Array, "b h w c"]) -> Float[Array, "b t d"]:
        """Returns both tokens and the projected patches, with positions added."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        check_sides(image, self.patch_size)
        side = (self.patch_size, self.patch_size)
        x = nn.Conv(self.width, side, strides=side, padding="VALID", name="patches", **types)(image)
        x = x.reshape(x.shape[0], -1, self.width)
        tokens = [
            self.param(name, _init, (1, 1, self.width), self.param_dtype).astype(self.dtype)
            for name in ("cls", "distillation")
        ]
        tokens = [jnp.broadcast_to(token, (x.shape[0], 1, self.width)) for token in tokens]
        x = jnp.concatenate([*tokens, x], axis=1)
        return LearnedPositions(name="positions", **types)(x)


# The rate of stochastic depth is that of the paper (table 9).
_deit = partial(variant, DistilledVisionTransformer, defaults=dict(drop_path=0.1))
deit_ti16 = _deit("deit_ti16", **VARIANTS["ti"], patch_size=16)
deit_s16 = _deit("deit_s16", **VARIANTS["s"], patch_size=16)
deit_b16 = _deit("deit_b16", **VARIANTS["b"], patch_size=16)
