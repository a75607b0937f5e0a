"""Batches of examples of similar length."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from library import rng
from library.config import ConfigError
from library.data.pipeline import Order


def bucketed(
    seed: int, lengths: Callable[[str], np.ndarray], feature: str = "series", pool: int = 50
) -> Order:
    """Shuffles the examples into batches of similar length; each example occurs once per epoch.

    The examples of an epoch are shuffled and cut into pools. Each pool is sorted by length and cut
    into batches, and the batches of the epoch are shuffled. Where an epoch does not end with a
    batch, the batch that it shares with the next epoch has examples of any length.

    Args:
      seed: seed of the orders.
      lengths: a function from a feature to its lengths in all examples.
      feature: the feature whose length counts.
      pool: batches per pool. More make the lengths in a batch more similar, and fewer the batches
        more random.

    Raises:
      ConfigError: the examples have no such feature, or `pool` is below 1.
    """
    if pool < 1:
        raise ConfigError(f"dataset.order='bucketed', pool={pool}: valid are 1 and more")
    found = np.asarray(lengths(feature))
    epoch = functools.lru_cache(maxsize=4)(functools.partial(_epoch, seed, found, pool))
    return functools.partial(_rows, epoch)


def _rows(
    epoch: Callable[[int, int], np.ndarray],
    positions: np.ndarray,
    batch_size: int,
    num_examples: int,
) -> Int[np.ndarray, " n"]:
    numbers, places = np.divmod(np.asarray(positions), num_examples)
    found = np.empty(len(numbers), np.int64)
    for number in np.unique(numbers):
        chosen = numbers == number
        found[chosen] = epoch(batch_size, int(number))[places[chosen]]
    return found


def _epoch(
    seed: int, lengths: np.ndarray, pool: int, batch_size: int, epoch: int
) -> Int[np.ndarray, " n"]:
    """Returns the rows of an epoch, in order."""
    count = len(lengths)
    generator = rng.host_generator(seed, "buckets", epoch)
    rows = generator.permutation(count)
    # The first examples fill the batch that the last epoch began.
    begin = min(-epoch * count % batch_size, count)
    batches = (count - begin) // batch_size
    end = begin + batches * batch_size
    parts = [
        part[np.argsort(lengths[part], kind="stable")]
        for part in np.split(
            rows[begin:end], range(pool * batch_size, end - begin, pool * batch_size)
        )
    ]
    whole = np.concatenate(parts).reshape(batches, batch_size)
    return np.concatenate([rows[:begin], whole[generator.permutation(batches)].ravel(), rows[end:]])
