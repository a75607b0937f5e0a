"""Randomness as a function of (seed, step, purpose, global example index).

Every key of a run is reached from the seed by `fold_in`, never from a device or host index and
never by carrying a key along, so no key needs checkpointing and any number of devices agrees.

What the host draws with NumPy is a function of (seed, purpose, counters), by `host_generator`.
"""

import zlib
from typing import Literal

import jax
import numpy as np
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


# The purposes of the host, each a part of its keys. A number is never given away again.
HOST = {"permutation": 0, "preprocess": 1, "noise": 2, "group": 3, "source": 4}


def host_generator(
    seed: int,
    purpose: Literal["permutation", "preprocess", "noise", "group", "source"],
    *counters: int,
) -> np.random.Generator:
    """Returns the host's generator of one use: the order of an epoch, an example's crops, ...

    No two of (seed, purpose, counters) share a stream, if a purpose always has as many counters:
    seed, purpose and the first counter are the key of Philox, the others its upper counter words.

    Args:
      seed: below 2^32.
      purpose: one of `HOST`.
      counters: one to three, each below 2^64.

    Raises:
      ValueError: a number out of range, or a purpose that there is not.
    """
    if purpose not in HOST or not 1 <= len(counters) <= 3:
        given = f"purpose={purpose!r} with {len(counters)} counters"
        raise ValueError(f"{given}: valid are {', '.join(HOST)}, with 1 to 3")
    if not 0 <= seed < 2**32 or not all(0 <= each < 2**64 for each in counters):
        raise ValueError(f"seed={seed}, counters={counters}: valid are 0 to 2^32 - 1 and 2^64 - 1")
    first, *rest = counters
    key = np.array([HOST[purpose] << 32 | seed, first], np.uint64)
    upper = np.array([0, 0, *rest, 0, 0][:4], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=upper))
