"""Orders of training examples: the row of the source at each position of a run.

`config.dataset.order` names one of the public functions here. Each returns an order `(positions,
batch_size, num_examples) -> rows`, where positions and rows are int64 `(n,)`. An order depends only
on the seed and the position, so any process can compute any position, and seeking is arithmetic.
The builder supplies `seed`, `repeats` and `labels`, a function that returns the labels
`(num_examples,)` of the source.
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
    """Shuffles the examples, in a different order in each epoch; each occurs once per epoch.

    Args:
      seed: seed of the orders.
      repeats: number of times that each example occurs in its batch, see `pipeline.repeated_rows`;
        an epoch then has fewer different examples.
    """
    return functools.partial(pipeline.repeated_rows, seed, repeats)


def streams() -> Order:
    """Reads parallel streams: each place of a batch continues with the next row at the next step.

    See `pipeline.stream_rows`.
    """
    return pipeline.stream_rows


def sequence() -> Order:
    """Reads the rows in sequence and starts again after the last."""
    return lambda positions, batch_size, num_examples: positions % num_examples


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
    rows = _by_class(labels(), classes, 1)
    group = functools.lru_cache(maxsize=64)(
        functools.partial(_group, seed, rows, classes, examples, True)
    )
    return functools.partial(_grouped, "balanced", classes * examples, group)


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
    rows = _by_class(labels(), ways, each)
    group = functools.lru_cache(maxsize=64)(
        functools.partial(_group, seed, rows, ways, each, False)
    )
    return functools.partial(_grouped, "episodes", ways * each, group)


def _by_class(labels: np.ndarray, classes: int, examples: int) -> list[Int[np.ndarray, " n"]]:
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
            f"dataset.order={name!r}: batch_size={batch_size} is not a multiple of {size}, the "
            "size of a group"
        )
    numbers, places = np.divmod(np.asarray(positions), size)
    return np.array([group(int(n))[p] for n, p in zip(numbers, places)], np.int64)
