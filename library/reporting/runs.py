"""Reads the files of a workdir into plain types.

config.json and metrics.jsonl exist from the first step. The other files appear when a run evaluates
or ends; it is not an error if they are missing.
"""

import json
import math
import os
import re
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from library import files
from library.config import ConfigError
from library.reporting import claims, notation

_NO_METRICS = ("step", "wall_time", "epoch")
_RATES = ("per_second", "seconds_per_step", "flops_utilization")


class Run(NamedTuple):
    """The text files of a workdir; `notes` states problems of the files."""

    path: Path
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    notes: tuple[str, ...]


Curve = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


def read_run(workdir: str | os.PathLike) -> Run:
    """Reads config.json, metrics.jsonl and, if it exists, summary.json.

    Raises:
      ConfigError: the folder is not a workdir (the message names the missing file), or a file is
        damaged.
    """
    path = Path(workdir)
    if not path.is_dir():
        what = "it is a file" if path.is_file() else "there is no such folder"
        raise ConfigError(f"{path} is not a workdir: {what}")
    for name in ("config.json", "metrics.jsonl"):
        if not (path / name).is_file():
            raise ConfigError(f"{path} is not a workdir: it has no {name}")
    rows, damaged = read_rows(path / "metrics.jsonl")
    summary = files.read_json(path / "summary.json") if (path / "summary.json").is_file() else {}
    notes = (f"metrics.jsonl: {said_of(damaged)} left out",) if damaged else ()
    return Run(path, files.read_json(path / "config.json"), rows, summary, notes)


class Rows(NamedTuple):
    """The rows of metrics.jsonl, and the numbers of its damaged lines."""

    rows: list[dict[str, Any]]
    damaged: dict[int, bytes]


def read_rows(path: Path) -> Rows:
    """Reads a file with one JSON object on each line, each with a whole "step".

    A power failure or a full disk may leave a damaged line. The other lines are still read. A null
    value stands for a value that is not finite, and becomes nan.
    """
    if not path.is_file():
        return Rows([], {})
    lines = path.read_bytes().split(b"\n")
    numbered = {n: line for n, line in enumerate(lines, 1) if line.strip()}
    try:
        # One call of the C parser is several times faster than one call per line.
        rows = json.loads(b"[" + b",".join(numbered.values()) + b"]")
        if len(rows) == len(numbered) and all(map(_is_row, rows)):
            return Rows([*map(_with_nan, rows)], {})
    except (ValueError, RecursionError):
        pass
    found = {n: _row(line) for n, line in numbered.items()}
    damaged = {n: numbered[n] for n, row in found.items() if row is None}
    return Rows([_with_nan(row) for row in found.values() if row is not None], damaged)


def said_of(damaged: Mapping[int, bytes]) -> str:
    """Returns the numbers of damaged lines and a verb, such as "lines 3, 5 are no rows and are"."""
    several, numbers = len(damaged) > 1, [f"{n:,}" for n in damaged]
    which = ", ".join(numbers[:8]) + (f" and {len(numbers) - 8} more" if numbers[8:] else "")
    return f"lines {which} are no rows and are" if several else f"line {which} is no row and is"


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if _is_row(row) else None


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and type(row.get("step")) is int


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    measured = row.keys() - {"wall_time"}
    return {k: math.nan if v is None and k in measured else v for k, v in row.items()}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads an .npz file of plain arrays; returns an empty dict if the file does not exist.

    Raises:
      ConfigError: the file is damaged or contains Python objects.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not an archive of plain arrays: {error}") from error


def curves(rows: Sequence[Mapping[str, Any]], only: set[str] | None = None) -> dict[str, Curve]:
    """Collects the steps and values of each metric; a repeated step keeps its last value."""
    points: dict[str, dict[int, float]] = {}
    for row in rows:
        for key in row if only is None else only & row.keys():
            value = row[key]
            if is_metric(key) and type(value) in (int, float):
                points.setdefault(key, {})[row["step"]] = value
    return {key: _sorted_arrays(values) for key, values in points.items()}


def _sorted_arrays(values):
    steps = sorted(values)
    return np.array(steps, float), np.array([values[step] for step in steps], float)


