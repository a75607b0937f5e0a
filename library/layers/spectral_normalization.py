"""Spectral normalization: layers whose largest singular value is one.

Miyato, Kataoka, Koyama & Yoshida 2018, "Spectral normalization for generative adversarial networks"
(arXiv 1802.05957), algorithm 1. A kernel is divided by an estimate of its largest singular value,
with all axes but the last, the outputs, taken as one. The estimate is v W u of the vectors of the
power iteration, which are constants to the gradient.

`flax.linen.SpectralNorm` also divides the params that a layer is initialised with, which changes
how far a step of a given learning rate goes; here they are the initializer's.
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
    """Applies a named layer inside the compact method of a module, its kernel normalized.

    The layer's params stay where they would be without. The collection "spectral" holds u under
    the layer's name and "_spectral". Each call makes one step of the power iteration; in training
    it is kept.

    Args:
      layer: a Dense, Conv or Embed made with `name=`.
      x: its input.
      train: whether the step is kept, for which "spectral" has to be mutable.
    """
    return SpectralNorm(layer, name=f"{layer.name}_spectral")(x, train)


class SpectralNorm(nn.Module):
    """See `spectrally_normalized`."""

    layer: nn.Module

    @nn.compact
    def __call__(
        self, x: Float[Array, "b ..."] | Int[Array, "b ..."], train: bool
    ) -> Float[Array, "b ..."]:
        """Returns what the layer makes of its input with the normalized kernel."""
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
