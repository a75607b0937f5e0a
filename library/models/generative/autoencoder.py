"""Autoencoders: an encoder to a short code, and a decoder that mirrors it.

Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks" (Science
313), for the deep network of logistic units, 784-1000-500-250-30 and back (2,837,314 params), whose
code is linear. The convolutional network goes down by strided convolutions and up by transposed
ones (Zeiler et al. 2010; Masci et al. 2011, with strides in place of pooling). What makes an
autoencoder denoising, sparse or trained layer by layer is in `library.tasks.autoencoding`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.intermediates import record
from library.variants import variant

# The gain: the variance of a weight, times its mean fan, that keeps activations of one size.
ACTIVATIONS = {
    "relu": (nn.relu, 2.0),
    "tanh": (nn.tanh, 1.0),
    "sigmoid": (nn.sigmoid, 1.0),
    "linear": (lambda x: x, 1.0),
}


class DenseStack(nn.Module):
    """Dense layers on the flattened input, one of which can be computed by itself.

    Submodules "hidden1", "hidden2", ... and, last, the one that `last` names.
    """

    widths: tuple[int, ...]
    activation: str
    last: str
    last_activation: str = "linear"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        """Makes the layers; Glorot & Bengio 2010 is the initialisation, eq. 16 times the gain."""
        layers = []
        for i, width in enumerate(self.widths):
            init = nn.initializers.variance_scaling(self._activation(i)[1], "fan_avg", "uniform")
            types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            layers.append(nn.Dense(width, kernel_init=init, name=self.name_of(i), **types))
        self.layers = layers

    def name_of(self, i: int) -> str:
        """Returns the name of layer i's submodule, i from 0."""
        return self.last if i == len(self.widths) - 1 else f"hidden{i + 1}"

    def _activation(self, i: int) -> tuple[Callable[[Array], Array], float]:
        last = i == len(self.widths) - 1
        return ACTIVATIONS[self.last_activation if last else self.activation]

    def linear(self, i: int, x: Float[Array, "b n"]) -> Float[Array, "b m"]:
        """Returns the input of layer i's activation, i from 0."""
        return self.layers[i](x)

    def layer(self, i: int, x: Float[Array, "b n"]) -> Float[Array, "b m"]:
        """Returns the output of layer i, i from 0."""
        return self._activation(i)[0](self.layers[i](x))

    def __call__(self, x: Float[Array, "b ..."]) -> Float[Array, "b m"]:
        """Returns the output of the last layer."""
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for i in range(len(self.widths)):
            x = self.layer(i, x)
        return x