def is_metric(key: str) -> bool:
    """Returns whether a key is a metric, and not a position or a speed of the run."""
    name = notation.metric_name(key)
    return name not in _NO_METRICS and not any(r in name for r in _RATES)


def throughput(run: Run) -> Curve:
    """Returns elapsed seconds and examples per second, logged or computed from steps and time."""
    clock = _elapsed(run.rows)
    keys = sorted({k for row in run.rows for k in row if k.endswith("examples_per_second")})
    if keys:
        pairs = [(t, row[keys[-1]]) for t, row in zip(clock, run.rows) if keys[-1] in row]
    else:
        batch_size = find(run.config, "dataset.batch_size") or find(run.config, "batch_size")
        pairs = _differences(clock, run.rows, batch_size) if batch_size else []
    pairs = [(t, r) for t, r in pairs if math.isfinite(t) and isinstance(r, (int, float))]
    seconds, rates = np.array(pairs, float).reshape(-1, 2).T
    return seconds, rates


def _elapsed(rows):
    """Adds up the parts of a run's clock, which starts again when the run resumes."""
    times, offset, last = [], 0.0, 0.0
    for row in rows:
        time = row.get("wall_time")
        time = float(time) if isinstance(time, (int, float)) else last
        if time < last:
            offset += last
        last = time
        times.append(offset + time)
    return times


def _differences(clock, rows, batch_size):
    steps = [row["step"] for row in rows]
    moves = zip(clock, clock[1:], steps, steps[1:])
    return [(t, (s - r) * batch_size / (t - u)) for u, t, r, s in moves if t > u and s > r]


def elapsed(run: Run) -> float | None:
    """Returns the seconds that a run has taken, or None if no file states them."""
    if "wall_time" in run.summary:
        return run.summary["wall_time"]
    return _elapsed(run.rows)[-1] if run.rows else None


def steps(run: Run) -> int:
    """Returns the number of steps that a run has done."""
    return run.summary.get("steps") or max((row["step"] for row in run.rows), default=0)


def length_notes(run: Run) -> list[str]:
    """Returns a sentence about an early stop, and one about each time the run was prolonged."""
    early = run.summary.get("stopped_early")
    lines = [notation.stopped_early(early)] if early else []
    return [*lines, *(entry["said"] for entry in find(run.config, "_config.prolonged") or ())]


def steps_per_epoch(run: Run) -> float | None:
    """Returns the steps of an epoch from logged epochs or the run's length, or None."""
    for row in reversed(run.rows):
        epoch = row.get("train/epoch", row.get("epoch"))
        if type(epoch) in (int, float) and epoch > 0 and row["step"] > 0:
            return row["step"] / epoch
    total = re.fullmatch(r"\s*([\d_.]+)\s*epochs?\s*", str(run.config.get("total", "")))
    whole = run.summary.get("status") == "finished" and not run.summary.get("stopped_early")
    done = run.summary.get("steps") if whole else None
    return done / float(total[1].replace("_", "")) if total and done else None


def final_metrics(run: Run) -> dict[str, float]:
    """Returns the last value of every metric."""
    logged = {k: float(v[1][-1]) for k, v in curves(run.rows).items()}
    return logged | _values(run.summary.get("metrics"))


def best_metrics(run: Run) -> dict[str, float]:
    """Returns the best value of each metric that has a direction, on data not trained on."""
    found = {key: list(values) for key, (_, values) in curves(run.rows).items()}
    for stated in (run.summary.get("metrics"), run.summary.get("best")):
        for key, value in _values(stated).items():
            found.setdefault(key, []).append(value)
    modes = {key: direction(run.config, key) for key in found if not key.startswith("train/")}
    return {key: notation.best_of(key, found[key], mode) for key, mode in modes.items() if mode}


def direction(config: Mapping[str, Any], metric: str | None) -> notation.Direction | None:
    """Returns whether the best value of a run's metric is its "max" or "min", or None.

    A config may state it for the metric whose best checkpoint is kept.
    """
    if metric is None:
        return None
    stated = find(config, "checkpoint.mode") if find(config, "checkpoint.best") == metric else None
    # The known direction has priority, because earlier runs kept the largest loss as their best.
    return notation.direction(metric) or stated


