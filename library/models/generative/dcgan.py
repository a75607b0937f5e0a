"""DCGAN: a generator and a discriminator of strided convolutions.

Radford, Metz & Chintala 2016, "Unsupervised representation learning with deep convolutional
generative adversarial networks" (arXiv 1511.06434), section 3 and figure 1. There is no pooling and
no hidden dense layer. Batch normalization is in all layers but the generator's output layer and the
discriminator's input layer. The generator has relus and a tanh output, the discriminator leaky
relus of slope 0.2. Weights start from N(0, 0.02).

Kernels are 4x4 as in PyTorch's example. At 64x64 with a width of 64 and 3 channels, the networks
are those of the example: the generator has 3,576,704 params (100 latents), the discriminator
2,765,568. For images of other sizes, the number of layers is how often the image can be halved
to no less than 4 pixels: two for 28x28, three for 32x32.

If there are labels, the generator takes the one-hot label concatenated with the latent. The
discriminator takes the image with one more plane for each class; the plane of the label is ones and
the others are zeros. This follows Mirza & Osindero 2014 (arXiv 1411.1784), whose networks are
perceptrons. With a label embedding of unit variance, as long as the latent, instead of the one-hot
label, the images of one class were almost identical on MNIST.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.variants import variant

NORMS = ("batch", "layer", "none")

_normal = nn.initializers.normal(0.02)


class Generator(nn.Module):
    """A generator from latents to images in [-1, 1], of transposed convolutions.

    Submodules are "project", "norm0", "upsample1", "norm1", .... The last "upsample" has no norm.

    Attributes:
      image_shape: height, width, channels.
      num_classes: number of classes; ignored if the model gets no labels.
      width: channels of the last hidden layer; each earlier layer has twice as many.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: the images cannot be halved, a dtype is unknown, or a size is below 1.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 10
    width: int = 64
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(width=self.width, num_classes=self.num_classes)
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
        layers, height, width = coarsest_grid(self.image_shape)
        x = latent
        if label is not None:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.num_classes)], axis=-1)
        channels = self.width * 2 ** (layers - 1)
        project = nn.Dense(
            height * width * channels, use_bias=False, kernel_init=_normal, name="project", **types
        )
        x = project(x).reshape(-1, height, width, channels)
        for layer in range(1, layers + 1):
            x = nn.relu(_norm(x, "batch", train, name=f"norm{layer - 1}", **types))
            last = layer == layers
            x = nn.ConvTranspose(
                self.image_shape[2] if last else self.width * 2 ** (layers - layer - 1),
                kernel_size=(4, 4),
                strides=(2, 2),
                use_bias=False,
                kernel_init=_normal,
                name=f"upsample{layer}",
                **types,
            )(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """A discriminator from images in [-1, 1] to scores, which are higher for real images.

    Submodules are "conv1", "conv2", "norm2", ..., "head". Stores "stage1", ... and "features"
    (b, d).

    Attributes:
      num_classes: number of classes; ignored if the model gets no labels.
      width: channels of the first layer; each later layer has twice as many.
      norm: "batch"; with a gradient penalty "layer" or "none".
      dtype: type of the computation; the score is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a norm or dtype is unknown, or a size is below 1.
    """

    num_classes: int = 10
    width: int = 64
    norm: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(width=self.width, num_classes=self.num_classes)
        check_choice("norm", self.norm, NORMS)
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
        if label is not None:
            planes = jax.nn.one_hot(label, self.num_classes)[:, None, None]
            planes = jnp.broadcast_to(planes, (*image.shape[:3], self.num_classes))
            x = jnp.concatenate([x, planes], axis=-1)
        for layer in range(1, coarsest_grid(image.shape[1:])[0] + 1):
            x = nn.Conv(
                self.width * 2 ** (layer - 1),
                kernel_size=(4, 4),
                strides=(2, 2),
                use_bias=self.norm == "none",
                kernel_init=_normal,
                name=f"conv{layer}",
                **types,
            )(x)
            x = _norm(x, self.norm, train, name=f"norm{layer}", **types) if layer > 1 else x
            x = nn.leaky_relu(x, 0.2)
            store(self, f"stage{layer}", x)
        x = x.reshape(len(x), -1)
        store(self, "features", x)
        bias = self.norm == "none"
        types = dict(kernel_init=_normal, use_bias=bias, param_dtype=self.param_dtype)
        return linear_head(x, 1, **types)[:, 0]


generator = variant(Generator, "generator")


discriminator = variant(Discriminator, "discriminator")


def coarsest_grid(image_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns how often an image can be halved to no less than 4 pixels, and the final size.

    Returns:
      (halvings, height, width): (2, 7, 7) for 28x28, (3, 4, 4) for 32x32.

    Raises:
      ConfigError: the image cannot be halved once.
    """
    height, width = image_shape[:2]
    halvings = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if not halvings:
        near = tuple(max(8, 4 * round(side / 4)) for side in image_shape[:2])
        raise ConfigError(
            f"images of {height}x{width} cannot be halved to 4 or more pixels; "
            f"nearest: {near[0]}x{near[1]} (multiples of 4)"
        )
    return halvings, height, width


def _norm(x, kind, train, *, name, dtype, param_dtype):
    if kind == "none":
        return x
    types = dict(dtype=dtype, param_dtype=param_dtype, name=name, epsilon=1e-5)
    if kind == "layer":
        return nn.LayerNorm(reduction_axes=(-3, -2, -1), feature_axes=-1, **types)(x)

    def around_one(key, shape, dtype=jnp.float32):
        return 1 + _normal(key, shape, dtype)

    norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, scale_init=around_one, **types)
    return norm(x)
