"""The batches of a run, put on the devices ahead of their use."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from library import rng
from library.data import graphs_in_memory, pipeline, whole_splits
from library.evaluation.context import Context
from library.parallel.agreement import all_processes
from library.parallel.watchdog import BARRIER, WATCHDOG
from library.run.inputs import eval_input
from library.run.plan import Plan, context_parts, drawn_features
from library.run.skipped import Skipped


class Feed:
    """The batches of a plan's splits, on the devices.

    Attributes:
      constants: the arguments of every step beside state and batch: the root key, and the
        training split if `dataset.cache` is "device".
      skipped: the examples that the batches leave out.
    """

    def __init__(self, plan: Plan, skipped: Path | None = None):
        """Loads the training split if `dataset.cache` is "device".

        Args:
          plan: the run.
          skipped: the file that lists skipped examples; None for no file.
        """
        self._plan = plan
        self.skipped = Skipped(skipped)
        self._notes: list[str] = []
        self._opened: set[str] = set()
        resident = {}
        if plan.dataset.cache == "device":
            resident = whole_splits.load_all(plan.loader, plan.dataset.threads, self._notes.append)
            self.skipped.note("train", plan.loader, resident["mask"])
        key = rng.root(plan.recipe.seed)
        self.constants = plan.strategy.replicate({"key": key, "resident": resident})
        self._resident = resident
        # Where graphs begin; the rest of the split is freed on the host.
        self._ends = {k: x for k, x in resident.items() if k in graphs_in_memory.FIRST.values()}

    @functools.cached_property
    def first(self) -> Mapping[str, jax.Array]:
        """The whole first batch of the run, on every device; `del feed.first` frees it.

        Only training loads it, to initialise the state.
        """
        # The host's copy of the split is not needed after that.
        resident, self._resident = self._resident, {}
        return self._plan.strategy.replicate(_first(self._plan, resident))

    def beginning(self, count: int) -> dict[str, np.ndarray]:
        """Loads the first examples of the run, at most a batch, into host arrays `(n, ...)`."""
        plan, size = self._plan, self._plan.dataset.batch_size
        rows = plan.order(np.arange(size), size, len(plan.loader.source.records))[:count]
        return whole_splits.batch(plan.loader, np.arange(len(rows)), rows, plan.dataset.threads)

    def train(
        self, start: int, calls: Iterable[int] | None = None
    ) -> Iterator[dict[str, jax.Array]]:
        """Yields the batches of the steps from `start` on.

        Args:
          start: steps done before.
          calls: the number of steps done after each call, if a call makes several steps. The
            batches of a call then come together, `(steps_per_call, b, ...)`; missing batches
            have mask 0.
        """
        dataset = self._plan.dataset
        places = self._plan.strategy.places(dataset.batch_size)
        shared = {"order": self._plan.order, "start": start, "places": places}
        if dataset.cache == "device" or not dataset.has_data:
            count = len(self._plan.loader.source.records)
            host = pipeline.train_indices(count, dataset.batch_size, **shared)
            host = self._fitting(host) if dataset.budget is not None else host
        else:
            workers = {"workers": dataset.workers, "threads": dataset.threads}
            loader = self._plan.loader
            host = pipeline.train_batches(loader, dataset.batch_size, **shared, **workers)
            host = self.skipped.noting("train", loader, host, padded=False)
        if calls is None:
            return _ahead(host, self._plan.strategy.put)
        most = self._plan.recipe.steps_per_call
        together = _together(host, start, calls, most)
        return _ahead(together, functools.partial(self._plan.strategy.put, steps=True))

    def evaluation(self, split: str, batch_size: int | None) -> Iterator[dict[str, jax.Array]]:
        """Yields the batches of one pass over a split, each example once."""
        dataset = self._plan.dataset
        size = batch_size or dataset.eval_size
        host = self._host_batches(split, size)
        host = self.skipped.noting(split, self.loader(split), host, padded=True)
        return _ahead(host, self._plan.strategy.put)

    def draws(
        self,
        num: int,
        batch_size: int | None = None,
        features: Mapping[str, np.ndarray] | None = None,
    ) -> Iterator[dict[str, jax.Array]]:
        """Yields batches without data, see `Context.draws`."""
        size = batch_size or self._plan.dataset.eval_size
        given = {**drawn_features(self._plan, num), **(features or {})}
        places = self._plan.strategy.places(size)

        def batches():
            for batch in pipeline.eval_indices(num, size, places):
                yield {**batch, **{name: x[batch["row"]] for name, x in given.items()}}

        return _ahead(batches(), self._plan.strategy.put)

    def context(self, *, seed: int | None = None, warn: Callable[[str], None] = print) -> Context:
        """Returns the run as evaluators see it.

        Args:
          seed: seed of the evaluators' random draws; by default the run's.
          warn: shows a line to the user.
        """
        plan = self._plan
        key = self.constants["key"] if seed is None else plan.strategy.replicate(rng.root(seed))
        constants = {"key": key, "resident": {}}

        def with_constants(compiled):
            return lambda state, batch: compiled(state, batch, constants)

        return Context(
            task=plan.task,
            batches=self.evaluation,
            measure=lambda f: with_constants(plan.strategy.measure(self._on_inputs(f))),
            collect=lambda f: with_constants(plan.strategy.collect(self._on_inputs(f))),
            draws=self.draws,
            num_examples=lambda split: len(self.loader(split).source.records),
            warn=warn,
            all_done=all_processes,
            **context_parts(plan),
        )

    def collecting(self, f: Callable) -> Callable:
        """Compiles a function as `Context.collect` does, once for all seeds.

        Args:
          f: `(state, batch, key) -> arrays` with a leading example axis.

        Returns:
          `(state, batch, seed) -> numpy arrays` of the whole batch.
        """
        compiled = self._plan.strategy.collect(self._on_inputs(f))

        def collect(state, batch, seed: int):
            key = self._plan.strategy.replicate(rng.root(seed))
            return compiled(state, batch, {"key": key, "resident": {}})

        return collect

    def loader(self, split: str) -> pipeline.Loader:
        """Returns the loader of a split as evaluators see it."""
        found = self._plan.splits(split)
        if split not in self._opened:
            self._opened.add(split)
            told = (*self._plan.loader.source.notes, *self._notes)
            self._notes += [n for n in found.source.notes if n not in told]
        return found

    def tell(self, warn: Callable[[str], None]) -> None:
        """Warns of newly skipped examples, see `Skipped.tell`, and shows new notes of the data.

        Args:
          warn: shows a line to the user.
        """
        while self._notes:
            warn(self._notes.pop(0))
        self.skipped.tell(warn)

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a run has one feed
    def _in_memory(self, split: str) -> Mapping[str, np.ndarray]:
        loader, threads = self.loader(split), self._plan.dataset.threads
        return whole_splits.load_all(loader, threads, self._notes.append)

    def _host_batches(self, split: str, size: int) -> Iterator[dict[str, np.ndarray]]:
        dataset, places = self._plan.dataset, self._plan.strategy.places(size)
        if dataset.cache != "device":
            workers = {"workers": dataset.workers, "threads": dataset.threads}
            yield from pipeline.eval_batches(self.loader(split), size, places=places, **workers)
            return
        held = self._in_memory(split)
        for batch in pipeline.eval_indices(len(held["mask"]), size, places):
            yield whole_splits.taken(self.loader(split), held, batch)

    def _fitting(self, host: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        """Yields the batches; a group of graphs that exceeds its budget is an error."""
        budget = self._plan.dataset.budget
        for batch in host:
            graphs_in_memory.check_fit(budget, self._ends, batch["row"])
            yield batch

    def _on_inputs(self, f: Callable) -> Callable:
        def on_inputs(state, batch, constants):
            key = rng.purpose(constants["key"], "evaluate")
            return f(state, eval_input(self._plan, batch, constants), key)

        return on_inputs


def _first(plan: Plan, resident: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns the whole first batch on the host; each process loads its part of it."""
    loader, size = plan.loader, plan.dataset.batch_size
    rows = plan.order(np.arange(size), size, len(loader.source.records))
    if resident:
        batch = {"index": np.arange(size, dtype=np.uint32), "row": rows.astype(np.uint32)}
        return whole_splits.taken(loader, resident, {**batch, "mask": np.ones(size, np.float32)})
    places = plan.strategy.places(size)
    own = whole_splits.batch(loader, places, rows[places], plan.dataset.threads)
    if not plan.strategy.mesh.is_multi_process:
        return own
    with WATCHDOG.limit("the first batch of the other processes", BARRIER):
        every = multihost_utils.process_allgather(plan.strategy.put(own), tiled=True)
    # Under pmap a batch has an axis of devices.
    return {name: x.reshape(-1, *own[name].shape[1:]) for name, x in every.items()}


def _ahead(host: Iterator, put: Callable, depth: int = 2) -> Iterator:
    """Yields batches put on the devices `depth` ahead of their use."""
    waiting = deque()
    for batch in host:
        waiting.append(put(batch))
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting


def _together(host: Iterator, start: int, calls: Iterable[int], most: int) -> Iterator:
    """Yields the stacked batches of each call; zeros fill a call up to `most` batches."""
    for done in calls:
        batches = [next(host) for _ in range(start, done)]
        blank = {name: np.zeros_like(x) for name, x in batches[0].items()}
        yield _stack([*batches, *[blank] * (most - len(batches))])
        start = done


def _stack(examples: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}
