"""The context of an evaluator: the task, the data and functions to compile and run over it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Array

from library import background
from library.config import ConfigError
from library.task import Batch, Metrics, Task, TrainState

Evaluator = Callable[[TrainState], dict[str, float | np.ndarray]]
Judge = Callable[[Array], Array]
T = TypeVar("T")


def _no_judge(workdir: str, output: str) -> Judge:
    raise ConfigError(f"this context cannot load other runs, such as {workdir!r}")


class Context(NamedTuple):
    """The part of a run that evaluators use.

    Attributes:
      task: the task under evaluation.
      batches: `(split, batch_size or None)` -> batches on the device, normalized, with every
        example once. The last batch is padded; `mask` is 0 on padding and on skipped examples,
        whose values must not change a result, see `library.task.pair`.
      measure: compiles `(state, batch, key) -> {name: (sum, count)}` into a function
        `(state, batch)` that sums over all devices and leaves the result on them.
      collect: compiles `(state, batch, key) -> {name: array with a leading example axis}` into a
        function `(state, batch)` that returns the whole batch's numpy arrays, padding included.
      draws: `(num, batch_size or None, features)` -> batches without data, for samplers: `index`
        from 0 to num - 1, `row`, `mask`, for labelled data `label`, which cycles through the
        classes, and `features`, arrays with an example axis of num, which replace any of these.
      num_examples: split -> its number of examples.
      judge: `(workdir, output)` -> a function of images (b, h, w, c) in [0, 1] that returns the
        output of a finished run's task, such as its "features". The function is pure; call it
        within a function for `measure` or `collect`. `judge` raises ConfigError if there is no such
        run.
      pixels: maps normalized images (..., h, w, c) to uint8.
      normalize: maps images in [0, 1] to normalized images, which the model takes.
      unnormalize: maps normalized images to [0, 1]; rounding may leave values slightly outside.
      warn: shows a line to the user of the run.
      features: the names of the features of examples: "image", "label", ...
      label_names: names of the classes, or None.
      tokenizer: the tokenizer of text, or None.
      context_length: the most tokens that a language model takes at a time; None for no limit.
      pause: call it between the parts of long work on the host: it ends the evaluation if the run
        is asked to stop. All processes of a run must call it equally often. For a long call of a
        library, which has no parts, see `wait`.
      all_done: returns whether a value is true in all processes of the run.
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
    pause: Callable[[], None] = lambda: None
    all_done: Callable[[bool], bool] = lambda done: done

    def wait(self, work: Callable[[], T]) -> T:
        """Returns `work()`, a long call of a library; `pause` is called before it and meanwhile."""
        return background.result(work, pause=self.pause, all_done=self.all_done)

    @property
    def num_classes(self) -> int | None:
        """The number of classes, or None."""
        return None if self.label_names is None else len(self.label_names)


def pausing(context: Context, pause: Callable[[], None]) -> Context:
    """Returns a context whose evaluators call `pause` before each batch, and within host work.

    The evaluators stay at most two batches ahead of the device, so that a pause also pauses the
    device.

    Args:
      context: the context of a run.
      pause: an exception from it ends the evaluation.
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
        batches=before_each(context.batches),
        draws=before_each(context.draws),
        measure=in_step,
        pause=pause,
    )


def collected(
    function: Callable[[TrainState, Batch], Mapping[str, np.ndarray]],
    state: TrainState,
    batches: Iterable[Batch],
    split: str | None = None,
) -> dict[str, np.ndarray]:
    """Runs a function of `Context.collect` over batches, and joins its results without padding.

    Args:
      function: the function; its result must contain `mask`.
      state: the state to evaluate.
      batches: batches of `Context.batches` or `Context.draws`.
      split: the name of their split, for the error message.

    Returns:
      The joined arrays by name, without `mask`.

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
