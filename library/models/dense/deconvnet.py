"""DeconvNet: segmentation by a deconvolution network (Noh et al. 2015).

"Learning Deconvolution Network for Semantic Segmentation", arXiv 1505.04366. VGG-16 is followed by
its mirror image: each max pooling by an unpooling that puts values back where the maxima were, and
each convolution by a transposed one. The dense layers are convolutions, the first of 7x7 without
padding, which makes a single cell of 224x224 pixels. With 3 channels and 21 classes the network has
251,805,653 params; the paper states about 252 M (section 3.3).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_sizes
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.unpooling import max_pool_with_switches, max_unpool
from library.models.dense._vgg import STAGE_SIZES, WIDTHS, convolutions, he_normal
from library.variants import variant


class DeconvNet(nn.Module):
    """DeconvNet: images (b, h, w, c) -> logits (b, h, w, num_classes).

    Submodules are "stage1_conv1", "stage1_norm1", ..., "fc1", "fc2", "up_fc1", then
    "up5_conv1", ..., "up1_conv2", and "head". Stores "features" (b, hidden_size), the means over
    space between the two halves.

    Attributes:
      num_classes: number of classes of a pixel.
      width: channels of the first stage; the others have 2, 4, 8 and 8 times as many.
      hidden_size: channels of the layers between the two halves.
      window: side of the windows of the layers next to the middle; the smallest image has 32 times
        this side. 7 is for 224x224 pixels or more.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1, or a dtype is unknown.
    """

    num_classes: int = 21
    width: int = 64
    hidden_size: int = 4096
    window: int = 7
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(
            num_classes=self.num_classes,
            width=self.width,
            hidden_size=self.hidden_size,
            window=self.window,
        )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w {self.num_classes}"]:
        """Returns the logits of each pixel, float32.

        Raises:
          ValueError: the image is too small for the window of the middle.
        """
        check_image("DeconvNet", image, 32 * (self.window - 1) + 1)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        common = dict(train=train, batch_norm=True, types=types)
        x, pooled = image.astype(self.dtype), []
        for stage, (layers, factor) in enumerate(zip(STAGE_SIZES, WIDTHS), 1):
            x = convolutions(x, [self.width * factor] * layers, f"stage{stage}", **common)
            shape = x.shape[1:3]
            x, switches = max_pool_with_switches(x)
            pooled.append((switches, shape))
        x = self._middle(x, train, types)
        for stage in range(len(pooled), 0, -1):
            x = max_unpool(x, *pooled[stage - 1])
            widths = [self.width * WIDTHS[stage - 1]] * STAGE_SIZES[stage - 1]
            # The last layer has the channels of the next, finer stage.
            widths[-1] = self.width * WIDTHS[max(stage - 2, 0)]
            x = convolutions(x, widths, f"up{stage}", transposed=True, **common)
        logits = nn.Conv(self.num_classes, (1, 1), kernel_init=he_normal, name="head", **types)(x)
        return logits.astype(jnp.float32)

    def _middle(self, x: Array, train: bool, types: dict) -> Array:
        """Applies the layers that were dense in VGG, and the first deconvolution."""
        sizes = (self.window, self.window)
        layers = (
            ("fc1", nn.Conv, self.hidden_size, sizes),
            ("fc2", nn.Conv, self.hidden_size, (1, 1)),
            ("up_fc1", nn.ConvTranspose, self.width * WIDTHS[-1], sizes),
        )
        for name, layer, features, size in layers:
            if name == "up_fc1":
                store(self, "features", jnp.mean(x, axis=(1, 2)))
            x = layer(features, size, padding="VALID", kernel_init=he_normal, name=name, **types)(x)
            x = nn.relu(norm(x, "batch", name=f"{name}_norm", train=train, **types))
        return x


deconvnet = variant(DeconvNet, "deconvnet")
