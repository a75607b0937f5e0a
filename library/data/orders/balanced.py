"""Batches with as many examples of each of their classes."""

from library.data.orders._groups import Labels, by_class, grouped
from library.data.pipeline import Order


def balanced(seed: int, labels: Labels, classes: int, examples: int) -> Order:
    """Draws P x K batches: groups of P random classes with K random examples of each.

    Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification" (arXiv
    1703.07737), section 2. The classes of a group are different. The examples of a class are
    different, too, unless the class has fewer than K.

    Args:
      seed: seed of the draws.
      labels: a function that returns the labels of the source.
      classes: P, classes per group.
      examples: K, examples per class.

    Raises:
      ConfigError: the source has fewer than P classes. When the order is used: the batch size is
        not a multiple of P x K.
    """
    rows = by_class(labels(), classes, 1)
    return grouped("balanced", seed, rows, classes, examples, again=True)
