"""Generation of molecules, against values by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.config import ConfigError
from library.evaluation.generated_molecules import measured
from library.models.graph.graph_vae import graph_vae
from library.task import minimize
from library.tasks import molecule_generation as module
from library.tasks.molecule_generation import molecule_generation

KEY = jax.random.key(0)
MODEL = graph_vae(num_atoms=4, latent_dim=3, width=4, hidden=(5,))
# Two atoms with a double bond, and one atom.
ATOMS = jnp.array([[1, 3, 0, 0], [2, 0, 0, 0]], jnp.int32)
BONDS = jnp.zeros((2, 4, 4), jnp.int32).at[0, 0, 1].set(2).at[0, 1, 0].set(2)


def test_the_loss_counts_each_bond_of_two_atoms_once():
    cross_entropy = jax.jit(module.cross_entropy)
    losses = cross_entropy(jnp.zeros((2, 4, 5)), jnp.zeros((2, 4, 4, 5)), ATOMS, BONDS)
    np.testing.assert_allclose(losses, np.log(5) * np.array([4 + 1, 4]), rtol=1e-6)
    sure = 50 * jax.nn.one_hot(ATOMS, 5), 50 * jax.nn.one_hot(BONDS, 5)
    np.testing.assert_allclose(cross_entropy(*sure, ATOMS, BONDS), 0, atol=1e-6)
    # Bonds of atoms that are not there are free.
    others = sure[1].at[:, 2:, :].set(7.0).at[:, :, 2:].set(7.0)
    np.testing.assert_allclose(cross_entropy(sure[0], others, ATOMS, BONDS), 0, atol=1e-6)


def test_the_encoder_takes_atoms_in_any_order():
    variables = jax.jit(MODEL.init)(KEY, ATOMS, BONDS)
    order = jnp.array([2, 1, 3, 0])
    encode = jax.jit(functools.partial(MODEL.apply, method="encode"))
    ours = encode(variables, ATOMS, BONDS)
    theirs = encode(variables, ATOMS[:, order], BONDS[:, order][:, :, order])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), ours, theirs)
    _, bonds = jax.jit(functools.partial(MODEL.apply, method="decode"))(variables, ours[0])
    np.testing.assert_array_equal(bonds, bonds.swapaxes(1, 2))


@pytest.mark.full
def test_a_batch_is_learned_and_drawn_from():
    batch = {"atoms": ATOMS, "bonds": BONDS, "index": jnp.arange(2, dtype=jnp.uint32)}
    batch["mask"] = jnp.ones(2)
    adam = functools.partial(minimize, optimizer=optax.adam(0.03))
    task = molecule_generation(MODEL, adam, beta=0.01)
    state, update = task.init(KEY, batch), jax.jit(task.update)
    for step in range(80):
        state, metrics = update(state, batch, jax.random.key(step))
    total = metrics["reconstruction"][0] + 0.01 * metrics["kl"][0]
    np.testing.assert_allclose(metrics["loss"][0], total, rtol=1e-5)
    assert task.evaluate(state, batch, KEY)["exact"] == (2, 2)
    made = np.asarray(task.outputs["reconstructed"](state, batch, KEY))
    np.testing.assert_array_equal(made[:, :, 0], ATOMS)
    np.testing.assert_array_equal(made[:, :, 1:], BONDS)
    drawn = np.asarray(task.outputs["molecule"](state, batch, KEY))
    assert drawn.shape == (2, 4, 5)
    with pytest.raises(ConfigError, match="beta=-1"):
        molecule_generation(MODEL, adam, beta=-1.0)


def matrices(*kinds):
    """Returns a chain of atoms with single bonds."""
    atoms = np.array([*kinds, *[0] * (4 - len(kinds))])
    bonds = np.zeros((4, 4), int)
    for i in range(len(kinds) - 1):
        bonds[i, i + 1] = bonds[i + 1, i] = 1
    return atoms, bonds


def test_the_shares_of_what_was_drawn():
    made = [matrices(1, 3), matrices(3, 1), matrices(1, 1), matrices(4, 4, 4), matrices()]
    found = measured(made, [matrices(1, 1), matrices(4, 1, 4), matrices(4, 4, 4)])
    assert found == {"validity": 3 / 5, "uniqueness": 2 / 3, "novelty": 1 / 2, "known": 2 / 3}
    nothing = measured([matrices()], [matrices(1)])
    assert (nothing["validity"], nothing["known"]) == (0, 1)
    assert np.isnan(nothing["uniqueness"])
