"""What an evaluator is handed: the task, the data and ways to run functions over it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from library.config import ConfigError
from library.task import Batch, Metrics, Task, TrainState

Evaluator = Callable[[TrainState], dict[str, float | np.ndarray]]
Judge = Callable[[Array], Array]


def _no_judge(workdir: str, output: str) -> Judge:
    raise ConfigError(f"there are no other runs here, and so no judge {workdir!r}")


class Context(NamedTuple):
    """The run as evaluators see it.

    Attributes:
      task: the system under evaluation.
      batches: `(split, batch_size or None)` -> batches on the device, normalized, every example
        once; the last is padded, and `mask` is 0 there and on examples that were skipped. What
        lies there is to change nothing, see `library.task.pair`.
      measure: compiles `(state, batch, key) -> {name: (sum, count)}` into a function
        `(state, batch)` that sums over all devices and leaves the result there.
      collect: compiles `(state, batch, key) -> {name: array with a leading example axis}` into a
        function `(state, batch)` that returns the whole batch's numpy arrays, padding included.
      draws: `(num, batch_size or None, features)` -> batches without data, what samplers are
        handed: `index` from 0 to num - 1, `row`, `mask`, of labelled sets `label`, the classes by
        turns, and `features`, arrays with an example axis of num, in place of any of them.
      num_examples: split -> how many it has.
      judge: `(workdir, output)` -> images (b, h, w, c) in [0, 1] -> what a finished run's task
        makes of them, such as its "features"; a pure function, to be called within another that
        is handed to `measure` or `collect`. It raises ConfigError where there is no such run.
      pixels: images as the model has them, normalized (..., h, w, c) -> uint8.
      normalize: images in [0, 1] -> as the model has them.
      unnormalize: the way back; rounding may lead a little out of [0, 1].
      warn: shows a line to whoever watches the run.
      features: what examples have, by name: "image", "label", ...
      label_names: names of the classes, or None.
      tokenizer: of text, or None.
      context_length: the most tokens that a language model sees at a time; None is no bound.
    """

    task: Task
    batches: Callable[[str, int | None], Iterable[Batch]]
    measure: Callable[[Callable[..., Metrics]], Callable[[TrainState, Batch], Metrics]]
    collect: Callable[[Callable[..., Any]], Callable[[TrainState, Batch], dict[str, np.ndarray]]]
    draws: Callable[..., Iterable[Batch]] = lambda num, batch_size=None, features=None: ()
    num_examples: Callable[[str], int] = lambda split: 0
    judge: Callable[[str, str], Judge] = _no_judge
    pixels: Callable[[np.ndarray], np.ndarray] = np.asarray
    normalize: Callable[[Array], Array] = lambda image: image
    unnormalize: Callable[[Array], Array] = lambda image: image
    warn: Callable[[str], None] = print
    features: tuple[str, ...] = ()
    label_names: tuple[str, ...] | None = None
    tokenizer: Any = None
    context_length: int | None = None

    @property
    def num_classes(self) -> int | None:
        """The number of classes, or None."""
        return None if self.label_names is None else len(self.label_names)


def pausing(context: Context, pause: Callable[[], None]) -> Context:
    """Returns a context whose evaluators pause before each batch.

    They stay at most two batches ahead of the device, so that a pause is one.

    Args:
      context: of a run.
      pause: what it raises ends an evaluation.
    """

    def before_each(batches: Callable[..., Iterable[Batch]]) -> Callable[..., Iterator[Batch]]:
        def paused(*arguments, **options):
            for batch in batches(*arguments, **options):
                pause()
                yield batch

        return paused

    def in_step(f: Callable[..., Metrics]) -> Callable[[TrainState, Batch], Metrics]:
        compiled, in_flight = context.measure(f), deque()

        def measure(state, batch):
            in_flight.append(compiled(state, batch))
            if len(in_flight) > 2:
                jax.block_until_ready(in_flight.popleft())
            return in_flight[-1]

        return measure

    return context._replace(
        batches=before_each(context.batches), draws=before_each(context.draws), measure=in_step
    )


def collected(
    function: Callable[[TrainState, Batch], Mapping[str, np.ndarray]],
    state: TrainState,
    batches: Iterable[Batch],
    split: str | None = None,
) -> dict[str, np.ndarray]:
    """Runs what `Context.collect` compiled over batches, and joins what is no padding.

    Args:
      function: its result must hold `mask`.
      state: the state to evaluate.
      batches: of `Context.batches` or `Context.draws`.
      split: of the batches, for the error's message.

    Returns:
      Arrays by name, without `mask`.

    Raises:
      ValueError: there are no batches.
    """
    parts = [function(state, batch) for batch in batches]
    if not parts:
        where = "there are no" if split is None else f"split {split!r} has no"
        raise ValueError(f"{where} examples to evaluate")
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    real = whole.pop("mask") > 0
    return {name: values[real] for name, values in whole.items()}
