"""What a run feeds its steps with: batches on the devices, ahead of their use."""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from library import rng
from library.data import pipeline
from library.evaluation.context import Context
from library.training.recipe import Plan, eval_input, open_split


class Feed:
    """Opens a plan's splits and puts their batches on the devices.

    Attributes:
      constants: what every step is handed beside state and batch: the root key, and the training
        split where it lies in device memory.
      first: the first batch of the run, whole, on every device.
    """

    def __init__(self, plan: Plan):
        """Loads what is kept in memory."""
        self._plan = plan
        self._part = pipeline.Slice(jax.process_index(), jax.process_count())
        self._splits: dict[str, Any] = {}
        loader, size = plan.loader, plan.dataset.batch_size
        on_device = plan.dataset.cache == "device"
        resident = pipeline.load_all(loader, plan.dataset.threads) if on_device else {}
        count = len(loader.source.records)
        rows = pipeline.rows(np.arange(size), plan.recipe.seed, count)
        first = _stack([loader.load(i, int(row)) for i, row in enumerate(rows)])
        key = rng.root(plan.recipe.seed)
        self.first = plan.strategy.replicate(first)
        self.constants = plan.strategy.replicate({"key": key, "resident": resident})
        self._key = {"key": self.constants["key"], "resident": {}}

    def train(self, start: int) -> Iterator[dict[str, jax.Array]]:
        """Yields the batches of the steps from `start` on."""
        dataset, seed = self._plan.dataset, self._plan.recipe.seed
        shared = {"seed": seed, "start": start, "part": self._part}
        if dataset.cache == "device":
            count = len(self._plan.loader.source.records)
            host = pipeline.train_indices(count, dataset.batch_size, **shared)
        else:
            workers = {"workers": dataset.workers, "threads": dataset.threads}
            host = pipeline.train_batches(
                self._plan.loader, dataset.batch_size, **shared, **workers
            )
        return _ahead(host, self._plan.strategy.put)

    def evaluation(self, split: str, batch_size: int | None) -> Iterator[dict[str, jax.Array]]:
        """Yields the batches of one pass over a split, each example once."""
        dataset = self._plan.dataset
        size = batch_size or dataset.eval_batch_size or dataset.batch_size
        return _ahead(self._host_batches(split, size), self._plan.strategy.put)

    def context(self) -> Context:
        """Returns the run as evaluators see it."""
        strategy = self._plan.strategy
        return Context(
            task=self._plan.task,
            batches=self.evaluation,
            measure=lambda f: self._with_constants(strategy.measure(self._on_inputs(f))),
            collect=lambda f: self._with_constants(strategy.collect(self._on_inputs(f))),
        )

    def loader(self, split: str) -> pipeline.Loader:
        """Returns the loader of a split as evaluators see it."""
        if split not in self._splits:
            self._splits[split] = open_split(self._plan, split)
        return self._splits[split]

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a run has one feed
    def _in_memory(self, split: str) -> Mapping[str, np.ndarray]:
        return pipeline.load_all(self.loader(split), self._plan.dataset.threads)

    def _host_batches(self, split: str, size: int) -> Iterator[dict[str, np.ndarray]]:
        dataset = self._plan.dataset
        if dataset.cache != "device":
            workers = {"workers": dataset.workers, "threads": dataset.threads}
            yield from pipeline.eval_batches(self.loader(split), size, part=self._part, **workers)
            return
        held = self._in_memory(split)
        for batch in pipeline.eval_indices(len(held["mask"]), size, self._part):
            found = {name: values[batch["row"]] for name, values in held.items()}
            yield {**batch, **found, "mask": batch["mask"] * found["mask"]}

    def _on_inputs(self, f: Callable) -> Callable:
        def on_inputs(state, batch, constants):
            key = rng.purpose(constants["key"], "evaluate")
            return f(state, eval_input(self._plan, batch, constants), key)

        return on_inputs

    def _with_constants(self, f: Callable) -> Callable:
        return lambda state, batch: f(state, batch, self._key)


def _ahead(host: Iterator, put: Callable, depth: int = 2) -> Iterator:
    """Yields batches put on the devices `depth` ahead of their use."""
    waiting = deque()
    for batch in host:
        waiting.append(put(batch))
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting


def _stack(examples: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}
