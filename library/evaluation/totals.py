"""Sums of metrics over the batches of a split."""

from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np

from library import trees
from library.task import Batch, Metrics, TrainState

# Compiled as one program, whatever the number of metrics; sums stay on the device.
_add = jax.jit(trees.add)


def total(
    measured: Callable[[TrainState, Batch], Metrics],
    state: TrainState,
    batches: Iterable[Batch],
    split: str,
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the sums of metrics over batches, fetched from the device once, after the last batch.

    Args:
      measured: a function of `Context.measure`.
      state: the state to evaluate.
      batches: the batches of the split.
      split: the name of the split, for the error message.

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
