"""Whole splits in memory, and other examples that are loaded together.

Making a generator and reading a single record take longer than decoding a small image. So records
are read in parts of `PART`, and the examples of a part share one generator. If the preprocessing
draws from it, each example is loaded again with its own. The result has the same bits either way.
"""

import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from library import rng
from library.data import decoded_splits, graphs_in_memory
from library.data.features import PLACE
from library.data.pipeline import Example, Loader, place
from library.data.preprocessing import CorruptExample

# Examples that are read together. Many photographs at once would need much memory.
PART = 128


def load_all(
    loader: Loader, threads: int = 8, say: Callable[[str], None] = print
) -> dict[str, np.ndarray]:
    """Loads a whole split, with `mask`, into host arrays `(n, ...)` for the device's memory.

    It reads the arrays that an earlier load has kept, and keeps its own, see
    `library.data.decoded_splits`. Graphs have the arrays of `library.data.graphs_in_memory`, which
    are not kept.

    Args:
      loader: the loader of the split.
      threads: the number of threads that load examples.
      say: a function that is called with each line for the user.

    Raises:
      ConfigError: the size limit of kept splits is no number.
      CorruptExample: an example cannot be read or decoded, and the loader does not skip it.
      UnfitExample: the preprocessing fails on an example.
    """
    rows = np.arange(len(loader.source.records))
    if loader.budget is not None:
        found = _parts(loader, rows, rows, threads, threading.Event())
        return graphs_in_memory.packed(loader.budget, [x for part in found for x in part])
    kept = decoded_splits.place(loader)
    held = None if kept is None else decoded_splits.read(kept, loader, say)
    if held is not None:
        return held
    draws = threading.Event()
    parts = [_stacked(part) for part in _parts(loader, rows, rows, threads, draws)]
    held = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
    # An example that could not be read may be readable at the next start.
    same = not draws.is_set() and held["mask"].all() and kept == decoded_splits.place(loader)
    if kept is not None and same:
        decoded_splits.keep(kept, held)
    return held


def batch(loader: Loader, positions: np.ndarray, rows: np.ndarray, threads: int = 8) -> Example:
    """Loads a batch, with `index`, `row` and `mask`.

    Args:
      loader: the loader of the split.
      positions: the examples' positions in the run's order, `(b,)`.
      rows: their rows in the source, `(b,)`.
      threads: the number of threads that load examples.

    Raises:
      CorruptExample: an example cannot be read or decoded, and the loader does not skip it.
      UnfitExample: the preprocessing fails on an example.
    """
    parts = _parts(loader, positions, rows, threads, threading.Event())
    return loader.batch([example for part in parts for example in part])


def taken(loader: Loader, held: Mapping[str, np.ndarray], batch: Example) -> Example:
    """Returns a batch of a split that `load_all` has loaded.

    Args:
      loader: the loader of the split.
      held: the arrays of the split.
      batch: `index`, `row` and `mask` of its examples, `(b,)`.

    Raises:
      UnfitExample: a group of graphs exceeds its budget.
    """
    if loader.budget is None:
        found = {name: values[batch["row"]] for name, values in held.items()}
        return {**found, **batch, "mask": batch["mask"] * found["mask"]}
    examples = []
    for index, row, mask in zip(*(batch[name].tolist() for name in PLACE)):
        own = graphs_in_memory.example(loader.budget, held, row) if mask else loader.padding(index)
        examples.append({**own, **place(index, row, mask * own["mask"])})
    return loader.batch(examples)


def _stacked(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    kept = [name for name in examples[0] if name not in ("index", "row")]
    return {name: np.stack([example[name] for example in examples]) for name in kept}


def _parts(
    loader: Loader,
    positions: np.ndarray,
    rows: np.ndarray,
    threads: int,
    draws: threading.Event,
) -> Iterator[list[Example]]:
    """Yields the loaded examples in order, some at a time; sets `draws` if preprocessing draws."""

    def load(start: int) -> list[Example]:
        chosen = slice(start, start + PART)
        places = list(zip(positions[chosen].tolist(), rows[chosen].tolist()))
        reading = _reading_at_once(loader, [row for _, row in places])
        found = None if draws.is_set() else _with_one_generator(reading, places, draws)
        return [reading.load(*place) for place in places] if found is None else found

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(load, range(0, len(rows), PART))


def _with_one_generator(
    loader: Loader, places: Sequence[tuple[int, int]], draws: threading.Event
) -> list[Example] | None:
    """Loads examples with one generator; returns None if each needs its own, or if one fails."""
    generator = rng.host_generator(loader.seed, "preprocess", places[0][0])
    before = _state(generator)
    try:
        found = [loader.load(*place, generator) for place in places]
    except Exception:
        # The draws of the example's own generator may not fail, or else say what fails.
        found = None
    if _state(generator) != before:
        draws.set()
        return None
    return found


def _state(generator: np.random.Generator) -> bytes:
    return pickle.dumps(generator.bit_generator.state)


def _reading_at_once(loader: Loader, rows: Sequence[int]) -> Loader:
    """Returns a loader whose records at some rows are read already, if the source can do that."""
    several = getattr(loader.source.records, "several", None)
    if several is None:
        return loader
    try:
        held = dict(zip(rows, several(rows)))
    except (CorruptExample, OSError):
        # Reading one after the other shows which record is damaged.
        return loader
    return loader._replace(source=loader.source._replace(records=held))
