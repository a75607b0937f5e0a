"""Episodes of few-shot learning."""

from library.data.orders._groups import Labels, by_class, grouped
from library.data.pipeline import Order


def episodes(seed: int, labels: Labels, ways: int, shots: int, queries: int = 1) -> Order:
    """Draws episodes of few-shot learning: N classes, each with K shots and then its queries.

    Vinyals et al. 2016, "Matching Networks for One Shot Learning" (arXiv 1606.04080), section 4.1.
    The examples of an episode are grouped by class, and no example occurs twice in it.

    Args:
      seed: seed of the draws.
      labels: a function that returns the labels of the source.
      ways: N, classes per episode.
      shots: K, labelled examples per class.
      queries: examples per class to classify.

    Raises:
      ConfigError: the source has fewer than N classes with `shots + queries` examples. When the
        order is used: the batch size is not a multiple of an episode.
    """
    each = shots + queries
    rows = by_class(labels(), ways, each)
    return grouped("episodes", seed, rows, ways, each, again=False)
