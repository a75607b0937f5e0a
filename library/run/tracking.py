"""Copies of the rows of metrics.jsonl for TensorBoard and, if the config asks, Weights & Biases.

If one of them fails, a warning says so, and the run continues without it.
"""

import contextlib
import hashlib
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from library.config import check_choice

# Arguments of `wandb.init` that a config may set; the others follow from the workdir.
_KNOWN = ("project", "entity", "name", "group", "tags", "notes", "mode")
# Seconds between two flushes of events to the disk.
_FLUSHED_EVERY = 30.0


def read(asked: Mapping[str, Any] | str) -> dict[str, Any]:
    """Returns the arguments of `wandb.init` that a config gives; a string is the project.

    Raises:
      ConfigError: an argument is unknown.
    """
    options = {"project": asked} if isinstance(asked, str) else dict(asked)
    for name in options:
        check_choice("argument of wandb", name, _KNOWN)
    return options


class Events:
    """The TensorBoard events of a run, with a new file for each start."""

    def __init__(self, workdir: Path, *, resumed_at: int, warn: Callable[[str], None]):
        """Opens the file; TensorBoard drops the events of earlier files after `resumed_at`.

        Args:
          workdir: the run's directory.
          resumed_at: number of steps that the restored state has done.
          warn: shows a warning if events cannot be written.
        """
        self._warn, self._flushed = warn, 0.0
        self._file: EventsWriter | None = None
        with self._stop_on_error():
            # The suffix keeps a restart within the same second from overwriting the earlier file.
            self._file = EventsWriter(str(Path(workdir) / "events"), f".{resumed_at}")
            self._add(Event(file_version="brain.Event:2"), resumed_at + 1)
            begun = SessionLog(status=SessionLog.START)
            self._add(Event(session_log=begun), resumed_at + 1)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a row of metrics."""
        with self._stop_on_error():
            for name, value in metrics.items():
                self._add(Event(summary=summary.scalar(name, value)), step)
            if time.monotonic() - self._flushed > _FLUSHED_EVERY and self._file is not None:
                self._file.flush()
                self._flushed = time.monotonic()

    def close(self) -> None:
        """Flushes all events to the disk and closes the file."""
        with self._stop_on_error():
            if self._file is not None:
                self._file.close()
                self._file = None

    def _add(self, event: Event, step: int) -> None:
        if self._file is not None:
            event.wall_time, event.step = time.time(), step
            self._file.write_event(event)

    @contextlib.contextmanager
    def _stop_on_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._file = None
            self._warn(
                f"TensorBoard events cannot be written; the run continues without them: {error}"
            )


class Tracker:
    """Sends every row of metrics to a run of Weights & Biases, if the config asks for one."""

    def __init__(
        self,
        asked: Mapping[str, Any] | str | None,
        workdir: Path,
        values: Mapping[str, Any],
        warn: Callable[[str], None],
    ):
        """Starts the run of Weights & Biases, or resumes that of the same workdir.

        Args:
          asked: arguments of `wandb.init`, or the project; None for no tracking.
          workdir: the run's directory.
          values: the run's config.
          warn: shows a warning if the tracking fails.

        Raises:
          ConfigError: an argument is unknown.
        """
        self._run, self._warn = None, warn
        if asked is None or jax.process_index():
            return
        workdir = Path(workdir).absolute()
        options = {"name": workdir.name, "dir": str(workdir), **read(asked)}
        identifier = hashlib.sha256(str(workdir).encode()).hexdigest()[:16]
        try:
            wandb = importlib.import_module("wandb")
            self._run = wandb.init(
                id=identifier, resume="allow", config=dict(values), reinit=True, **options
            )
        except ImportError:
            warn("wandb is not installed: rows go only to metrics.jsonl and TensorBoard")
        except Exception as error:
            warn(f"wandb did not start: rows go only to metrics.jsonl and TensorBoard: {error}")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Sends a row of metrics."""
        self._call(lambda run: run.log(dict(metrics), step=step))

    def close(self) -> None:
        """Ends the run of Weights & Biases."""
        self._call(lambda run: run.finish())
        self._run = None

    def _call(self, what: Callable[[Any], object]) -> None:
        if self._run is None:
            return
        try:
            what(self._run)
        except Exception as error:
            self._run = None
            self._warn(f"wandb failed: rows now go only to metrics.jsonl and TensorBoard: {error}")
