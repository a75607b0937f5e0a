"""The input pipeline turns a source into batches, each of which depends only on (seed, step).

Position `p` of a run's shuffled order is example `p % n` of epoch `p // n`, in that epoch's
permutation. In streams it is the next example of its place in the batch. Step `s` takes
`batch_size` positions from `s * batch_size`. Each process loads those at the places of the batch
that its devices hold. Seeking to a step is arithmetic, and no iterator state needs saving.
"""

import functools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from absl import flags

from library import rng
from library.config import ConfigError
from library.data import features, graphs, permutations, preprocessing
from library.data.features import PLACE
from library.data.preprocessing import CorruptExample, UnfitExample
from library.data.sources import Source
from library.parallel import processes

Example = dict[str, np.ndarray]
# The preprocessing that gives all examples the same shape, by kind of feature.
_TO_ONE_SHAPE = {
    **dict.fromkeys(features.OBJECTS, "pad_objects"),
    **dict.fromkeys(("tokens", "audio", "series"), "pad_series"),
}
_STRINGS = {
    "text": "text, and a batch holds only numbers: tokenize it, or remove it with 'select'",
    **dict.fromkeys(features.RASTERS, "still encoded: 'decode' is missing in the preprocessing"),
}
# The most examples whose order is a list; it takes 8 bytes each, twice at the end of an epoch.
LISTED = 2**25
# Seconds between checks that a worker's parent still exists.
_PARENT_SEEN_EVERY = 1.0
# (positions, batch size, number of examples) -> the row of the source at each position.
Order = Callable[[np.ndarray, int, int], np.ndarray]
Preprocess = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]


