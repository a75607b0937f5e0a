"""Orders: which row of the source stands at each position of a run, by name.

Each public function is a factory, named in `config.dataset.order`, of an order `(positions,
batch_size, num_examples) -> rows`, int64 `(n,)` both. An order is a function of (seed, position):
any process may ask for any position, and seeking is arithmetic. The builder fills in `seed`,
`repeats` and `labels`, which returns the labels `(num_examples,)` of the source.
"""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from library import rng
from library.config import ConfigError
from library.data import pipeline
from library.data.pipeline import Order

Labels = Callable[[], np.ndarray]


def shuffle(seed: int, repeats: int = 1) -> Order:
    """Passes every example once an epoch, in an order of the epoch's own.

    Args:
      seed: of the orders.
      repeats: times that each example comes in its batch, see `pipeline.repeated_rows`.
    """
    return functools.partial(pipeline.repeated_rows, seed, repeats)


def streams() -> Order:
    """Has every place of the batch read on from step to step, see `pipeline.stream_rows`."""
    return pipeline.stream_rows


def sequence() -> Order:
    """Reads the rows one after the other, and then begins again."""
    return lambda positions, batch_size, num_examples: positions % num_examples


def balanced(seed: int, labels: Labels, classes: int, examples: int) -> Order:
    """Draws groups of so many classes, and of each so many examples: P x K batches.

    Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification" (arXiv
    1703.07737), section 2. The classes of a group differ, and so do the examples of a class that
    has enough.

    Args:
      seed: of the draws.
      labels: of the source.
      classes: P, classes a group.
      examples: K, examples of each.

    Raises:
      ConfigError: the source has fewer classes; and by the order, batches of no whole groups.
    """
    rows = _by_class(labels(), classes, 1)
    group = functools.lru_cache(maxsize=64)(
        functools.partial(_group, seed, rows, classes, examples, True)
    )
    return functools.partial(_grouped, "balanced", classes * examples, group)


def episodes(seed: int, labels: Labels, ways: int, shots: int, queries: int = 1) -> Order:
    """Draws episodes of few-shot learning: N ways, of each K shots and then its queries.

    Vinyals et al. 2016, "Matching Networks for One Shot Learning" (arXiv 1606.04080), section 4.1.
    An episode is class by class; no example comes twice in it.

    Args:
      seed: of the draws.
      labels: of the source.
      ways: N, classes an episode.
      shots: K, labelled examples of each.
      queries: examples of each to be classified.

    Raises:
      ConfigError: the source has fewer classes with as many examples; and by the order, batches
        that hold no whole episodes.
    """
    each = shots + queries
    rows = _by_class(labels(), ways, each)
    group = functools.lru_cache(maxsize=64)(
        functools.partial(_group, seed, rows, ways, each, False)
    )
    return functools.partial(_grouped, "episodes", ways * each, group)


def _by_class(labels: np.ndarray, classes: int, examples: int) -> list[Int[np.ndarray, " n"]]:
    """Lists the rows of each class that has enough examples."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ConfigError(f"dataset.order: labels of shape {labels.shape} are no class each")
    if classes < 1 or examples < 1:
        raise ConfigError(f"dataset.order: {classes} classes of {examples} examples: 1 or more")
    found = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    enough = [rows for rows in found if len(rows) >= examples]
    if len(enough) < classes:
        raise ConfigError(
            f"dataset.order takes {classes} classes of {examples} examples or more: the data have "
            f"{len(enough)}"
        )
    return enough


def _group(
    seed: int, rows: list[np.ndarray], classes: int, examples: int, again: bool, number: int
) -> Int[np.ndarray, " n"]:
    """Draws the rows of a group, class by class."""
    generator = rng.host_generator(seed, "group", number)
    chosen = [rows[i] for i in generator.choice(len(rows), classes, replace=False)]
    drawn = [
        generator.choice(own, examples, replace=again and len(own) < examples) for own in chosen
    ]
    return np.concatenate(drawn)


def _grouped(
    name: str,
    size: int,
    group: Callable[[int], np.ndarray],
    positions: np.ndarray,
    batch_size: int,
    num_examples: int,
) -> Int[np.ndarray, " n"]:
    if batch_size % size:
        raise ConfigError(
            f"dataset.order={name!r}: batch_size={batch_size} holds no whole groups of {size}"
        )
    numbers, places = np.divmod(np.asarray(positions), size)
    return np.array([group(int(n))[p] for n, p in zip(numbers, places)], np.int64)
