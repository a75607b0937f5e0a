"""Permutations of [0, n) by arithmetic, for n too large for an array.

A Feistel network (Luby & Rackoff 1988, "How to construct pseudorandom permutations from
pseudorandom functions") on numbers of two digits: each round adds a pseudorandom function of one
digit to the other. The base is the square root of n, rounded up, so there are at most 2 sqrt(n) + 1
more numbers than n. A number that ends among these goes through the network again (Black & Rogaway
2002, "Ciphers with arbitrary finite domains", cycle walking), which keeps it a permutation.
"""

import functools
import math

import numpy as np
from jaxtyping import Int

from library import rng

_ROUNDS = 6
# Multipliers and shifts of the finalizer of SplitMix64 (Steele, Lea & Flood 2014).
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def permuted(seed: int, epoch: int, offsets: Int[np.ndarray, " n"], size: int) -> np.ndarray:
    """Returns where the permutation of an epoch takes each offset.

    Args:
      seed: seed of the permutations.
      epoch: the epoch; each has a permutation of its own.
      offsets: numbers from 0, below `size`, `(n,)`.
      size: the number of examples, at most 2^62.

    Returns:
      int64 `(n,)`: different offsets have different values from 0, below `size`.
    """
    keys = _keys(seed, epoch)
    found = _network(np.asarray(offsets, np.uint64), keys, size)
    while (outside := found >= size).any():
        found[outside] = _network(found[outside], keys, size)
    return found.astype(np.int64)


@functools.lru_cache(maxsize=64)
def _keys(seed: int, epoch: int) -> np.ndarray:
    generator = rng.host_generator(seed, "permutation", epoch)
    return generator.integers(2**64, size=_ROUNDS, dtype=np.uint64)


def _network(numbers: np.ndarray, keys: np.ndarray, size: int) -> np.ndarray:
    base = np.uint64(math.isqrt(size - 1) + 1)
    high, low = np.divmod(numbers, base)
    for key in keys:
        high, low = low, (high + _mixed(low, key) % base) % base
    return high * base + low


def _mixed(digits: np.ndarray, key: np.uint64) -> np.ndarray:
    """Returns pseudorandom numbers, uint64, as a function of digits and a key; sums wrap around."""
    mixed = digits + key
    mixed = (mixed ^ (mixed >> _SHIFTS[0])) * _FIRST
    mixed = (mixed ^ (mixed >> _SHIFTS[1])) * _SECOND
    return mixed ^ (mixed >> _SHIFTS[2])
