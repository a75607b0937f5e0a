"""Fully convolutional networks for segmentation: FCN-32s, FCN-16s and FCN-8s (Long et al. 2015).

"Fully Convolutional Networks for Semantic Segmentation", arXiv 1411.4038. The dense layers of
VGG-16 become convolutions, which score each cell of 32x32 pixels. FCN-16s and FCN-8s add the scores
of earlier, finer features: each sum is enlarged to twice the size by a learned up-convolution that
starts as bilinear interpolation. The last enlargement is fixed.

The authors' network pads its image by 100 pixels, and cuts offsets off each enlarged map. Here each
convolution is padded to keep its size, and enlargements go between the centres of cells, so nothing
has to be cut but what the last windows of poolings reach beyond an image whose sides 32 does not
divide. With 21 classes FCN-32s has 134,346,581 params; the paper's table 1 states 134 M.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.pooling import max_pool_to_the_edge
from library.layers.upsampling import bilinear, bilinear_kernel
from library.models.dense._vgg import STAGE_SIZES, WIDTHS, convolutions, he_normal
from library.variants import variant

STRIDES = (8, 16, 32)


class FCN(nn.Module):
    """FCN on VGG-16: images (b, h, w, c) of any size -> logits (b, h, w, num_classes).

    Submodules are "stage1_conv1", ... as in VGG, "fc1" and "fc2", "head", which scores the last
    features, "head_pool4" and "head_pool3", which score those of earlier poolings, and "up1" and
    "up2". Heads start at zero (section 4.3). Stores "features" (b, hidden_size), the means over
    space of the input of "head".

    Attributes:
      num_classes: number of classes of a pixel.
      stride: pixels between the finest scores: 32, 16 or 8.
      width: channels of the first stage; the others have 2, 4, 8 and 8 times as many.
      hidden_size: channels of the two layers that were dense in VGG.
      batch_norm: whether batch normalization follows the convolutions of the stages, as in VGG-BN.
      dropout: rate after each of the two layers.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a value is out of range.
    """

    num_classes: int = 21
    stride: int = 8
    width: int = 64
    hidden_size: int = 4096
    batch_norm: bool = False
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_rates(dropout=self.dropout)
        check_sizes(num_classes=self.num_classes, width=self.width, hidden_size=self.hidden_size)
        check_choice("stride", self.stride, STRIDES)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w {self.num_classes}"]:
        """Returns the logits of each pixel, float32."""
        x, pooled = image.astype(self.dtype), []
        for stage, (layers, factor) in enumerate(zip(STAGE_SIZES, WIDTHS), 1):
            widths = [self.width * factor] * layers
            common = dict(train=train, batch_norm=self.batch_norm, types=self._types())
            x = convolutions(x, widths, f"stage{stage}", **common)
            x = max_pool_to_the_edge(x, 2, 2)
            pooled.append(x)
        for i, size in enumerate((7, 1), 1):
            x = nn.relu(self._conv(x, self.hidden_size, size, f"fc{i}", he_normal))
            x = nn.Dropout(self.dropout, deterministic=not train, name=f"fc{i}_dropout")(x)
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        scores = self._conv(x, self.num_classes, 1, "head", nn.initializers.zeros)
        for i in range(1, 1 + STRIDES[::-1].index(self.stride)):
            finer = pooled[-1 - i]
            scores = self._doubled(scores, f"up{i}")[:, : finer.shape[1], : finer.shape[2]]
            own = f"head_pool{len(pooled) - i}"
            scores += self._conv(finer, self.num_classes, 1, own, nn.initializers.zeros)
        logits = bilinear(scores.astype(jnp.float32), self.stride)
        return logits[:, : image.shape[1], : image.shape[2]]

    def _types(self) -> dict:
        return dict(dtype=self.dtype, param_dtype=self.param_dtype)

    def _conv(self, x: Array, features: int, size: int, name: str, init) -> Array:
        return nn.Conv(features, (size, size), kernel_init=init, name=name, **self._types())(x)

    def _doubled(self, x: Array, name: str) -> Array:
        return nn.ConvTranspose(
            self.num_classes,
            (4, 4),
            (2, 2),
            use_bias=False,
            kernel_init=bilinear_kernel,
            name=name,
            **self._types(),
        )(x)


fcn_32s = variant(FCN, "fcn_32s", stride=32)
fcn_16s = variant(FCN, "fcn_16s", stride=16)
fcn_8s = variant(FCN, "fcn_8s", stride=8)
