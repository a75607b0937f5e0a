"""Autoencoders: an encoder to a short code, and a decoder that mirrors it.

The deep network of logistic units, 784-1000-500-250-30 and back (2,837,314 params), with a linear
code, is from Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural
Networks" (Science 313). The convolutional network has strided convolutions in the encoder and
transposed convolutions in the decoder (Zeiler et al. 2010; Masci et al. 2011, with strides instead
of pooling). `library.tasks.autoencoding` implements denoising, sparsity and layerwise training.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes, nearest_multiples
from library.layers.intermediates import store
from library.variants import variant

# Each activation has a gain: the variance of a weight, times its mean fan, that keeps the scale of
# activations the same from layer to layer.
ACTIVATIONS = {
    "relu": (nn.relu, 2.0),
    "tanh": (nn.tanh, 1.0),
    "sigmoid": (nn.sigmoid, 1.0),
    "linear": (lambda x: x, 1.0),
}


class DenseStack(nn.Module):
    """Dense layers on the flattened input. Each layer can also be computed separately.

    Submodules are "hidden1", "hidden2", ... and, for the last layer, the value of `last`.
    """

    widths: tuple[int, ...]
    activation: str
    last: str
    last_activation: str = "linear"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self):
        """Makes the layers, initialised by Glorot & Bengio 2010, eq. 16, times the gain."""
        layers = []
        for i, width in enumerate(self.widths):
            init = nn.initializers.variance_scaling(self._activation(i)[1], "fan_avg", "uniform")
            types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            layers.append(nn.Dense(width, kernel_init=init, name=self.name_of(i), **types))
        self.layers = layers

    def name_of(self, i: int) -> str:
        """Returns the name of the submodule of layer i, counted from 0."""
        return self.last if i == len(self.widths) - 1 else f"hidden{i + 1}"

    def _activation(self, i: int) -> tuple[Callable[[Array], Array], float]:
        last = i == len(self.widths) - 1
        return ACTIVATIONS[self.last_activation if last else self.activation]

    def linear(self, i: int, x: Float[Array, "b n"]) -> Float[Array, "b m"]:
        """Returns the output of layer i before its activation, with i counted from 0."""
        return self.layers[i](x)

    def layer(self, i: int, x: Float[Array, "b n"]) -> Float[Array, "b m"]:
        """Returns the output of layer i, with i counted from 0."""
        return self._activation(i)[0](self.layers[i](x))

    def __call__(self, x: Float[Array, "b ..."]) -> Float[Array, "b m"]:
        """Returns the output of the last layer."""
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for i in range(len(self.widths)):
            x = self.layer(i, x)
        return x


class ConvEncoder(nn.Module):
    """Convolutions of 3x3 with stride 2, then a dense layer.

    Submodules are "conv1", "conv2", ..., and, for the dense layer, the value of `last`.
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
    """A dense layer to small maps, then transposed convolutions of 4x4 with stride 2 to the image.

    The stride divides the kernel size, so that every output pixel sums the same number of terms
    (Odena et al. 2016, "Deconvolution and Checkerboard Artifacts"). Submodules are "hidden1",
    "conv1", ..., "image".
    """

    channels: tuple[int, ...]
    image_shape: tuple[int, int, int]
    activation: str = "relu"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @staticmethod
    def check_shape(image_shape: tuple[int, int, int], channels: tuple[int, ...]) -> None:
        """Raises ConfigError unless height and width can be halved once for each entry."""
        check_sizes(channels=channels)
        height, width, _ = image_shape
        possible = [n for n in range(1, 16) if height % 2**n == 0 and width % 2**n == 0]
        if len(channels) not in possible:
            near = nearest_multiples(height, width, 2 ** max(1, len(channels)))
            valid = possible or f"none; nearest size: {near}"
            raise ConfigError(
                f"channels={channels} halves {height}x{width} images {len(channels)} times: "
                f"possible are {valid}"
            )

    @nn.compact
    def __call__(self, code: Float[Array, "b d"]) -> Float[Array, "b h w c"]:
        """Returns the image before the output function."""
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
    """An autoencoder with the submodules "encoder" and "decoder". Stores the code as "features".

    Attributes:
      encoder: module from images to codes.
      decoder: module from codes to images before the output function.
      latent_dim: length of the code.
      image_shape: height, width and channels.
      activation: activation of the hidden layers, a key of ACTIVATIONS.
      code_activation: activation of the code, a key of ACTIVATIONS.
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
        """Returns the image before the output function (logits of pixels), float32."""
        flat = self.decoder(code).astype(jnp.float32)
        return flat.reshape(-1, *self.image_shape)

    def __call__(self, image: Float[Array, "b h w c"], train: bool = False):
        """Returns the reconstruction before the output function, (b, h, w, c), float32."""
        code = self.encode(image)
        store(self, "features", code)
        return self.decode(code)

    def layer_names(self) -> list[tuple[str, str]]:
        """Returns the path of each encoder layer, paired with the path of its decoder layer."""
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
        """Encodes the input of each encoder layer with that layer only, and decodes it directly.

        The input of a layer is the output of the layers before it. Gradients treat it as a
        constant, so they stay within a layer and its mirror in the decoder.

        Args:
          image: images (b, h, w, c).
          corrupt: `(layer, x (b, n)) -> (b, n)`, with the layer counted from 0. It changes the
            input that a layer encodes, but neither its target nor the input of the next layer.

        Returns:
          For each layer: its input and the logits of the reconstruction, both (b, n), float32.
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
    """Builds an autoencoder of dense layers. Without hidden layers, only the code has units.

    Args:
      image_shape: height, width and channels.
      hidden: widths of the encoder's layers before the code; the decoder reverses them.
      latent_dim: length of the code.
      activation: activation of the hidden layers, "relu", "tanh", "sigmoid" or "linear".
      code_activation: activation of the code, with the same choices.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: an activation or dtype is unknown, or a size is below 1.
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
    """Builds an autoencoder whose convolutions halve the image and then double it again.

    Args:
      image_shape: height, width and channels.
      channels: channels of the encoder's convolutions; the decoder reverses them.
      latent_dim: length of the code.
      activation: activation of the hidden layers, "relu", "tanh", "sigmoid" or "linear".
      code_activation: activation of the code, with the same choices.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: an activation or dtype is unknown, a size is below 1, or a height or width cannot
        be halved once for each convolution.
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
