"""The airbench networks (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498).

`airbench94` has a fixed whitening convolution of 2x2 patches, then three groups of two 3x3
convolutions. The convolutions start as partial identities, and batch normalization has no scale. It
has 1,971,640 params. `airbench96`, for 96 % accuracy, has wider groups of three convolutions, a
shortcut around the last two, and running statistics with the usual momentum. It has 9,915,704
params.

Some params need special settings of the optimizer. "whitening/kernel" gets no gradient and must get
no weight decay. "whitening/bias" is trained only in the first three epochs. The biases of the
normalizations have 64 times the learning rate of the other params.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import check_choice
from library.layers.checks import check_dtypes, check_image, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import NORMS, norm
from library.layers.whitening import WhiteningConv
from library.variants import variant

# PyTorch's default for convolutions and dense layers: uniform within 1 / sqrt(fan-in).
_torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Airbench(nn.Module):
    """An airbench network: whitening, groups of convolutions, max over space, head without bias.

    Submodules are "whitening", "stage1_conv1", "stage1_norm1", "stage1_conv2", ..., "head". Stores
    "stage1" to "stage3" and "features". `init` computes the whitening from its images, which should
    be a real, normalized batch. With `residual`, a group has a third convolution, and the output of
    the group's first activation is added to the output of the third normalization.

    Attributes:
      num_classes: size of the logits.
      widths: channels of each group.
      norm: "batch" or "group".
      dtype: type of the computation.
      param_dtype: type of the params.
      residual: whether groups have a third convolution and a shortcut.
      momentum: momentum of the running averages of batch normalization.
      logit_scale: factor of the logits.

    Raises:
      ConfigError: a norm or dtype is unknown, or a size is below 1.
    """

    num_classes: int = 10
    widths: tuple[int, ...] = (64, 256, 256)
    norm: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"
    residual: bool = False
    momentum: float = 0.6
    logit_scale: float = 1 / 9

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, widths=self.widths)
        check_choice("norm", self.norm, NORMS)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the image is too small to be halved in each group.
        """
        # The whitening of 2x2 patches takes the first pixel.
        check_image("an airbench network", image, 2 ** len(self.widths) + 1)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = first = _gelu(WhiteningConv(kernel_size=2, name="whitening", **types)(image))
        for stage, width in enumerate(self.widths, 1):
            layers = 3 if self.residual else 2
            for layer in range(1, layers + 1):
                x = nn.Conv(
                    width,
                    (3, 3),
                    padding=1,
                    use_bias=False,
                    kernel_init=_partial_identity,
                    name=f"stage{stage}_conv{layer}",
                    **types,
                )(x)
                x = nn.max_pool(x, (2, 2), (2, 2)) if layer == 1 else x
                x = self._normalize(x, train, f"stage{stage}_norm{layer}")
                x = _gelu(x + first if layer == 3 else x)
                first = x if layer == 1 else first
            store(self, f"stage{stage}", x)
        # A 32x32 image leaves 3x3 pixels here, which the original pools by 3x3.
        x = x.max(axis=(1, 2))
        store(self, "features", x)
        logits = linear_head(
            x,
            self.num_classes,
            kernel_init=_torch_uniform,
            use_bias=False,
            param_dtype=self.param_dtype,
        )
        return logits * self.logit_scale

    def _normalize(self, x, train, name):
        return norm(
            x,
            self.norm,
            name=name,
            train=train,
            use_scale=False,
            momentum=self.momentum,
            epsilon=1e-12,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )


airbench94 = variant(Airbench, "airbench94", residual=False, momentum=0.6, logit_scale=1 / 9)
airbench96 = variant(
    Airbench,
    "airbench96",
    residual=True,
    momentum=0.9,
    logit_scale=1 / 9,
    defaults=dict(widths=(128, 384, 512)),
)


def _partial_identity(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> Float[Array, "h w i o"]:
    """Initialises a convolution so that its first outputs copy its inputs (section 3.3)."""
    height, width, inputs, outputs = shape
    copied = min(inputs, outputs)
    kernel = _torch_uniform(key, shape, dtype).at[..., :copied].set(0)
    each = jnp.arange(copied)
    return kernel.at[height // 2, width // 2, each, each].set(1)


def _gelu(x):
    return nn.gelu(x, approximate=False)
