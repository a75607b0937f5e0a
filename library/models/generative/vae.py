"""Networks of variational autoencoders: the encoder of q(z | x) and the decoder of p(x | z).

Kingma & Welling 2014, "Auto-Encoding Variational Bayes", appendix C: the encoder returns the mean
and the log variance of a diagonal Gaussian. The defaults of `dense` are the network of Burda et al.
2016, "Importance Weighted Autoencoders", section 5: 50 latent variables, and two layers of 200 tanh
units in both encoder and decoder, initialised as in Glorot & Bengio 2010. Conditional networks also
take the class, in the encoder and in the decoder (Sohn et al. 2015). `library.tasks.variational`
trains these networks.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.models.generative.autoencoder import ACTIVATIONS, ConvDecoder, ConvEncoder, DenseStack


class VAE(nn.Module):
    """A variational autoencoder with the submodules "encoder" and "decoder".

    With `learned_scale` it also has the param "log_scale" (c,), the log width of the likelihood for
    each channel (Kingma et al. 2016, IAF, section 4, use one for all pixels).

    `condition` is the number of classes of a conditional model, else 0.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent_dim: int
    image_shape: tuple[int, int, int]
    condition: int = 0
    learned_scale: bool = False
    param_dtype: Any = jnp.float32

    def setup(self):
        """Makes the scale of the likelihood. It starts at 0.1, near the deviation of the pixels."""
        if self.learned_scale:
            init = nn.initializers.constant(jnp.log(0.1))
            self.log_scale = self.param("log_scale", init, self.image_shape[-1:], self.param_dtype)

    def encode(
        self, image: Float[Array, "b h w c"], label: Int[Array, " b"] | None = None
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Returns the mean and the log variance of the Gaussian q(z | x), float32."""
        moments = self.encoder(self._with_label(image, label)).astype(jnp.float32)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return mean, log_variance

    def decode(
        self, z: Float[Array, "b d"], label: Int[Array, " b"] | None = None
    ) -> tuple[Float[Array, "b h w c"], Float[Array, " c"] | None]:
        """Returns the location and the log scale of p(x | z), float32. A fixed scale is None."""
        if self.condition:
            z = jnp.concatenate([z, self._one_hot(label)], axis=-1)
        location = self.decoder(z).astype(jnp.float32).reshape(-1, *self.image_shape)
        return location, self.log_scale.astype(jnp.float32) if self.learned_scale else None

    def __call__(
        self,
        image: Float[Array, "b h w c"],
        train: bool = False,
        label: Int[Array, " b"] | None = None,
    ) -> Float[Array, "b h w c"]:
        """Returns the location of p(x | z) at the mean of q(z | x)."""
        return self.decode(self.encode(image, label)[0], label)[0]

    def _one_hot(self, label: Int[Array, " b"]) -> Float[Array, "b k"]:
        return jax.nn.one_hot(label, self.condition)

    def _with_label(self, image, label):
        if not self.condition:
            return image
        if isinstance(self.encoder, DenseStack):
            return jnp.concatenate([image.reshape(len(image), -1), self._one_hot(label)], axis=-1)
        # A convolutional encoder gets the class as one constant map for each class.
        maps = self._one_hot(label)[:, None, None]
        return jnp.concatenate(
            [image, jnp.broadcast_to(maps, (*image.shape[:3], self.condition))], axis=-1
        )


def dense(
    image_shape: tuple[int, int, int],
    num_classes: int = 0,
    hidden: tuple[int, ...] = (200, 200),
    latent_dim: int = 50,
    activation: str = "tanh",
    conditional: bool = False,
    learned_scale: bool = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> VAE:
    """Builds a variational autoencoder of dense layers.

    Args:
      image_shape: height, width and channels.
      num_classes: number of classes of a conditional model.
      hidden: widths of the encoder's hidden layers; the decoder reverses them.
      latent_dim: number of latent variables.
      activation: activation of the hidden layers, "relu", "tanh", "sigmoid" or "linear".
      conditional: whether encoder and decoder also take the class.
      learned_scale: adds a param for the width of the likelihood; all but Bernoulli need it.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: an activation or dtype is unknown, a size is below 1, or a conditional model has
        no classes.
    """
    _check(image_shape, latent_dim, activation, dtype, param_dtype)
    check_sizes(hidden=hidden)
    pixels = image_shape[0] * image_shape[1] * image_shape[2]
    types = dict(dtype=dtype, param_dtype=param_dtype)
    encoder = DenseStack((*hidden, 2 * latent_dim), activation, "moments", **types)
    decoder = DenseStack((*reversed(hidden), pixels), activation, "image", **types)
    condition = _condition(conditional, num_classes)
    return VAE(encoder, decoder, latent_dim, image_shape, condition, learned_scale, param_dtype)


def convolutional(
    image_shape: tuple[int, int, int],
    num_classes: int = 0,
    channels: tuple[int, ...] = (16, 32),
    latent_dim: int = 32,
    activation: str = "relu",
    conditional: bool = False,
    learned_scale: bool = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> VAE:
    """Builds a variational autoencoder of strided and transposed convolutions.

    Args:
      image_shape: height, width and channels.
      num_classes: number of classes of a conditional model.
      channels: channels of the encoder's convolutions, each of which halves height and width; the
        decoder reverses them.
      latent_dim: number of latent variables.
      activation: activation of the hidden layers, "relu", "tanh", "sigmoid" or "linear".
      conditional: whether encoder and decoder also take the class.
      learned_scale: adds a param for the width of the likelihood; all but Bernoulli need it.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: an activation or dtype is unknown, a size is below 1, a conditional model has no
        classes, or a height or width cannot be halved once for each convolution.
    """
    _check(image_shape, latent_dim, activation, dtype, param_dtype)
    ConvDecoder.check_shape(image_shape, channels)
    types = dict(dtype=dtype, param_dtype=param_dtype)
    encoder = ConvEncoder(channels, 2 * latent_dim, activation, last="moments", **types)
    decoder = ConvDecoder(channels, image_shape, activation, **types)
    condition = _condition(conditional, num_classes)
    return VAE(encoder, decoder, latent_dim, image_shape, condition, learned_scale, param_dtype)


def _condition(conditional: bool, num_classes: int) -> int:
    if conditional and num_classes < 1:
        raise ConfigError(f"conditional=True with num_classes={num_classes}: valid are 1 or more")
    return num_classes if conditional else 0


def _check(image_shape, latent_dim, activation, dtype, param_dtype):
    check_sizes(image_shape=image_shape, latent_dim=latent_dim)
    check_choice("activation", activation, ACTIVATIONS)
    check_dtypes(dtype, param_dtype)