def _values(metrics: Any) -> dict[str, float]:
    pairs = metrics.items() if isinstance(metrics, Mapping) else ()
    pairs = [(k, v.get("value") if isinstance(v, Mapping) else v) for k, v in pairs]
    return {k: float(v) for k, v in pairs if is_metric(k) and type(v) in (int, float)}


class Claim(NamedTuple):
    """The number that a config reports and the number that its run reached, each or None.

    `changed` names the overrides that change the recipe.
    """

    metric: str
    reported: float | None
    source: str | None
    ours: float | None
    changed: tuple[str, ...] = ()

    @property
    def gap(self) -> float | None:
        """Returns ours minus the reported value; None without both, or with a changed recipe."""
        known = None not in (self.ours, self.reported) and not self.changed
        gap = self.ours - self.reported if known else math.nan
        return gap if math.isfinite(gap) else None


def claim(run: Run) -> Claim | None:
    """Returns the claim of a run, or None if it has neither a claim nor a metric.

    A run without a claim has the metric whose best checkpoint is kept, or `telling_metric`.
    """
    stated = run.config.get("reported")
    stated = stated if isinstance(stated, Mapping) else {}
    result = run.summary.get("result")
    result = result if isinstance(result, Mapping) else {}
    metrics = final_metrics(run)
    kept = find(run.config, "checkpoint.best")
    telling = kept if kept in metrics else telling_metric(metrics)
    metric = stated.get("metric") or result.get("metric") or telling
    if metric is None:
        return None
    same = result.get("metric") == metric
    ours = result.get("value") if same else None
    reported = stated.get("value", result.get("reported") if same else None)
    source = stated.get("source", result.get("source") if same else None)
    changed = claims.changes(overrides(run.config), metric) if reported is not None else ()
    return Claim(metric, reported, source, metrics.get(metric) if ours is None else ours, changed)


def telling_metric(keys: Sequence[str] | Mapping[str, Any]) -> str | None:
    """Returns the metric that judges a run without a claim, of held-out data if possible."""

    def rank(key):
        split, name = notation.split_name(key), notation.metric_name(key)
        return (not split, split.startswith("train"), "accuracy" not in name, name != "loss", key)

    return min(keys, key=rank, default=None)


def find(config: Mapping[str, Any], path: str) -> Any:
    """Returns the value at a dotted path of nested mappings, or None."""
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Maps the dotted path of every leaf to its value, such as {"augment.0.name": "flip_lr"}."""
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(v, (Mapping, list)) for v in value):
        items = enumerate(value)
    else:
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for key, item in items:
        leaves |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def origin(config: Mapping[str, Any]) -> str:
    """Returns the config's file and variant, such as "configs/cifar/resnet.py:resnet18"."""
    stated = config.get("_config") or {}
    path, variant = str(stated.get("path") or ""), stated.get("variant")
    folder = path.rfind("/configs/")
    path = path[folder + 1 :] if path.startswith("/") and folder >= 0 else path
    return f"{path}:{variant}" if variant else path


def overrides(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that the command line set, by dotted path."""
    stated = (config.get("_config") or {}).get("overrides") or {}
    if not isinstance(stated, Mapping):
        pairs = [str(item).partition("=") for item in stated]
        stated = {key: value for key, _, value in pairs}
    cleaned = {re.sub(r"\[(\d+)\]", r".\1", str(key)): v for key, v in stated.items()}
    return {re.sub(r"^(--)?config\.", "", key): v for key, v in cleaned.items()}


def command(run: Run) -> str:
    """Returns the command of the run, or one that starts its config."""
    typed = run.summary.get("command") or find(run.config, "_config.command")
    if typed:
        return str(typed)
    parts = [f"python -m experiments.train --config={origin(run.config)}"]
    for key, value in overrides(run.config).items():
        path = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", key)
        parts.append(shlex.quote(f"--config.{path}={value}"))
    return " ".join(parts)


def status(run: Run) -> str:
    """Returns the status of the summary, such as "finished"; "unfinished" without a summary."""
    return str(run.summary.get("status") or "unfinished")
