"""Variational autoencoding of molecules as small graphs.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes"; for graphs, Simonovsky & Komodakis 2018
(arXiv 1802.03480). All values are in nats per molecule.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.forward import variables_of
from library.gaussians import divergence_from_standard
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair


def molecule_generation(
    model: nn.Module, minimize: Callable[[Loss], Learner], *, beta: float = 1.0
) -> Task:
    """Builds the task of modelling `atoms` (b, k) and `bonds` (b, k, k) with latent variables.

    Training minimizes reconstruction + beta KL: the cross-entropies of the kinds of all atoms, and
    of the bonds of all pairs of atoms that are there, and the divergence of the latent variables.
    The metrics are loss, reconstruction and kl; an evaluation adds exact, the share of molecules
    that are decoded without an error from the mean of their latent variables.

    Outputs: "molecule" (b, k, k + 1), a molecule drawn from the prior: the most probable kinds, the
    atoms in the first column and then the bonds; "reconstructed", the same from the mean of
    q(z | molecule); "features" (b, d), that mean.

    Args:
      model: a model with methods `encode` and `decode`, `library.models.graph.graph_vae`.
      minimize: turns a loss into the training step.
      beta: factor of the KL.

    Raises:
      ConfigError: beta is negative.
    """
    if beta < 0:
        raise ConfigError(f"molecule_generation, beta={beta}: valid are numbers of 0 or more")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        key = rng.purpose(key, "params")
        return learner.init(model.init(key, batch["atoms"], batch["bonds"]))

    def bound(variables: PyTree, batch: Batch, key: PRNGKeyArray) -> Metrics:
        moments = model.apply(variables, batch["atoms"], batch["bonds"], method="encode")
        mean, log_variance = moments
        z = mean + jnp.exp(0.5 * log_variance) * _noise(batch, key, mean.shape[1])
        logits = model.apply(variables, z, method="decode")
        reconstruction = cross_entropy(*logits, batch["atoms"], batch["bonds"])
        divergence = jnp.sum(divergence_from_standard(mean, log_variance), axis=1)
        mask = batch["mask"]
        return {
            "loss": pair(reconstruction + beta * divergence, mask),
            "reconstruction": pair(reconstruction, mask),
            "kl": pair(divergence, mask),
        }

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        return bound({"params": params, **variables}, batch, key), variables

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        given = batch["atoms"], batch["bonds"]
        return model.apply(variables_of(state), *given, method="encode")[0]

    def decoded(state: TrainState, z: Float[Array, "b d"]) -> Int[Array, "b k k1"]:
        atoms, bonds = model.apply(variables_of(state), z, method="decode")
        return joined(jnp.argmax(atoms, axis=-1), jnp.argmax(bonds, axis=-1))

    def reconstructed(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b k k1"]:
        return decoded(state, features(state, batch, key))

    def molecule(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b k k1"]:
        return decoded(state, _noise(batch, key, model.latent_dim))

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        made = reconstructed(state, batch, key)
        same = made == joined(batch["atoms"], batch["bonds"])
        exact = pair(jnp.all(same, axis=(1, 2)), batch["mask"])
        return {**bound(variables_of(state), batch, key), "exact": exact}

    learner = minimize(objective)
    outputs = {"molecule": molecule, "reconstructed": reconstructed, "features": features}
    return Task(init, learner.update, evaluate, outputs)


def cross_entropy(
    atom_logits: Float[Array, "b k a"],
    bond_logits: Float[Array, "b k k t"],
    atoms: Int[Array, "b k"],
    bonds: Int[Array, "b k k"],
) -> Float[Array, " b"]:
    """Returns minus the log-likelihood of molecules; bonds of atoms that are not there are free."""
    there = atoms > 0
    pairs = jnp.triu(there[:, :, None] & there[:, None], k=1)
    of_atoms = optax.softmax_cross_entropy_with_integer_labels(atom_logits, atoms)
    of_bonds = optax.softmax_cross_entropy_with_integer_labels(bond_logits, bonds)
    return jnp.sum(of_atoms, axis=1) + jnp.sum(jnp.where(pairs, of_bonds, 0), axis=(1, 2))


def joined(atoms: Int[Array, "b k"], bonds: Int[Array, "b k k"]) -> Int[Array, "b k k1"]:
    """Returns molecules as one array; bonds of atoms that are not there, or of one atom, are 0."""
    there = atoms > 0
    between = there[:, :, None] & there[:, None] & ~jnp.eye(atoms.shape[1], dtype=bool)
    return jnp.concatenate([atoms[..., None], jnp.where(between, bonds, 0)], axis=-1)


def _noise(batch: Batch, key: PRNGKeyArray, size: int) -> Float[Array, "b d"]:
    keys = rng.per_example(rng.purpose(key, "latent"), batch["index"])
    return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)
