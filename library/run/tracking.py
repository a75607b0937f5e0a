"""Copies of a run's rows for TensorBoard and, if the config asks, Weights & Biases.

TensorBoard also gets the run's hyperparameters, images and texts, and histograms of params.

If one of them fails, a warning says so, and the run continues without it.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from library.config import check_choice, plain
from library.reporting import runs
from library.run.parameter_updates import Histogram, ParameterUpdates
from library.run.sections import Recipe

# Arguments of `wandb.init` that a config may set; the others follow from the workdir.
_KNOWN = ("project", "entity", "name", "group", "tags", "notes", "mode")
# Seconds between two flushes of events to the disk.
_FLUSHED_EVERY = 30.0
# It warns of each value that is not finite, and a class that does not occur has no IoU.
logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)


def read(asked: Mapping[str, Any] | str) -> dict[str, Any]:
    """Returns the arguments of `wandb.init` that a config gives; a string is the project.

    Raises:
      ConfigError: an argument is unknown.
    """
    options = {"project": asked} if isinstance(asked, str) else dict(asked)
    for name in options:
        check_choice("argument of wandb", name, _KNOWN)
    return options


class Setting(NamedTuple):
    """A run's hyperparameters.

    Attributes:
      values: the config.
      metrics: the metrics by which TensorBoard compares runs, such as "test/accuracy".
    """

    values: Mapping[str, Any]
    metrics: tuple[str, ...]


def setting(recipe: Recipe) -> Setting:
    """Returns the hyperparameters of a recipe, and its metric: claimed, kept best, or the loss."""
    stated = (recipe.reported or {}).get("metric") or recipe.checkpoint.get("best")
    return Setting(plain(dataclasses.asdict(recipe)), (stated or "train/loss",))


class Events:
    """The TensorBoard events of a run, with a new file for each start."""

    def __init__(
        self,
        workdir: Path,
        *,
        resumed_at: int,
        warn: Callable[[str], None],
        setting: Setting | None = None,
    ):
        """Opens the file; TensorBoard drops the events of earlier files after `resumed_at`.

        Args:
          workdir: the run's directory.
          resumed_at: number of steps that the restored state has done.
          warn: shows a warning if events cannot be written.
          setting: the run's hyperparameters.
        """
        self._warn, self._flushed = warn, 0.0
        self._file: EventsWriter | None = None
        with self._stop_on_error():
            # The suffix keeps a restart within the same second from overwriting the earlier file.
            self._file = EventsWriter(str(Path(workdir) / "events"), f".{resumed_at}")
            self._add(Event(file_version="brain.Event:2"), resumed_at + 1)
            begun = SessionLog(status=SessionLog.START)
            self._add(Event(session_log=begun), resumed_at + 1)
            for each in _hparams(setting) if setting else ():
                self._add(Event(summary=each), resumed_at + 1)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a row of metrics."""
        with self._stop_on_error():
            for name, value in metrics.items():
                # A metric may be NaN, such as a precision without examples; that is no warning.
                number = Summary.Value(tag=name, simple_value=float(value))
                self._add(Event(summary=Summary(value=[number])), step)
            if time.monotonic() - self._flushed > _FLUSHED_EVERY and self._file is not None:
                self._file.flush()
                self._flushed = time.monotonic()

    def write_samples(self, step: int, samples: Mapping[str, Path]) -> None:
        """Adds images and texts, the contents of .png and .txt files, by name."""
        with self._stop_on_error():
            for name, path in samples.items():
                picture = path.suffix == ".png"
                made = _image(name, path.read_bytes()) if picture else _text(name, path)
                self._add(Event(summary=made), step)

    def write_updates(self, step: int, updates: ParameterUpdates) -> None:
        """Adds a histogram of each leaf of the params and of its update."""
        with self._stop_on_error():
            for kind, histograms in updates._asdict().items():
                for path, histogram in histograms.items():
                    self._add(Event(summary=_histogram(f"{kind}/{path}", histogram)), step)

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


def _hparams(setting: Setting) -> tuple[Summary, ...]:
    leaves = runs.flatten(setting.values)
    shown = {k: v if isinstance(v, (bool, int, float)) else str(v) for k, v in leaves.items()}
    # The third summary would say that the run has ended.
    return summary.hparams(shown, dict.fromkeys(setting.metrics))[:2]


def _image(name: str, png: bytes) -> Summary:
    # The header chunk of a PNG begins with the width and the height, at byte 16.
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=name, image=image)])


def _text(name: str, path: Path) -> Summary:
    # TensorBoard reads Markdown; as code, a text keeps its lines and signs.
    lines = path.read_text(encoding="utf-8").splitlines()
    return summary.text(name, "\n".join(f"    {line}" for line in lines))


def _histogram(name: str, made: Histogram) -> Summary:
    # TensorBoard knows a bin by its upper end: an empty first bin gives the lowest one.
    return summary.histogram_raw(
        name,
        min=float(made.edges[0]),
        max=float(made.edges[-1]),
        num=int(np.sum(made.counts)),
        sum=float(made.total),
        sum_squares=float(made.squares),
        bucket_limits=made.edges.tolist(),
        bucket_counts=[0, *made.counts.tolist()],
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
