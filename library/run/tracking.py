"""Who else is shown the rows of metrics.jsonl: TensorBoard, and Weights & Biases where asked for.

Neither is a part of the run: one that fails is left, with a warning, and the run goes on.
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

# What a run is started with may be named in the config; the rest follows from the workdir.
_KNOWN = ("project", "entity", "name", "group", "tags", "notes", "mode")
# Seconds between two times that events are brought to the disk.
_FLUSHED_EVERY = 30.0


def read(asked: Mapping[str, Any] | str) -> dict[str, Any]:
    """Returns the arguments of `wandb.init` that a config gives; a project may stand alone.

    Raises:
      ConfigError: an argument that is not known.
    """
    options = {"project": asked} if isinstance(asked, str) else dict(asked)
    for name in options:
        check_choice("argument of wandb", name, _KNOWN)
    return options


class Events:
    """TensorBoard's events, in a file of their own for every start of a run."""

    def __init__(self, workdir: Path, *, resumed_at: int, warn: Callable[[str], None]):
        """Opens the file; TensorBoard forgets the events after `resumed_at` of earlier ones.

        Args:
          workdir: of the run.
          resumed_at: updates done by the state that the run goes on from.
          warn: is told where events cannot be written.
        """
        self._warn, self._flushed = warn, 0.0
        self._file: EventsWriter | None = None
        with self._spared():
            # The suffix keeps a restart within the same second from overwriting the earlier file.
            self._file = EventsWriter(str(Path(workdir) / "events"), f".{resumed_at}")
            self._add(Event(file_version="brain.Event:2"), resumed_at + 1)
            begun = SessionLog(status=SessionLog.START)
            self._add(Event(session_log=begun), resumed_at + 1)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a row."""
        with self._spared():
            for name, value in metrics.items():
                self._add(Event(summary=summary.scalar(name, value)), step)
            if time.monotonic() - self._flushed > _FLUSHED_EVERY and self._file is not None:
                self._file.flush()
                self._flushed = time.monotonic()

    def close(self) -> None:
        """Brings all events to the disk and closes the file."""
        with self._spared():
            if self._file is not None:
                self._file.close()
                self._file = None

    def _add(self, event: Event, step: int) -> None:
        if self._file is not None:
            event.wall_time, event.step = time.time(), step
            self._file.write_event(event)

    @contextlib.contextmanager
    def _spared(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._file = None
            self._warn(
                f"TensorBoard's events cannot be written, from here on there are none: {error}"
            )


class Tracker:
    """Hands every row of metrics to a run of Weights & Biases; without one, to nobody."""

    def __init__(
        self,
        asked: Mapping[str, Any] | str | None,
        workdir: Path,
        values: Mapping[str, Any],
        warn: Callable[[str], None],
    ):
        """Starts the run, or takes up that of the same workdir.

        Args:
          asked: what `wandb.init` is given, or the project alone; None asks for nothing.
          workdir: of the run.
          values: its config.
          warn: is told why there is none, where there should be.

        Raises:
          ConfigError: as `read`.
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
            warn("wandb is not installed: rows go to metrics.jsonl and TensorBoard alone")
        except Exception as error:
            warn(f"wandb did not start, rows go to metrics.jsonl and TensorBoard alone: {error}")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hands over a row."""
        self._told(lambda run: run.log(dict(metrics), step=step))

    def close(self) -> None:
        """Ends the run."""
        self._told(lambda run: run.finish())
        self._run = None

    def _told(self, what: Callable[[Any], object]) -> None:
        if self._run is None:
            return
        try:
            what(self._run)
        except Exception as error:
            self._run = None
            self._warn(f"wandb failed, from here on rows go to metrics.jsonl alone: {error}")
