"""What an evaluator is handed: the task, the data and ways to run functions over it."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from library.task import Batch, Metrics, Task, TrainState

Evaluator = Callable[[TrainState], dict[str, float | np.ndarray]]


class Context(NamedTuple):
    """The run as evaluators see it.

    Attributes:
      task: the system under evaluation.
      batches: `(split, batch_size or None)` -> batches on the device, normalized, every example
        once; the last is padded and its `mask` is 0 there.
      measure: compiles `(state, batch, key) -> {name: (sum, count)}` into a function
        `(state, batch)` that sums over all devices and leaves the result there.
      collect: compiles `(state, batch, key) -> {name: array with a leading example axis}` into a
        function `(state, batch)` that returns the whole batch's numpy arrays, padding included.
    """

    task: Task
    batches: Callable[[str, int | None], Iterable[Batch]]
    measure: Callable[[Callable[..., Metrics]], Callable[[TrainState, Batch], Metrics]]
    collect: Callable[[Callable[..., Any]], Callable[[TrainState, Batch], dict[str, np.ndarray]]]
