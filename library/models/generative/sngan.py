"""The residual generator and discriminator of SNGAN, for CIFAR-10.

Miyato, Kataoka, Koyama & Yoshida 2018, "Spectral normalization for generative adversarial networks"
(arXiv 1802.05957), appendix B.4, table 4, after Gulrajani et al. 2017 (arXiv 1704.00028), appendix
F. At 32x32 the generator has 4,276,739 params (width 256, 128 latents) and the discriminator
1,053,825 (width 128).

If there are labels, the networks follow Miyato & Koyama 2018, "cGANs with projection discriminator"
(arXiv 1802.05637). The generator's batch normalization has a scale and a bias for each class. The
discriminator adds the inner product of its features and an embedding of the class.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import check_choice
from library.layers.checks import check_dtypes, check_image, check_sizes
from library.layers.intermediates import store
from library.layers.spectral_normalization import spectrally_normalized
from library.models.generative.dcgan import coarsest_grid
from library.variants import variant

POOLS = ("sum", "mean")
UPSAMPLINGS = ("nearest", "bilinear")

_glorot = nn.initializers.glorot_uniform()
# For 3x3 convolutions: uniform, with a gain of the square root of 2.
_he_glorot = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


class GeneratorBlock(nn.Module):
    """Residual block that doubles height and width before the first of its two 3x3 convolutions.

    The main branch normalizes and rectifies its input before each convolution. The shortcut
    enlarges the block's input and applies a 1x1 convolution.
    """

    width: int
    num_classes: int
    upsampling: str
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], label: Int[Array, " b"] | None, train: bool
    ) -> Float[Array, "b 2*h 2*w d"]:
        """Returns features."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        shortcut = _conv(self.width, 1, name="shortcut", **types)(_enlarge(x, self.upsampling))
        y = x
        for i in (1, 2):
            y = ClassBatchNorm(self.num_classes, name=f"norm{i}", **types)(y, label, train)
            y = nn.relu(y)
            y = _conv(self.width, 3, name=f"conv{i}", **types)(
                _enlarge(y, self.upsampling) if i == 1 else y
            )
        return shortcut + y


class ClassBatchNorm(nn.Module):
    """Batch normalization with one scale and bias or, given labels, one of each for every class."""

    num_classes: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], label: Int[Array, " b"] | None, train: bool
    ) -> Float[Array, "b h w c"]:
        """Returns the normalized features."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        plain = label is None
        options = dict(use_scale=plain, use_bias=plain, momentum=0.9, epsilon=1e-5)
        x = nn.BatchNorm(use_running_average=not train, name="norm", **options, **types)(x)
        if plain:
            return x
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        sizes = self.num_classes, x.shape[-1]
        scale = nn.Embed(*sizes, embedding_init=ones, name="scale", **types)(label)
        bias = nn.Embed(*sizes, embedding_init=zeros, name="bias", **types)(label)
        return x * scale[:, None, None] + bias[:, None, None]


class Generator(nn.Module):
    """A generator from latents to images in [-1, 1], of residual blocks.

    Submodules are "project", "block1", ..., "final_norm", "final_conv".

    Attributes:
      image_shape: height, width, channels.
      num_classes: number of classes; ignored if the model gets no labels.
      width: channels of all layers.
      upsampling: "nearest", as in the authors' program, or "bilinear", as in mimicry.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: the images cannot be halved, an upsampling or dtype is unknown, or a size is
        below 1.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 10
    width: int = 256
    upsampling: str = "nearest"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(width=self.width, num_classes=self.num_classes)
        check_choice("upsampling", self.upsampling, UPSAMPLINGS)
        check_dtypes(self.dtype, self.param_dtype)
        coarsest_grid(self.image_shape)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        latent: Float[Array, "b d"],
        label: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Returns images."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        blocks, height, width = coarsest_grid(self.image_shape)
        size = height * width * self.width
        x = nn.Dense(size, kernel_init=_glorot, name="project", **types)(latent)
        x = x.reshape(-1, height, width, self.width)
        for i in range(1, blocks + 1):
            block = GeneratorBlock(
                self.width, self.num_classes, self.upsampling, name=f"block{i}", **types
            )
            x = block(x, label, train)
        # The last normalization is the same for all classes, as in the authors' program.
        x = nn.relu(ClassBatchNorm(self.num_classes, name="final_norm", **types)(x, None, train))
        final = nn.Conv(
            self.image_shape[2], (3, 3), kernel_init=_glorot, name="final_conv", **types
        )
        return jnp.tanh(final(x).astype(jnp.float32))


