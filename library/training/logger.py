"""metrics.jsonl and TensorBoard events: every logged step once, whatever happens in between."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from library import files
from library.training.tracking import Events


class Logger:
    """Appends rows of metrics to a workdir; of several processes only the first writes.

    Attributes:
      reached: `wall_time` of the last row that was there before, 0 if there was none.
    """

    def __init__(self, workdir: Path, *, resumed_at: int, warn: Callable[[str], None] = print):
        """Opens the log, and drops the rows of steps that will be run again.

        Args:
          workdir: the run's directory.
          resumed_at: updates done by the state that the run goes on from.
          warn: is told where TensorBoard's events cannot be written.

        Raises:
          OSError: metrics.jsonl cannot be written; `write` and `sync` raise it, too.
        """
        self.path = Path(workdir) / "metrics.jsonl"
        earlier = read_rows(self.path)
        self.rows = [row for row in earlier if row["step"] <= resumed_at]
        self.reached = earlier[-1].get("wall_time", 0.0) if earlier else 0.0
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        files.write(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
        self._file = self.path.open("a")
        self._events = Events(workdir, resumed_at=resumed_at, warn=warn)

    def write(self, step: int, wall_time: float, metrics: Mapping[str, float]) -> None:
        """Writes one row: step, wall_time in seconds, and metrics named "split/metric"."""
        row = {"step": step, "wall_time": round(wall_time, 3), **metrics}
        self.rows.append(row)
        if not self._writes:
            return
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        self._events.write(step, metrics)

    def sync(self) -> None:
        """Brings all rows to the disk: a checkpoint must not be newer than its rows."""
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


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads metrics.jsonl; a last line that was cut short by a kill is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
