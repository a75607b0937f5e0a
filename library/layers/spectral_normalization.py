"""Spectral normalization: layers whose largest singular value is one.

Miyato, Kataoka, Koyama & Yoshida 2018, "Spectral normalization for generative adversarial networks"
(arXiv 1802.05957), algorithm 1. A kernel is divided by an estimate of its largest singular value.
For this the kernel is a matrix: all axes but the last are flattened, and the last is the outputs.
The estimate is v W u, with the vectors v and u of the power iteration. They are constants in the
gradient.

`flax.linen.SpectralNorm` also divides the initial params of a layer, which changes the effect of a
learning rate. Here the initial params are those of the initializer.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

COLLECTION = "spectral"
KERNELS = ("kernel", "embedding")


def spectrally_normalized(
    layer: nn.Module, x: Float[Array, "b ..."] | Int[Array, "b ..."], *, train: bool
) -> Float[Array, "b ..."]:
    """Applies a named layer with a normalized kernel, inside the compact method of a module.

    The paths of the layer's params do not change. The collection "spectral" holds u under the
    layer's name plus "_spectral". Each call makes one step of the power iteration. Only training
    stores the new u.

    Args:
      layer: a Dense, Conv or Embed layer with a `name=`.
      x: input of the layer.
      train: whether to store the new u; "spectral" must then be mutable.
    """
    return SpectralNorm(layer, name=f"{layer.name}_spectral")(x, train)


class SpectralNorm(nn.Module):
    """The module that `spectrally_normalized` creates."""

    layer: nn.Module

    @nn.compact
    def __call__(
        self, x: Float[Array, "b ..."] | Int[Array, "b ..."], train: bool
    ) -> Float[Array, "b ..."]:
        """Returns the output of the layer with the normalized kernel."""
        if self.is_initializing():
            self.layer(x)
        params = self.layer.variables["params"]
        name = next(name for name in KERNELS if name in params)
        matrix = params[name].astype(jnp.float32).reshape(-1, params[name].shape[-1])

        def initial() -> Float[Array, " n"]:
            return _unit(jax.random.normal(self.make_rng("params"), matrix.shape[-1:]))

        kept = self.variable(COLLECTION, "u", initial)
        v = jax.lax.stop_gradient(_unit(matrix @ kept.value))
        u = jax.lax.stop_gradient(_unit(v @ matrix))
        if train:
            kept.value = u
        sigma = jnp.maximum(v @ matrix @ u, 1e-12)
        kernel = params[name] / sigma.astype(params[name].dtype)
        return self.layer.clone(parent=None).apply({"params": {**params, name: kernel}}, x)


def _unit(x: Float[Array, " n"]) -> Float[Array, " n"]:
    return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)