class DiscriminatorBlock(nn.Module):
    """Residual block of two 3x3 convolutions, each after a relu. `halve` adds 2x2 average pooling.

    The `first` block takes the image. It has no relu before its first convolution, and its shortcut
    pools before its convolution. The shortcut of a block that does not halve is the identity.
    """

    width: int
    halve: bool
    first: bool
    spectral: bool
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        def conv(x, size, name):
            layer = _conv(self.width, size, name=name, **types)
            return spectrally_normalized(layer, x, train=train) if self.spectral else layer(x)

        y = conv(x if self.first else nn.relu(x), 3, "conv1")
        y = conv(nn.relu(y), 3, "conv2")
        y = _halve(y) if self.halve else y
        if self.first:
            return conv(_halve(x), 1, "shortcut") + y
        if not self.halve:
            return x + y
        return _halve(conv(x, 1, "shortcut")) + y


class Discriminator(nn.Module):
    """A discriminator from images in [-1, 1] to scores, which are higher for real images.

    It has four blocks; the first two halve height and width. Submodules are "block1", ..., "head",
    "classes". Stores "stage1", ... and "features" (b, width).

    Attributes:
      num_classes: number of classes; ignored if the model gets no labels.
      width: channels of all layers.
      spectral: whether all layers are spectrally normalized; False gives the critic of WGAN-GP.
      pool: pooling over space, "sum" or "mean".
      dtype: type of the computation; the score is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a pool or dtype is unknown, or a size is below 1.
    """

    num_classes: int = 10
    width: int = 128
    spectral: bool = True
    pool: str = "sum"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(width=self.width, num_classes=self.num_classes)
        check_choice("pool", self.pool, POOLS)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w c"],
        label: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, " b"]:
        """Returns scores.

        Raises:
          ValueError: an image is smaller than 4x4, and cannot be halved twice.
        """
        check_image("the discriminator of SNGAN", image, 4)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image
        for i in range(1, 5):
            block = DiscriminatorBlock(
                self.width, i <= 2, i == 1, self.spectral, name=f"block{i}", **types
            )
            x = block(x, train)
            store(self, f"stage{i}", x)
        x = nn.relu(x)
        x = x.sum(axis=(1, 2)) if self.pool == "sum" else x.mean(axis=(1, 2))
        store(self, "features", x)
        types = dict(dtype=jnp.float32, param_dtype=self.param_dtype)

        def apply(layer, x):
            return spectrally_normalized(layer, x, train=train) if self.spectral else layer(x)

        score = apply(nn.Dense(1, kernel_init=_glorot, name="head", **types), x)[:, 0]
        if label is None:
            return score
        classes = nn.Embed(
            self.num_classes, self.width, embedding_init=_glorot, name="classes", **types
        )
        return score + jnp.sum(apply(classes, label) * x, axis=-1)


generator = variant(Generator, "generator")


discriminator = variant(Discriminator, "discriminator")


def _conv(width, size, *, name, dtype, param_dtype):
    init = _he_glorot if size == 3 else _glorot
    kernel = (size, size)
    types = dict(dtype=dtype, param_dtype=param_dtype)
    return nn.Conv(width, kernel, kernel_init=init, name=name, **types)


def _enlarge(x, method):
    batch, height, width, channels = x.shape
    return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), method)


def _halve(x):
    return nn.avg_pool(x, (2, 2), (2, 2))
