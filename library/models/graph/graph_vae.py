"""GraphVAE: a variational autoencoder of small molecules, which decodes a whole graph at once.

Simonovsky & Komodakis 2018, "GraphVAE: towards generation of small graphs using variational
autoencoders" (arXiv 1802.03480), without the matching of graphs: atoms keep the order of the data,
which the paper measures, too. Molecules have nine atoms at most, so that matrices of atoms times
atoms are small.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.layers.checks import check_sizes
from library.molecular_graphs import BONDS, HEAVY
from library.variants import variant

_ATOMS, _BONDS = len(HEAVY) + 1, len(BONDS)


class GraphVAE(nn.Module):
    """Steps of messages by kind of bond and a gated sum encode, three dense layers decode.

    Attributes:
      num_atoms: the most atoms of a molecule.
      latent_dim: number of latent variables.
      width: channels of an atom in the encoder.
      depth: steps of messages.
      hidden: units of the decoder's layers.

    Raises:
      ConfigError: a size is below 1.
    """

    num_atoms: int = 9
    latent_dim: int = 40
    width: int = 64
    depth: int = 2
    hidden: tuple[int, ...] = (128, 256, 512)

    def __post_init__(self):
        check_sizes(num_atoms=self.num_atoms, latent_dim=self.latent_dim, width=self.width)
        check_sizes(depth=self.depth, hidden=self.hidden)
        super().__post_init__()

    def setup(self):
        """Makes the layers."""
        steps = range(1, self.depth + 1)
        self.embed = nn.Dense(self.width, name="embed")
        self.own = [nn.Dense(self.width, name=f"own{i}") for i in steps]
        bonds = (_BONDS - 1) * self.width
        self.sent = [nn.Dense(bonds, use_bias=False, name=f"sent{i}") for i in steps]
        self.gate = nn.Dense(self.width, name="gate")
        self.pooled = nn.Dense(self.width, name="pooled")
        self.moments = nn.Dense(2 * self.latent_dim, name="moments")
        self.layers = [nn.Dense(n, name=f"decoder{i}") for i, n in enumerate(self.hidden, 1)]
        self.to_atoms = nn.Dense(self.num_atoms * _ATOMS, name="atoms")
        self.to_bonds = nn.Dense(self.num_atoms**2 * _BONDS, name="bonds")

    def encode(
        self, atoms: Int[Array, "b k"], bonds: Int[Array, "b k k"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Returns the mean and the log variance of q(z | molecule), in any order of the atoms."""
        there = (atoms > 0)[..., None]
        # Without the kind "none".
        joined = jax.nn.one_hot(bonds - 1, _BONDS - 1)
        x = nn.relu(self.embed(jax.nn.one_hot(atoms, _ATOMS)))
        for own, sent in zip(self.own, self.sent):
            messages = sent(x).reshape(*atoms.shape, _BONDS - 1, self.width)
            x = nn.relu(own(x) + jnp.einsum("bijt,bjtw->biw", joined, messages))
        gated = nn.sigmoid(self.gate(x)) * jnp.tanh(self.pooled(x))
        moments = self.moments(jnp.sum(jnp.where(there, gated, 0), axis=1))
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return mean, log_variance

    def decode(
        self, z: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b k a"], Float[Array, "b k k t"]]:
        """Returns logits of the kinds of atoms and, symmetric, of bonds."""
        for layer in self.layers:
            z = nn.relu(layer(z))
        bonds = self.to_bonds(z).reshape(-1, self.num_atoms, self.num_atoms, _BONDS)
        atoms = self.to_atoms(z).reshape(-1, self.num_atoms, _ATOMS)
        return atoms, (bonds + bonds.swapaxes(1, 2)) / 2

    def __call__(
        self, atoms: Int[Array, "b k"], bonds: Int[Array, "b k k"], train: bool = False
    ) -> tuple[Float[Array, "b k a"], Float[Array, "b k k t"]]:
        """Returns the logits at the mean of q(z | molecule)."""
        return self.decode(self.encode(atoms, bonds)[0])


graph_vae = variant(GraphVAE, "graph_vae")
