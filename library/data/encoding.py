"""Encoding large texts in jobs, which several processes do at once."""

import itertools
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np

from library.config import ConfigError
from library.data import large_texts, pipeline
from library.data.large_texts import LargeDocument
from library.data.sources import Source
from library.data.tokenizers import Tokenizer

# Documents of a job if their lengths are unknown.
_ROWS = 64
# Starting processes takes seconds, so less work than this is done in this process.
_WORTH_PROCESSES = 20.0


class Job(NamedTuple):
    """A part of a text.

    Attributes:
      first: the first document.
      last: the document after the last one.
      start: the first character of the only document.
      stop: the character of it after the last one; None for whole documents.
      weight: how much work it is: characters, or documents if their lengths are unknown.
    """

    first: int
    last: int
    start: int = 0
    stop: int | None = None
    weight: int = 1


class Encoded(NamedTuple):
    """The tokens of a job, int32 `(t,)`, and the number of them in each document, by row."""

    tokens: np.ndarray
    counts: list[tuple[int, int]]


# (documents, row) -> the text of a document that is not large.
Reader = Callable[[Source, int], str]


def jobs(documents: Source, tokenizer: Tokenizer) -> list[Job]:
    """Divides a text into jobs of about a million characters, in order."""
    held = getattr(documents.records, "documents", None)
    if held is None:
        count = len(documents.records)
        starts = range(0, count, _ROWS)
        return [Job(i, min(i + _ROWS, count), weight=min(_ROWS, count - i)) for i in starts]
    found, first, weight = [], 0, 0
    for row, document in enumerate(held):
        apart = tokenizer.cut and document.can_seek and document.length > large_texts.PIECE
        if (apart or weight >= large_texts.PIECE) and first < row:
            found.append(Job(first, row, weight=weight))
            first, weight = row, 0
        if apart:
            found += _parts(row, document.length)
            first = row + 1
        else:
            weight += document.length
    if first < len(held):
        found.append(Job(first, len(held), weight=weight))
    return found


def encode(
    documents: Source,
    tokenizer: Tokenizer,
    parts: Sequence[Job],
    read: Reader,
    processes: int | None = None,
) -> Iterator[Encoded]:
    """Yields the tokens of jobs, in order.

    Args:
      documents: the text; picklable.
      tokenizer: the tokenizer.
      parts: the jobs.
      read: reads a document that is not large; picklable.
      processes: the number of processes; by default as many as there are CPUs, if that pays.

    Raises:
      ConfigError: a document has no text or is not UTF-8, or the tokenizer lacks a character. The
        message names the document.
    """
    task = _Task(documents, tokenizer, read)
    if processes is None:
        # The first job shows whether processes pay.
        started = time.monotonic()
        yield from map(task, parts[:1])
        left = (time.monotonic() - started) * (len(parts) - 1)
        parts = parts[1:]
        processes = _cpus() if left > _WORTH_PROCESSES else 1
    if processes == 1:
        yield from map(task, parts)
    else:
        yield from _spread(task, parts, min(processes, max(len(parts), 1)))


class _Task(NamedTuple):
    """Encodes jobs of a text."""

    documents: Source
    tokenizer: Tokenizer
    read: Reader

    def __call__(self, job: Job) -> Encoded:
        parts, counts = [np.zeros(0, np.int32)], []
        for row in range(job.first, job.last):
            try:
                found = [self.tokenizer.encode(text) for text in self._texts(row, job)]
            except ConfigError as error:
                name = self.documents.describe(row)
                raise ConfigError(
                    str(error) if name in str(error) else f"{name}: {error}"
                ) from error
            parts += found
            counts.append((row, sum(map(len, found))))
        return Encoded(np.concatenate(parts), counts)

    def _texts(self, row: int, job: Job) -> Iterator[str]:
        held, cut = getattr(self.documents.records, "documents", None), self.tokenizer.cut
        if held is None or not isinstance(held[row], LargeDocument) or cut is None:
            yield self.read(self.documents, row)
        elif job.stop is None:
            yield from large_texts.pieces(held[row], cut)
        else:
            ends = (large_texts.cut_at(held[row], each, cut) for each in (job.start, job.stop))
            yield held[row].read(*ends)


def _cpus() -> int:
    # Not all systems tell which CPUs this process may use.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _parts(row: int, length: int) -> list[Job]:
    bounds = [*range(0, length, large_texts.PIECE), length]
    return [Job(row, row + 1, a, b, b - a) for a, b in itertools.pairwise(bounds)]


_task: _Task | None = None


def _begin(task: _Task) -> None:
    global _task
    pipeline.live_with_parent()
    _task = task


def _do(job: Job) -> Encoded:
    return _task(job)


def _spread(task: _Task, parts: Sequence[Job], processes: int) -> Iterator[Encoded]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _begin, (task,))
    waiting: deque = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(_do, part))
            # A few ahead of the file, so that the results of a fast process wait for a slow one.
            if len(waiting) > 4 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ConfigError(
            "a process that encodes the text has died, maybe for lack of memory; the next start "
            "continues where this one ends"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
