"""The log of a run: metrics.jsonl and TensorBoard events, each logged step once."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import jax

from library import files
from library.reporting import runs
from library.run.parameter_updates import ParameterUpdates
from library.run.tracking import Events, Setting

DAMAGED = "metrics.damaged.jsonl"


class Logger:
    """Appends rows of metrics to a workdir; only the first process writes.

    Attributes:
      reached: `wall_time` of the last row of earlier starts, 0 if there is none.
      problem: a message about damaged rows of earlier starts, or None.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        resumed_at: int,
        warn: Callable[[str], None] = print,
        setting: Setting | None = None,
    ):
        """Opens the log, and drops the rows of steps that will run again.

        Damaged lines are moved to metrics.damaged.jsonl.

        Args:
          workdir: the run's directory.
          resumed_at: number of steps that the restored state has done.
          warn: shows a warning if TensorBoard events cannot be written.
          setting: what TensorBoard shows as the run's hyperparameters.

        Raises:
          OSError: metrics.jsonl cannot be written; `write` and `sync` raise it, too.
        """
        self.path = Path(workdir) / "metrics.jsonl"
        earlier, damaged = runs.read_rows(self.path)
        self.rows = [row for row in earlier if row["step"] <= resumed_at]
        times = [row.get("wall_time") for row in earlier]
        self.reached = next((t for t in reversed(times) if isinstance(t, (int, float))), 0.0)
        said = f"metrics.jsonl: {runs.said_of(damaged)} kept in {DAMAGED}"
        self.problem = said if damaged else None
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        if damaged:
            _keep(self.path.with_name(DAMAGED), damaged.values())
        files.write(self.path, "".join(files.to_json(row) + "\n" for row in self.rows))
        self._file = self.path.open("a", encoding="utf-8")
        self._events = Events(workdir, resumed_at=resumed_at, warn=warn, setting=setting)

    def write(self, step: int, wall_time: float, metrics: Mapping[str, float]) -> None:
        """Writes one row: the step, wall_time in seconds, and metrics named "split/metric"."""
        row = {"step": step, "wall_time": round(wall_time, 3), **metrics}
        self.rows.append(row)
        if not self._writes:
            return
        self._file.write(files.to_json(row) + "\n")
        self._file.flush()
        self._events.write(step, metrics)

    def write_samples(self, step: int, samples: Mapping[str, Path]) -> None:
        """Copies images and texts of an evaluation, .png and .txt files by name, to TensorBoard.

        They come before the row of their step. An evaluation that is repeated after that row, since
        only the summary is missing, has been copied before.
        """
        if self._writes and (not self.rows or self.rows[-1]["step"] < step):
            self._events.write_samples(step, samples)

    def write_updates(self, step: int, updates: ParameterUpdates) -> None:
        """Sends histograms of params and updates to TensorBoard."""
        if self._writes:
            self._events.write_updates(step, updates)

    def sync(self) -> None:
        """Forces all rows to the disk: a checkpoint must not be newer than its rows."""
        if self._writes:
            os.fsync(self._file.fileno())

    def last(self, metric: str) -> float | None:
        """Returns the newest value of a metric."""
        return next((row[metric] for row in reversed(self.rows) if metric in row), None)

    def close(self) -> None:
        """Closes both files."""
        if self._writes:
            self._file.close()
            self._events.close()


def _keep(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)
        file.flush()
        # The caller removes the lines from metrics.jsonl next.
        os.fsync(file.fileno())
