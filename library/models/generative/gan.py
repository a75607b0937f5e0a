"""The first generative adversarial network: two perceptrons.

Goodfellow et al. 2014, "Generative adversarial nets" (arXiv 1406.2661), section 5, and the authors'
program for MNIST: a generator of relu layers with sigmoid outputs, and a discriminator of maxout
layers (Goodfellow et al. 2013, arXiv 1302.4389) with dropout. Weights start uniform in a small
range, [-0.05, 0.05] in the generator and [-0.005, 0.005] in the discriminator. Biases start at
zero. The authors' program starts the last bias of the generator at the logits of the mean image.

If there are labels, both networks take the one-hot label concatenated with their input (Mirza &
Osindero 2014, arXiv 1411.1784).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.intermediates import store
from library.variants import variant


class Generator(nn.Module):
    """A generator from latents to images in [-1, 1], of dense layers.

    Submodules are "hidden1", ..., "output".

    Attributes:
      image_shape: height, width, channels.
      num_classes: number of classes; ignored if the model gets no labels.
      hidden: units of each hidden layer.
      dtype: type of the computation; the image is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, or a size is below 1.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 10
    hidden: tuple[int, ...] = (1200, 1200)
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(hidden=self.hidden, num_classes=self.num_classes)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        latent: Float[Array, "b d"],
        label: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Returns images."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype, kernel_init=_uniform(0.05))
        x = _with_label(latent, label, self.num_classes)
        for i, width in enumerate(self.hidden, 1):
            x = nn.relu(nn.Dense(width, name=f"hidden{i}", **types)(x))
        x = nn.Dense(math.prod(self.image_shape), name="output", **types)(x)
        # The sigmoid of the paper, scaled to [-1, 1]: 2 sigmoid(x) - 1 = tanh(x / 2).
        return jnp.tanh(x.astype(jnp.float32) / 2).reshape(-1, *self.image_shape)


class Discriminator(nn.Module):
    """A discriminator from images in [-1, 1] to scores, which are higher for real images.

    Submodules are "hidden1", ..., "head". Stores "stage1", ... and "features" (b, d).

    Attributes:
      num_classes: number of classes; ignored if the model gets no labels.
      hidden: units of each maxout layer.
      pieces: number of linear functions of which a unit takes the maximum.
      dropout: dropout rate on the input of each layer but the first.
      input_dropout: dropout rate on the image.
      dtype: type of the computation; the score is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a rate is outside [0, 1), a dtype is unknown, or a size is below 1.
    """

    num_classes: int = 10
    hidden: tuple[int, ...] = (240, 240)
    pieces: int = 5
    dropout: float = 0.5
    input_dropout: float = 0.2
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(hidden=self.hidden, pieces=self.pieces, num_classes=self.num_classes)
        check_rates(dropout=self.dropout, input_dropout=self.input_dropout)
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
        types = dict(param_dtype=self.param_dtype, kernel_init=_uniform(0.005))
        x = _with_label(image.reshape(len(image), -1), label, self.num_classes)
        for i, width in enumerate(self.hidden, 1):
            rate = self.input_dropout if i == 1 else self.dropout
            x = nn.Dropout(rate, deterministic=not train, name=f"dropout{i}")(x)
            x = nn.Dense(width * self.pieces, dtype=self.dtype, name=f"hidden{i}", **types)(x)
            x = x.reshape(-1, width, self.pieces).max(axis=-1)
            store(self, f"stage{i}", x)
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="head_dropout")(x)
        return nn.Dense(1, dtype=jnp.float32, name="head", **types)(x)[:, 0]


generator = variant(Generator, "generator")


discriminator = variant(Discriminator, "discriminator")


def _with_label(x, label, num_classes):
    if label is None:
        return x
    return jnp.concatenate([x, jax.nn.one_hot(label, num_classes)], axis=-1)


def _uniform(limit):
    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init
