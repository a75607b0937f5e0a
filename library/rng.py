"""Randomness as a function of (seed, step, purpose, global example index).

Every key of a run comes from the seed by `fold_in`. No key depends on a device or host index or on
an earlier key. Checkpoints therefore need no keys, and the number of devices changes no draw.

`host_generator` makes the host's NumPy draws a function of (seed, purpose, counters).
"""

import zlib
from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, UInt32


def root(seed: int | UInt32[Array, ""]) -> PRNGKeyArray:
    """Returns the root key of a run, from which all other keys derive."""
    return jax.random.key(seed)


def purpose(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """Returns the key of one named use ("init", "augment", "dropout", ...)."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def at_step(key: PRNGKeyArray, step: int | Int[Array, ""]) -> PRNGKeyArray:
    """Returns the key of one training step."""
    return jax.random.fold_in(key, step)


def per_example(key: PRNGKeyArray, index: UInt32[Array, " b"]) -> PRNGKeyArray:
    """Returns one key per example, `(b,)`, from each example's position in the run's order."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)


def for_batch(key: PRNGKeyArray, index: UInt32[Array, " b"], name: str) -> PRNGKeyArray:
    """Returns the key of one named use for a batch, or for a part of a batch.

    The position of the first example gives each part, on another device or of gradient
    accumulation, its own stream.
    """
    return purpose(jax.random.fold_in(key, index[0]), name)


# The purposes of the host's draws. Each number is a part of the keys and is never reused.
HOST = {
    **{"permutation": 0, "preprocess": 1, "noise": 2, "group": 3, "source": 4, "folds": 5},
    **{"adding": 40, "copying": 41, "steps": 42, "buckets": 43},
}


def host_generator(
    seed: int,
    purpose: Literal[
        *("permutation", "preprocess", "noise", "group", "source", "folds"),
        *("adding", "copying", "steps", "buckets"),
    ],
    *counters: int,
) -> np.random.Generator:
    """Returns the host's generator of one use: the order of an epoch, an example's crops, ...

    Seed, purpose and the first counter are the key of Philox; the other counters are its upper
    counter words. Two different (seed, purpose, counters) therefore never share a stream, as long
    as each purpose always has the same number of counters.

    Args:
      seed: an integer from 0, below 2^32.
      purpose: one of `HOST`.
      counters: one to three integers from 0, each below 2^64.

    Raises:
      ValueError: a number is out of range, or the purpose is unknown.
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
