"""The airbench networks (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498).

A fixed whitening convolution of 2x2 patches, then three groups of two 3x3 convolutions that start
as identities, with batch normalization without scales, 1,971,640 params in all: `airbench94`.
`airbench96`, the author's for 96 %, has wider groups of three convolutions, the last two of which a
shortcut bypasses, and running statistics of the usual momentum: 9,915,704 params.

Two params need the optimizer's care: "whitening/kernel" gets no gradient and must get no weight
decay, and "whitening/bias" is trained for the first three epochs only. The biases of the
normalizations have 64 times the learning rate of the rest.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import record
from library.layers.normalization import NORMS, norm
from library.layers.whitening import WhiteningConv
from library.variants import variant

# PyTorch's default for convolutions and dense layers: uniform within 1 / sqrt(fan-in).
_torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Airbench(nn.Module):
    """Whitening, groups of convolutions, max over space, a linear head without bias.

    Submodules "whitening", "stage1_conv1", "stage1_norm1", "stage1_conv2", ..., "head". Records
    "stage1" to "stage3" and "features". `init` computes the whitening from the images it is given,
    which should be a real, normalized batch. If `residual`, groups have a third convolution, and
    what its normalization leaves is added to what the first one's activation does.

    Attributes:
      num_classes: size of the logits.
      widths: channels of each group.
      norm: "batch" or "group".
      dtype: of the computation.
      param_dtype: of the params.
      residual: whether groups have a third convolution, and a shortcut.
      momentum: of the batch statistics.
      logit_scale: factor of the logits.

    Raises:
      ConfigError: an unknown norm or dtype, a size below 1.
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
          ValueError: the image is too small to be halved by each group.
        """
        smallest = 2 ** len(self.widths) + 1
        if min(image.shape[1:3]) < smallest:
            raise ValueError(
                f"a {image.shape[1]}x{image.shape[2]} image cannot be halved {len(self.widths)} "
                f"times: {smallest}x{smallest} is the smallest"
            )
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
            record(self, f"stage{stage}", x)
        # On 32x32 images three 3x3 pixels are left, which the original pools by 3x3.
        x = x.max(axis=(1, 2))
        record(self, "features", x)
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
    """Starts a convolution (section 3.3) so that its first outputs copy its inputs."""
    height, width, inputs, outputs = shape
    copied = min(inputs, outputs)
    kernel = _torch_uniform(key, shape, dtype).at[..., :copied].set(0)
    each = jnp.arange(copied)
    return kernel.at[height // 2, width // 2, each, each].set(1)


def _gelu(x):
    return nn.gelu(x, approximate=False)
