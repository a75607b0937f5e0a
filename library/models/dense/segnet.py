"""SegNet and SegNet-Basic: segmentation by unpooling with the places of the maxima (2017).

Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for
Image Segmentation", arXiv 1511.00561. The encoder of SegNet is VGG-16 with batch normalization and
without dense layers. The decoder mirrors it: each unpooling puts values back where the maxima were,
and convolutions fill the rest. SegNet-Basic has four encoders and four decoders of one 7x7
convolution each; its encoders have no biases, and its decoders neither biases nor ReLU (section
3.1). With 11 classes they have 29,449,355 and 1,416,075 params; the paper's tables state 29.45 M
and 1.425 M.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.unpooling import max_pool_with_switches, max_unpool
from library.models.dense._vgg import STAGE_SIZES, WIDTHS, convolutions, he_normal
from library.variants import variant


class SegNet(nn.Module):
    """SegNet: images (b, h, w, c) of any size -> logits (b, h, w, num_classes).

    Submodules are "stage1_conv1", "stage1_norm1", ... as in VGG with batch normalization, then
    "up5_conv1", ..., "up1_conv1", and "head", a 3x3 convolution. Stores "features", the means over
    space after the last pooling.

    Attributes:
      num_classes: number of classes of a pixel.
      width: channels of the first stage; the others have 2, 4, 8 and 8 times as many.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1, or a dtype is unknown.
    """

    num_classes: int = 11
    width: int = 64
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, width=self.width)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w {self.num_classes}"]:
        """Returns the logits of each pixel, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        common = dict(train=train, batch_norm=True, types=types)
        x, pooled = image.astype(self.dtype), []
        for stage, (layers, factor) in enumerate(zip(STAGE_SIZES, WIDTHS), 1):
            x = convolutions(x, [self.width * factor] * layers, f"stage{stage}", **common)
            shape = x.shape[1:3]
            x, switches = max_pool_with_switches(x)
            pooled.append((switches, shape))
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        for stage in range(len(pooled), 0, -1):
            x = max_unpool(x, *pooled[stage - 1])
            widths = [self.width * WIDTHS[stage - 1]] * STAGE_SIZES[stage - 1]
            widths[-1] = self.width * WIDTHS[max(stage - 2, 0)]
            # In place of the last convolution there is the head.
            x = convolutions(x, widths if stage > 1 else widths[:-1], f"up{stage}", **common)
        logits = nn.Conv(self.num_classes, (3, 3), kernel_init=he_normal, name="head", **types)(x)
        return logits.astype(jnp.float32)


class SegNetBasic(nn.Module):
    """SegNet-Basic: images (b, h, w, c) of any size -> logits (b, h, w, num_classes).

    Submodules are "stage1_conv", "stage1_norm", ..., "up4_conv", "up4_norm", ..., and "head".
    Stores "features" (b, width), the means over space after the last pooling.

    Attributes:
      num_classes: number of classes of a pixel.
      width: channels of every layer.
      depth: number of encoders.
      size: side of the windows.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1, or a dtype is unknown.
    """

    num_classes: int = 11
    width: int = 64
    depth: int = 4
    size: int = 7
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(
            num_classes=self.num_classes, width=self.width, depth=self.depth, size=self.size
        )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w {self.num_classes}"]:
        """Returns the logits of each pixel, float32."""
        x, pooled = image.astype(self.dtype), []
        for stage in range(1, self.depth + 1):
            x = nn.relu(self._layer(x, f"stage{stage}", train))
            shape = x.shape[1:3]
            x, switches = max_pool_with_switches(x)
            pooled.append((switches, shape))
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        for stage in range(self.depth, 0, -1):
            x = self._layer(max_unpool(x, *pooled[stage - 1]), f"up{stage}", train)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        logits = nn.Conv(self.num_classes, (1, 1), kernel_init=he_normal, name="head", **types)(x)
        return logits.astype(jnp.float32)

    def _layer(self, x: Array, name: str, train: bool) -> Array:
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.Conv(
            self.width,
            (self.size, self.size),
            use_bias=False,
            kernel_init=he_normal,
            name=f"{name}_conv",
            **types,
        )(x)
        return norm(x, "batch", name=f"{name}_norm", train=train, **types)


segnet = variant(SegNet, "segnet")
segnet_basic = variant(SegNetBasic, "segnet_basic")
