"""SqueezeNet: few params, because a 1x1 convolution reduces channels before each 3x3 convolution.

Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
size" (arXiv 1602.07360), table 1, without bypasses. Version 1.0 has 1,248,424 params with a
thousand classes. The authors' later version 1.1 has 1,235,496 params and needs 2.4 times less
computation. Both are as in torchvision. Modules have the names of the paper, but its conv10 is
"head".
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.pooling import max_pool_to_the_edge
from library.variants import variant


class Version(NamedTuple):
    """A version of SqueezeNet.

    Attributes:
      features: channels of the first convolution.
      kernel: kernel size of the first convolution.
      stages: squeezed channels of the fire modules of each stage.
      smallest: side of the smallest possible image.
    """

    features: int
    kernel: int
    stages: tuple[tuple[int, ...], ...]
    smallest: int


VERSIONS = {
    "1.0": Version(96, 7, ((16, 16, 32), (32, 48, 48, 64), (64,)), 21),
    "1.1": Version(64, 3, ((16, 16), (32, 32), (48, 48, 64, 64)), 17),
}

_he_uniform = nn.initializers.he_uniform()


class Fire(nn.Module):
    """Fire module: 1x1 "squeeze", then "expand1x1" and "expand3x3", concatenated (figure 1).

    Each of the two expanding convolutions is four times as wide as the squeezed features.
    """

    squeezed: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w _"]:
        """Returns features with 8 `squeezed` channels."""

        def conv(x, features, size, name):
            types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            kernel = (size, size)
            y = nn.Conv(features, kernel, kernel_init=_he_uniform, name=name, **types)(x)
            return nn.relu(y)

        x = conv(x, self.squeezed, 1, "squeeze")
        ends = [conv(x, 4 * self.squeezed, size, f"expand{size}x{size}") for size in (1, 3)]
        return jnp.concatenate(ends, axis=-1)


class SqueezeNet(nn.Module):
    """SqueezeNet: a convolution, eight fire modules with max pooling between, 1x1 convolution.

    Submodules are "conv1", "fire2", ..., "fire9" and "head". The head is a 1x1 convolution: the
    logits are the means over space of its rectified output. Stores "stage1" (conv1), "stage2",
    "stage3" and "stage4", the first three before pooling, and "features" (b, 512), the mean over
    space of the head's input.

    Kernels start uniform with He's variance. The head starts from a normal distribution with a
    standard deviation of 0.01. Both are as in torchvision.

    Attributes:
      num_classes: size of the logits.
      dropout: rate before the head.
      dtype: type of the computation, also of the head.
      param_dtype: type of the params.
      version: a key of VERSIONS.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or there are no classes.
    """

    num_classes: int = 1000
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"
    version: str = "1.0"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32, none of them negative.

        Raises:
          ValueError: the image is too small to be pooled three times.
        """
        features, kernel, stages, smallest = VERSIONS[self.version]
        check_image(f"SqueezeNet {self.version}", image, smallest)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        first = nn.Conv(
            features,
            (kernel, kernel),
            strides=(2, 2),
            padding="VALID",
            kernel_init=_he_uniform,
            name="conv1",
            **types,
        )
        x = nn.relu(first(image))
        store(self, "stage1", x)
        layer = 2
        for stage, fires in enumerate(stages, 2):
            x = max_pool_to_the_edge(x, 3, 2)
            for squeezed in fires:
                x = Fire(squeezed, name=f"fire{layer}", **types)(x)
                layer += 1
            store(self, f"stage{stage}", x)
        store(self, "features", x.mean(axis=(1, 2)))
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        init = nn.initializers.normal(0.01)
        x = nn.Conv(self.num_classes, (1, 1), kernel_init=init, name="head", **types)(x)
        return nn.relu(x).astype(jnp.float32).mean(axis=(1, 2))


squeezenet1_0 = variant(SqueezeNet, "squeezenet1_0", version="1.0")
squeezenet1_1 = variant(SqueezeNet, "squeezenet1_1", version="1.1")