class ConvEncoder(nn.Module):
    """Convolutions, 3x3 with stride 2, and a dense layer.

    Submodules "conv1", "conv2", ..., and the dense one that `last` names.
    """

    channels: tuple[int, ...]
    width: int
    activation: str = "relu"
    last: str = "code"
    last_activation: str = "linear"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b m"]:
        """Returns the output of the dense layer."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        activation, init = _activation(self.activation)
        x = image.astype(self.dtype)
        for i, width in enumerate(self.channels, 1):
            conv = nn.Conv(width, (3, 3), (2, 2), kernel_init=init, name=f"conv{i}", **types)
            x = activation(conv(x))
        activation, init = _activation(self.last_activation)
        x = x.reshape(x.shape[0], -1)
        return activation(nn.Dense(self.width, kernel_init=init, name=self.last, **types)(x))


class ConvDecoder(nn.Module):
    """A dense layer to small maps and transposed convolutions, 4x4 with stride 2, up to the image.

    A kernel that its stride divides gives every output pixel as many terms (Odena et al. 2016,
    "Deconvolution and Checkerboard Artifacts"). Submodules "hidden1", "conv1", ..., "image".
    """

    channels: tuple[int, ...]
    image_shape: tuple[int, int, int]
    activation: str = "relu"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @staticmethod
    def check_shape(image_shape: tuple[int, int, int], channels: tuple[int, ...]) -> None:
        """Raises ConfigError unless height and width can be halved once for each width."""
        check_sizes(channels=channels)
        height, width, _ = image_shape
        possible = [n for n in range(1, 16) if height % 2**n == 0 and width % 2**n == 0]
        if len(channels) not in possible:
            raise ConfigError(
                f"channels={channels} halves {height}x{width} images {len(channels)} times: "
                f"possible are {possible or 'none'}"
            )

    @nn.compact
    def __call__(self, code: Float[Array, "b d"]) -> Float[Array, "b h w c"]:
        """Returns the image before its output function."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        activation, init = _activation(self.activation)
        height, width, colours = self.image_shape
        shrink = 2 ** len(self.channels)
        small = (height // shrink, width // shrink, self.channels[-1])
        size = small[0] * small[1] * small[2]
        dense = nn.Dense(size, kernel_init=init, name="hidden1", **types)
        x = activation(dense(code.astype(self.dtype))).reshape(-1, *small)
        for i, maps in enumerate(reversed(self.channels[:-1]), 1):
            up = nn.ConvTranspose(maps, (4, 4), (2, 2), kernel_init=init, name=f"conv{i}", **types)
            x = activation(up(x))
        init = nn.initializers.glorot_uniform()
        return nn.ConvTranspose(colours, (4, 4), (2, 2), kernel_init=init, name="image", **types)(x)


class Autoencoder(nn.Module):
    """An encoder and a decoder. Records the code as "features".

    Submodules "encoder" and "decoder". Attributes are the modules, the length of the code, the
    image's (h, w, c), and the activations of hidden layers and code.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent_dim: int
    image_shape: tuple[int, int, int]
    activation: str
    code_activation: str

    def encode(self, image: Float[Array, "b h w c"]) -> Float[Array, "b d"]:
        """Returns the code, float32."""
        return self.encoder(image).astype(jnp.float32)

    def decode(self, code: Float[Array, "b d"]) -> Float[Array, "b h w c"]:
        """Returns the image before its output function (logits of pixels), float32."""
        flat = self.decoder(code).astype(jnp.float32)
        return flat.reshape(-1, *self.image_shape)

    def __call__(self, image: Float[Array, "b h w c"], train: bool = False):
        """Returns the reconstruction before its output function, (b, h, w, c), float32."""
        code = self.encode(image)
        record(self, "features", code)
        return self.decode(code)

    def layer_names(self) -> list[tuple[str, str]]:
        """Returns the path of each layer of the encoder, with that of its mirror in the decoder."""
        last = len(self.encoder.widths) - 1
        return [
            (f"encoder/{self.encoder.name_of(i)}", f"decoder/{self.decoder.name_of(last - i)}")
            for i in range(last + 1)
        ]

    def layerwise(
        self,
        image: Float[Array, "b h w c"],
        corrupt: Callable[[int, Array], Array] = lambda layer, x: x,
    ) -> list[tuple[Array, Array]]:
        """Encodes and at once decodes the input of each layer of the encoder, by that layer alone.

        The input of a layer is what those before it make of the image, a constant: gradients stay
        within a layer and its mirror in the decoder.

        Args:
          image: of shape (b, h, w, c).
          corrupt: `(layer, x (b, n)) -> (b, n)`, layer from 0, applied to what a layer encodes but
            not to what it has to reconstruct, nor to what the next layer sees.

        Returns:
          For each layer (input, logits of its reconstruction), both (b, n) and float32.
        """
        x, pairs = image.reshape(len(image), -1), []
        layers = len(self.encoder.widths)
        for i in range(layers):
            x = jax.lax.stop_gradient(x)
            hidden = self.encoder.layer(i, corrupt(i, x))
            logits = self.decoder.linear(layers - 1 - i, hidden)
            pairs.append((x.astype(jnp.float32), logits.astype(jnp.float32)))
            x = self.encoder.layer(i, x)
        return pairs


def dense(
    image_shape: tuple[int, int, int],
    hidden: tuple[int, ...] = (),
    latent_dim: int = 64,
    activation: str = "relu",
    code_activation: str = "relu",
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> Autoencoder:
    """Builds an autoencoder of dense layers; without hidden ones it has a single layer of units.

    Args:
      image_shape: height, width and channels.
      hidden: widths of the encoder's layers before the code; the decoder has them in reverse.
      latent_dim: length of the code.
      activation: of hidden layers: "relu", "tanh", "sigmoid" or "linear".
      code_activation: of the code, the same choice.
      dtype: of the computation.
      param_dtype: of the params.

    Raises:
      ConfigError: an unknown activation or dtype, a size below 1.
    """
    _check(image_shape, latent_dim, activation, code_activation, dtype, param_dtype)
    check_sizes(hidden=hidden)
    pixels = image_shape[0] * image_shape[1] * image_shape[2]
    types = dict(dtype=dtype, param_dtype=param_dtype)
    encoder = DenseStack((*hidden, latent_dim), activation, "code", code_activation, **types)
    decoder = DenseStack((*reversed(hidden), pixels), activation, "image", **types)
    return Autoencoder(encoder, decoder, latent_dim, image_shape, activation, code_activation)


# Hinton & Salakhutdinov 2006.
deep = variant(
    dense,
    "deep",
    defaults=dict(
        hidden=(1000, 500, 250), latent_dim=30, activation="sigmoid", code_activation="linear"
    ),
)


def convolutional(
    image_shape: tuple[int, int, int],
    channels: tuple[int, ...] = (16, 32),
    latent_dim: int = 32,
    activation: str = "relu",
    code_activation: str = "linear",
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> Autoencoder:
    """Builds an autoencoder that halves the image with each convolution, and doubles it again.

    Args:
      image_shape: height, width and channels.
      channels: of the encoder's convolutions; the decoder has them in reverse.
      latent_dim: length of the code.
      activation: of hidden layers: "relu", "tanh", "sigmoid" or "linear".
      code_activation: of the code, the same choice.
      dtype: of the computation.
      param_dtype: of the params.

    Raises:
      ConfigError: an unknown activation or dtype, a size below 1, or a height or width that cannot
        be halved so often.
    """
    _check(image_shape, latent_dim, activation, code_activation, dtype, param_dtype)
    ConvDecoder.check_shape(image_shape, channels)
    types = dict(dtype=dtype, param_dtype=param_dtype)
    encoder = ConvEncoder(
        channels, latent_dim, activation, last_activation=code_activation, **types
    )
    decoder = ConvDecoder(channels, image_shape, activation, **types)
    return Autoencoder(encoder, decoder, latent_dim, image_shape, activation, code_activation)


def _activation(name: str) -> tuple[Callable[[Array], Array], Callable[..., Array]]:
    function, gain = ACTIVATIONS[name]
    return function, nn.initializers.variance_scaling(gain, "fan_avg", "uniform")


def _check(image_shape, latent_dim, activation, code_activation, dtype, param_dtype):
    check_sizes(image_shape=image_shape, latent_dim=latent_dim)
    check_choice("activation", activation, ACTIVATIONS)
    check_choice("code_activation", code_activation, ACTIVATIONS)
    check_dtypes(dtype, param_dtype)
