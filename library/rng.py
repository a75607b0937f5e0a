"""Randomness as a function of (seed, step, purpose, global example index).

Every key of a run is reached from the seed by `fold_in`, never from a device or host index and
never by carrying a key along, so no key needs checkpointing and any number of devices agrees.
"""

import zlib

import jax
from jaxtyping import Array, Int, PRNGKeyArray, UInt32


def root(seed: int) -> PRNGKeyArray:
    """Returns the key all others of a run derive from."""
    return jax.random.key(seed)


def purpose(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """Returns the key of one named use ("init", "augment", "dropout", ...)."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def at_step(key: PRNGKeyArray, step: int | Int[Array, ""]) -> PRNGKeyArray:
    """Returns the key of one training step."""
    return jax.random.fold_in(key, step)


def per_example(key: PRNGKeyArray, index: UInt32[Array, " b"]) -> PRNGKeyArray:
    """Returns one key an example, `(b,)`, from each example's position in the run's order."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)


def for_batch(key: PRNGKeyArray, index: UInt32[Array, " b"], name: str) -> PRNGKeyArray:
    """Returns the key of one named use for a whole batch, or the part of one that is seen.

    Parts of a batch, on other devices or accumulated, have other streams: each is named by its
    first example.
    """
    return purpose(jax.random.fold_in(key, index[0]), name)
