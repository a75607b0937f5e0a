"""Sums of metrics over the batches of a split."""

from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np

from library import trees
from library.task import Batch, Metrics, TrainState

# One program an addition, however many metrics there are; sums stay on the device.
_add = jax.jit(trees.add)


def total(
    measured: Callable[[TrainState, Batch], Metrics],
    state: TrainState,
    batches: Iterable[Batch],
    split: str,
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Adds up what is measured of each batch; fetched once, after the last.

    Args:
      measured: see `Context.measure`.
      state: handed to it.
      batches: of the split.
      split: its name, for the error.

    Raises:
      ValueError: there is no batch.
    """
    totals = None
    for batch in batches:
        sums = measured(state, batch)
        totals = sums if totals is None else _add(totals, sums)
    if totals is None:
        raise ValueError(f"split {split!r} has no examples to evaluate")
    return jax.device_get(totals)
