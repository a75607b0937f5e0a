"""Windows of many series with marked anomalies: the steps before each step, and the step itself.

A name is "windows/32x1/nab", see library/data/series_windows.py for other windows. The forms are
those of NAB (Lavin & Ahmad 2015, "Evaluating real-time anomaly detection algorithms"):

- The first 15 % of a series, and at most 750 steps, are for training and are not scored.
- Each channel of a series is standardized by that part of the series.
"""

import dataclasses
import operator
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from library.config import ConfigError
from library.data import splits
from library.data.series_windows import Asked

SHARE, MOST = 0.15, 750


@dataclasses.dataclass(frozen=True)
class CorpusWindows:
    """Windows of several series as examples, one for each step that is to be forecast.

    An example has `series`, float32 (known, d); `target`, float32 (d,), the step after them;
    `anomaly`, whether this step is marked; `scored`, whether a detection there counts; `place`, the
    numbers of its series and of the step. The first step stands for what was before the series.

    Attributes:
      values: the standardized series one after the other, each after `known` times its first step.
      starts: the first known step of each window in `values`, (n,).
      known: steps that are known.
      anomaly: the marks (n,).
      scored: 0 for steps in the first part of a series, else 1, (n,).
      place: number of the series and of the step, (n, 2).
    """

    values: Float32[np.ndarray, "t d"]
    starts: Int[np.ndarray, " n"]
    known: int
    anomaly: Int32[np.ndarray, " n"]
    scored: Int32[np.ndarray, " n"]
    place: Int32[np.ndarray, "n 2"]
    kinds: ClassVar[dict[str, str]] = {
        "series": "series",
        "target": "target",
        "anomaly": "array",
        "scored": "array",
        "place": "array",
    }

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> dict:
        row = operator.index(row)
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        start = self.starts[row]
        now = start + self.known
        known, target = self.values[start:now], self.values[now]
        marks = {name: getattr(self, name)[row] for name in ("anomaly", "scored", "place")}
        return {"series": known, "target": target, **marks}


def probation(length: int) -> int:
    """Returns the number of steps at the start of a series that are not scored."""
    return min(int(SHARE * length), MOST)


def cut(
    asked: Asked,
    series: Sequence[Float[np.ndarray, "_ d"]],
    anomalies: Sequence[Int[np.ndarray, " _"]],
    split: str,
) -> CorpusWindows:
    """Cuts the windows of "train", which are within the first parts, or of "test": of all steps.

    Args:
      asked: what the name asks for.
      series: the series.
      anomalies: the marks of each series.
      split: the split; its slices count windows.

    Raises:
      ConfigError: the split is malformed, empty or unknown, more than one step is to be forecast, a
        value is missing, or no series has a window for training.
    """
    if asked.ahead != 1:
        raise ConfigError(
            f"windows of {asked.known} + {asked.ahead} steps: each step of {asked.series} is "
            f"forecast by itself; nearest: 'windows/{asked.known}x1/{asked.series}'"
        )
    values, starts, trained, scored, places, begin = [], [], [], [], [], 0
    for number, steps in enumerate(series):
        if not np.isfinite(steps).all():
            raise ConfigError(f"{asked.series}: a value of series {number} is missing")
        first = probation(len(steps))
        values.append(np.repeat(steps[:1], asked.known, axis=0))
        values.append(steps)
        mean, std = steps[:first].mean(0, np.float64), steps[:first].std(0, np.float64)
        values[-2:] = [(part - mean) / np.where(std > 0, std, 1) for part in values[-2:]]
        step = np.arange(len(steps))
        starts.append(begin + step)
        trained.append((step >= asked.known) & (step < first))
        scored.append(step >= first)
        places.append(np.stack([np.full(len(steps), number), step], axis=1))
        begin += asked.known + len(steps)
    starts, place, scored = map(np.concatenate, (starts, places, scored))
    rows = {"train": np.flatnonzero(np.concatenate(trained)), "test": np.arange(len(starts))}
    if not len(rows["train"]):
        raise ConfigError(
            f"windows of {asked.known} + 1 steps: no series of {asked.series} has more in its "
            "first part"
        )
    counts = {part: len(chosen) for part, chosen in rows.items()}
    parts = splits.resolve(split, counts, f"windows of {asked.series}")
    chosen = np.concatenate([rows[part][first:last] for part, first, last in parts])
    return CorpusWindows(
        np.concatenate(values).astype(np.float32),
        starts[chosen],
        asked.known,
        np.concatenate(anomalies)[chosen].astype(np.int32),
        scored[chosen].astype(np.int32),
        place[chosen].astype(np.int32),
    )