class Loader(NamedTuple):
    """Loads examples and makes batches of them; picklable, for worker processes.

    Attributes:
      source: the source of the examples.
      preprocess: host preprocessing, `(example, generator) -> example`.
      seed: seed of random host preprocessing.
      on_corrupt: "stop" at an example that cannot be read or decoded, or "skip" it: its batch then
        has zeros with mask 0 in its place.
      blank: an example of zeros, used for padding and in place of skipped examples.
      kinds: the kinds of the preprocessed features by name.
      budget: the budget of batches of graphs; None stacks each feature.
      ragged: the features whose first axis varies between examples; batches of graphs join them.
    """

    source: Source
    preprocess: Preprocess
    seed: int
    on_corrupt: Literal["stop", "skip"]
    blank: Example
    kinds: Mapping[str, str] = features.USUAL
    budget: graphs.Budget | None = None
    ragged: tuple[str, ...] = ()

    def batch(self, examples: Sequence[Example]) -> Example:
        """Makes a batch of loaded examples."""
        if self.budget is not None:
            return graphs.collate(self.budget, list(examples))
        return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

    def like(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns the shapes and dtypes of a batch, without loading one."""
        blank = self.padding(0)
        if self.budget is None:
            found = {k: ((batch_size, *np.shape(x)), np.asarray(x).dtype) for k, x in blank.items()}
        else:
            batch = self.batch([blank] * batch_size)
            found = {k: (x.shape, x.dtype) for k, x in batch.items()}
        return {k: jax.ShapeDtypeStruct(*x) for k, x in found.items()}

    def load(
        self, position: int, row: int, generator: np.random.Generator | None = None
    ) -> Example:
        """Loads the example at `row` of the source for `position` of the run's order.

        Random preprocessing draws from `generator`, by default that of the position.

        Raises:
          CorruptExample: it cannot be read or decoded, and `on_corrupt` is "stop".
          UnfitExample: the preprocessing fails on it, or it differs in shape from the first
            example.
        """
        try:
            example, mask = self.read(position, row, generator), 1
        except CorruptExample as error:
            if self.on_corrupt == "stop":
                hint = "dataset.on_corrupt='skip' skips such examples and counts them"
                raise CorruptExample(f"{error} ({hint})") from error
            example, mask = self.blank, 0
        return {**example, **place(position, row, mask)}

    def read(
        self, position: int, row: int, generator: np.random.Generator | None = None
    ) -> Example:
        """Reads and preprocesses an example, without `index`, `row` and `mask`; errors name it.

        Arguments are those of `load`.

        Raises:
          CorruptExample: it cannot be read or decoded.
          UnfitExample: see `load`.
        """
        try:
            example = self._preprocessed(position, row, generator)
        except CorruptExample as error:
            raise CorruptExample(f"{self.source.describe(row)}: {error}") from error
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            raise CorruptExample(f"{self.source.describe(row)}: {reason}") from error
        except ValueError as error:
            raise UnfitExample(f"{self.source.describe(row)}: {error}") from error
        for name, usual in self.blank.items():
            along = int(name in self.ragged)
            if name in example and example[name].shape[along:] != usual.shape[along:]:
                missing = _TO_ONE_SHAPE.get(self.kinds.get(name), "a crop or a resize to one size")
                raise UnfitExample(
                    f"{self.source.describe(row)}: {name} is {example[name].shape} after the "
                    f"preprocessing, but {usual.shape} in the first example: {missing} is missing"
                )
        return example

    def padding(self, position: int) -> Example:
        """Returns the example of zeros and mask 0 that pads `position` of an evaluation."""
        return {**self.blank, **place(position, 0, 0)}

    def _preprocessed(
        self, position: int, row: int, generator: np.random.Generator | None
    ) -> Example:
        if generator is None:
            generator = rng.host_generator(self.seed, "preprocess", position)
        records = self.source.records
        # Joined sources may have their own rows, which depend on the position.
        record = records.at(position, row) if hasattr(records, "at") else dict(records[row])
        example = self.preprocess(record, generator)
        kept = {k: np.asarray(x) for k, x in example.items() if self.kinds.get(k) != "id"}
        for name, value in kept.items():
            if name in PLACE:
                raise ValueError(
                    f"the preprocessing makes a feature {name!r}, a name that is reserved for "
                    "batches"
                )
            if value.dtype.kind in "OSU":
                raise ValueError(
                    f"{name} is {_STRINGS.get(self.kinds.get(name), 'not an array of numbers')}"
                )
        return kept


def make_loader(
    source: Source,
    preprocess: Preprocess,
    *,
    seed: int,
    on_corrupt: str = "stop",
    budget: graphs.Budget | None = None,
    blank: Example | None = None,
) -> Loader:
    """Makes the loader of a split; its first readable example gives the shapes of all examples.

    Args:
      source: the source of the examples.
      preprocess: host preprocessing.
      seed: seed of random preprocessing.
      on_corrupt: see `Loader`.
      budget: the budget of batches of graphs, see `library.data.graphs`; None stacks examples.
      blank: a preprocessed example of zeros, if known; no example is read then.

    Raises:
      ConfigError: the source has no examples, or there is a budget and they are not graphs.
      CorruptExample: the first example, or with "skip" each of the first hundred, cannot be read.
      UnfitExample: the preprocessing fails on that example.
    """
    preprocess = preprocessing.turning(preprocess, source.exif_orientation)
    kinds = features.after(preprocess, source.kinds)
    loader = Loader(source, preprocess, seed, "stop", {}, kinds)
    if blank is None:
        blank = _first_blank(loader, on_corrupt)
    kinds, ragged = features.of(blank, kinds), ()
    if budget is not None:
        graphs.check(budget, list(blank))
        ragged = tuple(graphs.parts(budget, list(blank)))
        # Padding is a graph without nodes and edges.
        blank = {k: x[:0] if k in ragged else x for k, x in blank.items()}
    return loader._replace(
        on_corrupt=on_corrupt, blank=blank, kinds=kinds, budget=budget, ragged=ragged
    )


def _first_blank(loader: Loader, on_corrupt: str) -> Example:
    """Returns the first readable example, as zeros."""
    tried = min(100, len(loader.source.records))
    if not tried:
        raise ConfigError("the source has no examples: choose a split that has 1 or more")
    for row in range(tried):
        try:
            example = loader.load(0, row) if on_corrupt == "stop" else loader.read(0, row)
        except CorruptExample as error:
            problem = error
            if on_corrupt == "stop":
                raise
            continue
        return {k: np.zeros_like(v) for k, v in example.items() if k not in PLACE}
    raise CorruptExample(
        f"none of the first {tried} examples can be read; the last error: {problem}"
    )


def place(position: int, row: int, mask: float) -> Example:
    """Returns `index` (the position), `row` and `mask` of an example, as scalars.

    A row beyond 2^32, of a text, is folded to 32 bits: on the device it only gives keys.
    """
    return {
        "index": np.uint32(position),
        "row": np.uint32(row % 2**32),
        "mask": np.float32(mask),
    }


def permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Returns the shuffled rows of one epoch, `(num_examples,)`."""
    return _permutations(seed, num_examples)(epoch)


# Each order keeps epochs of its own: threads load examples on both sides of the end of an epoch,
# and several sources would otherwise displace each other's permutations at every example.
@functools.lru_cache(maxsize=32)
def _permutations(seed: int, num_examples: int) -> Callable[[int], np.ndarray]:
    """Returns the function from an epoch to its permutation; it keeps the last four."""

    def draw(epoch: int) -> np.ndarray:
        return rng.host_generator(seed, "permutation", epoch).permutation(num_examples)

    return functools.lru_cache(maxsize=4)(draw)


def rows(positions: np.ndarray, seed: int, num_examples: int) -> np.ndarray:
    """Returns the row of the source at each of `positions` in the run's shuffled order.

    Up to `LISTED` examples, the order of an epoch is a list. Beyond, it is arithmetic.
    """
    epochs, offsets = np.divmod(positions, num_examples)
    found = np.empty(len(positions), np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        if num_examples <= LISTED:
            found[chosen] = permutation(seed, int(epoch), num_examples)[offsets[chosen]]
        else:
            found[chosen] = permutations.permuted(seed, int(epoch), offsets[chosen], num_examples)
    return found


def stream_rows(positions: np.ndarray, batch_size: int, num_examples: int) -> np.ndarray:
    """Returns the row at each position if every place in the batch is a stream.

    Over the steps, place j of a batch of b reads the n // b rows from j (n // b) in sequence and
    then starts again.

    Raises:
      ConfigError: there are fewer examples than places in the batch.
    """
    if num_examples < batch_size:
        raise ConfigError(
            f"dataset.order='streams': {num_examples} examples are too few for "
            f"batch_size={batch_size} streams; use batch_size={num_examples} or less"
        )
    steps, places = np.divmod(positions, batch_size)
    length = num_examples // batch_size
    return places * length + steps % length


def positions_at(step: int, batch_size: int, places: np.ndarray | None = None) -> np.ndarray:
    """Returns the positions of a step at some places in its batch, by default at all places."""
    return step * batch_size + (np.arange(batch_size) if places is None else places)


def repeated_rows(
    seed: int, repeats: int, positions: np.ndarray, batch_size: int, num_examples: int
) -> np.ndarray:
    """Returns the row at each position if every example occurs `repeats` times in its batch.

    Repeated augmentation: Hoffer et al. 2020, "Augment your batch" (arXiv 1901.09335), and Berman
    et al. 2019 (arXiv 1902.05509). Each repeat is augmented separately. A batch has all its
    examples once, then all again, and so on: neighbours, which mixup mixes, are different examples,
    and so are the examples on each of `repeats` devices. If `repeats` does not divide the batch
    size, the first and last example of a batch may occur fewer times. An epoch has as many images
    as without repeats, but fewer different examples.
    """
    steps, places = np.divmod(positions, batch_size)
    inner = _spread(batch_size, repeats)[places]
    return rows((steps * batch_size + inner) // repeats, seed, num_examples)


@functools.lru_cache(maxsize=4)
def _spread(batch_size: int, repeats: int) -> np.ndarray:
    """Returns the numbers below `batch_size` in the order 0, r, 2r, ..., 1, r + 1, ...

    Here r is `repeats`.
    """
    return np.concatenate([np.arange(first, batch_size, repeats) for first in range(repeats)])


def train_indices(
    num_examples: int,
    batch_size: int,
    *,
    order: Order,
    start: int,
    places: np.ndarray | None = None,
) -> Iterator[Example]:
    """Yields `index`, `row` and `mask` at some places in every batch from step `start`.

    A run with its examples in device memory needs no other input.
    """
    step = start
    while True:
        positions = positions_at(step, batch_size, places)
        found = order(positions, batch_size, num_examples)
        yield _indices(positions, found, np.ones(len(positions)))
        step += 1


def eval_indices(
    num_examples: int, batch_size: int, places: np.ndarray | None = None
) -> Iterator[Example]:
    """Yields every row once, in order; the last batch is padded with row 0 and mask 0."""
    for step in range(math.ceil(num_examples / batch_size)):
        positions = positions_at(step, batch_size, places)
        real = positions < num_examples
        yield _indices(positions, np.where(real, positions, 0), real)


def _indices(positions, found, mask):
    return {
        "index": positions.astype(np.uint32),
        "row": found.astype(np.uint32),
        "mask": np.asarray(mask, np.float32),
    }


class _TrainExamples:
    """The training examples of one process from step `start`, as a sequence for Grain."""

    def __init__(self, loader: Loader, batch_size: int, order: Order, start: int, places):
        self.loader, self.batch_size, self.order = loader, batch_size, order
        self.start, self.first = start, positions_at(0, batch_size, places)
        self.local = len(self.first)

    def __len__(self) -> int:
        # Grain needs a length; a run ends long before position 2^32.
        return (2**32 // self.batch_size - self.start) * self.local

    def __getitem__(self, item: int) -> Example:
        step, offset = divmod(item, self.local)
        position = (self.start + step) * self.batch_size + int(self.first[offset])
        count = len(self.loader.source.records)
        (row,) = self.order(np.array([position]), self.batch_size, count)
        return self.loader.load(position, int(row))


class _EvalExamples:
    """The examples of one process in an evaluation: each once, then padding of the last batch."""

    def __init__(self, loader: Loader, batch_size: int, places: np.ndarray | None = None):
        self.loader, self.batch_size = loader, batch_size
        self.first = positions_at(0, batch_size, places)
        self.local = len(self.first)

    def __len__(self) -> int:
        return math.ceil(len(self.loader.source.records) / self.batch_size) * self.local

    def __getitem__(self, item: int) -> Example:
        step, offset = divmod(item, self.local)
        position = step * self.batch_size + int(self.first[offset])
        if position < len(self.loader.source.records):
            return self.loader.load(position, position)
        return self.loader.padding(position)


def train_batches(
    loader: Loader,
    batch_size: int,
    *,
    order: Order,
    start: int = 0,
    places: np.ndarray | None = None,
    workers: int = 0,
    threads: int = 8,
) -> Iterator[Example]:
    """Yields one process's part of every training batch from step `start`, without end.

    Args:
      loader: the loader of the split.
      batch_size: examples per step over all processes.
      order: see `library.data.orders`.
      start: the first step.
      places: the places in every batch that this process loads, `(n,)`; by default all.
      workers: the number of processes that decode; 0 decodes in threads of this process.
      threads: the number of threads that load examples, in this process or in each worker.

    Yields:
      Stacked examples with `index`, `row` and `mask`, arrays `(n, ...)`.

    Raises:
      CorruptExample: an example cannot be read or decoded, and the loader does not skip it.
    """
    examples = _TrainExamples(loader, batch_size, order, start, places)
    return _iterate(examples, examples.local, workers, threads)


def eval_batches(
    loader: Loader,
    batch_size: int,
    *,
    places: np.ndarray | None = None,
    workers: int = 0,
    threads: int = 8,
) -> Iterator[Example]:
    """Yields one process's part of every batch of one pass; padding of the last has mask 0."""
    examples = _EvalExamples(loader, batch_size, places)
    return _iterate(examples, examples.local, workers, threads)


def _iterate(examples, local: int, workers: int, threads: int) -> Iterator[Example]:
    # This import takes a while, and a split in device memory does without it.
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    batches = grain.MapDataset.source(examples).batch(local, batch_fn=examples.loader.batch)
    batches = batches.to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():
            # Grain's workers read its flags, which only our programs parse.
            flags.FLAGS.mark_as_parsed()
        options = grain.MultiprocessingOptions(num_workers=workers)
        batches = batches.mp_prefetch(options, worker_init_fn=live_with_parent)
    return iter(batches)


def live_with_parent(worker: int = 0, count: int = 1) -> None:
    """Makes a worker process ignore signals to stop and end when its parent process ends."""
    # Keyboards, terminals and many schedulers signal every process; the training loop handles the
    # signal and needs its batches until then.
    for number in processes.stopping_signals():
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()


def _end_with_parent() -> None:
    # Not PR_SET_PDEATHSIG: that signal comes when the *thread* that started the worker ends.
    parent = multiprocessing.parent_process()
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(timeout=_PARENT_SEEN_EVERY)
    # When the last of its processes has ended, Python's resource tracker removes their shared
    # memory.
    os._exit(1)
