"""Groups of examples by class, for orders that see the labels."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from library import rng
from library.config import ConfigError
from library.data.pipeline import Order

Labels = Callable[[], np.ndarray]


def by_class(labels: np.ndarray, classes: int, examples: int) -> list[Int[np.ndarray, " n"]]:
    """Lists the rows of each class that has enough examples."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ConfigError(
            "dataset.order needs one whole-number label per example, got labels of shape "
            f"{labels.shape} and dtype {labels.dtype}"
        )
    if classes < 1 or examples < 1:
        raise ConfigError(
            f"dataset.order got {classes} classes of {examples} examples: use 1 or more of each"
        )
    found = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    enough = [rows for rows in found if len(rows) >= examples]
    if len(enough) < classes:
        raise ConfigError(
            f"dataset.order needs {classes} classes with at least {examples} examples, and the "
            f"data have {len(enough)}"
        )
    return enough


def grouped(
    name: str, seed: int, rows: list[np.ndarray], classes: int, examples: int, *, again: bool
) -> Order:
    """Returns the order of random groups, each of some classes with some examples of each.

    Args:
      name: the name of the order, for messages.
      seed: seed of the draws.
      rows: the rows of each class, see `by_class`.
      classes: classes per group.
      examples: examples per class.
      again: whether a class with too few examples gives some of them twice.
    """
    group = functools.lru_cache(maxsize=64)(
        functools.partial(_group, seed, rows, classes, examples, again)
    )
    return functools.partial(_rows, name, classes * examples, group)


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


def _rows(
    name: str,
    size: int,
    group: Callable[[int], np.ndarray],
    positions: np.ndarray,
    batch_size: int,
    num_examples: int,
) -> Int[np.ndarray, " n"]:
    if batch_size % size:
        raise ConfigError(
            f"dataset.order={name!r}: batch_size={batch_size} is not a multiple of {size}, the "
            "size of a group"
        )
    numbers, places = np.divmod(np.asarray(positions), size)
    return np.array([group(int(n))[p] for n, p in zip(numbers, places)], np.int64)
