"""Every example once an epoch, shuffled."""

import functools

from library.data import pipeline
from library.data.pipeline import Order


def shuffle(seed: int, repeats: int = 1) -> Order:
    """Shuffles the examples, in a different order in each epoch; each occurs once per epoch.

    Args:
      seed: seed of the orders.
      repeats: number of times that each example occurs in its batch, see `pipeline.repeated_rows`;
        an epoch then has fewer different examples.
    """
    return functools.partial(pipeline.repeated_rows, seed, repeats)
