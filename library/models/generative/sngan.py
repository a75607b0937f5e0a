"""The residual generator and discriminator of SNGAN, for CIFAR-10.

Miyato, Kataoka, Koyama & Yoshida 2018, "Spectral normalization for generative adversarial networks"
(arXiv 1802.05957), appendix B.4, table 4, after Gulrajani et al. 2017 (arXiv 1704.00028), appendix
F. At 32x32 the generator has 4,276,739 params (width 256, 128 latents) and the discriminator
1,053,825 (width 128).

Told a label, they are Miyato & Koyama 2018, "cGANs with projection discriminator" (arXiv
1802.05637): the generator's batch normalization has a scale and a bias for each class, and the
discriminator adds the product of its features with an embedding of the class.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import record
from library.layers.spectral_normalization import spectrally_normalized
from library.models.generative.dcgan import coarsest_grid
from library.variants import variant

POOLS = ("sum", "mean")
UPSAMPLINGS = ("nearest", "bilinear")

_glorot = nn.initializers.glorot_uniform()
# Uniform with a gain of the square root of 2, of 3x3 convolutions.
_he_glorot = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


class GeneratorBlock(nn.Module):
    """Doubles height and width before the first of two 3x3 convolutions.

    Both branches see the block's input; the main one normalized and rectified, the shortcut
    enlarged and through a 1x1 convolution.
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
    """Batch normalization with one scale and bias, or, told labels, with one of each a class."""

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
    """From a latent to an image of [-1, 1].

    Submodules "project", "block1", ..., "final_norm", "final_conv".

    Attributes:
      image_shape: height, width, channels.
      num_classes: of labels; without meaning where there are none.
      width: channels of all layers.
      upsampling: "nearest", as the authors' program, or "bilinear", as mimicry's.
      dtype: of the computation; the image is float32.
      param_dtype: of the params.

    Raises:
      ConfigError: images that cannot be halved, an unknown upsampling or dtype, a size below 1.
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
    """Two 3x3 convolutions, each after a relu; `halve` takes means of 2x2 at the end.

    The `first` block, whose input is the image, has no relu before it, and its shortcut takes the
    means before its convolution. Shortcuts of blocks that change nothing are the identity.
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
    """From an image of [-1, 1] to a score, higher for what is real.

    Four blocks, of which the first two halve height and width. Submodules "block1", ..., "head",
    "classes". Records "stage1", ... and "features" (b, width).

    Attributes:
      num_classes: of labels; without meaning where there are none.
      width: channels of all layers.
      spectral: whether all layers are spectrally normalized; without, it is the critic of WGAN-GP.
      pool: over space, "sum" or "mean".
      dtype: of the computation; the score is float32.
      param_dtype: of the params.

    Raises:
      ConfigError: an unknown pool or dtype, a size below 1.
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
        """Returns scores."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = image
        for i in range(1, 5):
            block = DiscriminatorBlock(
                self.width, i <= 2, i == 1, self.spectral, name=f"block{i}", **types
            )
            x = block(x, train)
            record(self, f"stage{i}", x)
        x = nn.relu(x)
        x = x.sum(axis=(1, 2)) if self.pool == "sum" else x.mean(axis=(1, 2))
        record(self, "features", x)
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
