"""The result of several seeds or folds of one recipe: sweep.json of their common folder."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from library import files
from library.config import ConfigError, nearest
from library.reporting import notation, runs, seeds
from library.reporting.runs import Run

FILE = "sweep.json"


class Member(NamedTuple):
    """One run of a sweep.

    Attributes:
      name: the name of its workdir below the folder of the sweep.
      seed: its seed.
      fold: its fold, or None.
      code: the exit code of its last start; 0 if it has finished.
    """

    name: str
    seed: int
    fold: int | None
    code: int


def summary(root: Path, members: Sequence[Member], metric: str | None) -> dict[str, Any]:
    """Returns the result of the finished runs of a sweep as plain values.

    `mean`, `std`, `count`, `min` and `max` are of the metric's last values that are finite. `curve`
    has mean and deviation after each evaluation, and `best_mean` is the best of these means, which
    Xu et al. 2019, "How powerful are graph neural networks?", report of ten folds. A curve counts
    evaluations and not steps, because folds may differ in the steps of an epoch. It is None if the
    runs have evaluated differently often.

    Args:
      root: the folder of the workdirs.
      members: the runs.
      metric: the metric; None for the one that the recipe claims.

    Raises:
      ConfigError: the finished runs do not measure the metric.
    """
    told = {m.name: {"seed": m.seed, "fold": m.fold, "exit_code": m.code} for m in members}
    finished = {m.name: runs.read_run(root / m.name) for m in members if m.code == 0}
    if not finished:
        return {"metric": metric, "count": 0, "runs": told}
    first = next(iter(finished.values()))
    metric = metric or _metric(first)
    for name, run in finished.items():
        told[name]["value"] = _value(run, metric)
    known = [x["value"] for x in told.values() if math.isfinite(x.get("value", math.nan))]
    return {
        "metric": metric,
        **_spread(known),
        "min": min(known, default=None),
        "max": max(known, default=None),
        "best_mean": best_mean(list(finished.values()), metric),
        "reported": _reported(first, metric),
        "runs": told,
        "curve": _curve(list(finished.values()), metric),
    }


def lines(made: Mapping[str, Any]) -> list[str]:
    """Renders the result of a sweep, a line for each fact."""
    metric = made["metric"]
    lost = [k for k, x in made["runs"].items() if not math.isfinite(x.get("value", 0.0))]
    found = [f"{name} is left out: its {metric} is not finite" for name in lost]
    if not made["count"]:
        return [*found, "no run has finished with a result"]
    shown = notation.shown(metric, made["mean"], made["std"])
    least, most = (notation.shown(metric, made[key]) for key in ("min", "max"))
    several = [x for x in made["runs"].values() if math.isfinite(x.get("value", math.nan))]
    number = seeds.counted([{seeds.SEED: x["seed"], seeds.FOLD: x["fold"]} for x in several])
    found.append(f"{metric} {shown} over {number}, from {least} to {most}")
    if best := made["best_mean"]:
        shown = notation.shown(metric, best["mean"], best["std"])
        found.append(f"best mean {shown}, after evaluation {best['evaluation']}")
    if (reported := made["reported"]) is not None:
        found.append(f"reported {notation.shown(metric, reported)}")
    return found


def best_mean(several: Sequence[Run], metric: str) -> dict[str, Any] | None:
    """Returns the best mean over all evaluations, its deviation, and the evaluation, from 1.

    It is None if the runs have evaluated differently often, or if no direction is the better one.

    Args:
      several: the runs.
      metric: the metric.
    """
    curve, mode = _curve(several, metric), runs.direction(several[0].config, metric)
    known = enumerate(curve["mean"] if curve else ())
    known = [(value, at) for at, value in known if math.isfinite(value)]
    if mode is None or not known:
        return None
    value, at = max(known, key=lambda x: (x[0] if mode == "max" else -x[0], -x[1]))
    return {"evaluation": at + 1, "mean": value, "std": curve["std"][at]}


def workdirs(folder: Path) -> list[Path]:
    """Returns the workdirs of a sweep, or the folder itself if it is no sweep.

    Raises:
      ConfigError: a run of the sweep has not finished.
    """
    if not (folder / FILE).is_file():
        return [folder]
    known = files.read_json(folder / FILE)["runs"]
    missing = [name for name, each in known.items() if "value" not in each]
    if missing:
        raise ConfigError(f"{folder}: {missing[0]} has not finished: run the sweep again")
    return [folder / name for name in known]


def command(folder: Path) -> str | None:
    """Returns the command of the sweep in a folder, or None if there is none."""
    if not (folder / FILE).is_file():
        return None
    return (files.read_json(folder / FILE).get("_config") or {}).get("command")


def _metric(run: Run) -> str:
    claim = runs.claim(run)
    if claim is None:
        raise ConfigError(f"{run.path} has measured nothing: its recipe needs an evaluator")
    return claim.metric


def _value(run: Run, metric: str) -> float:
    measured = runs.final_metrics(run)
    if metric not in measured:
        raise ConfigError(f"{run.path} has no {metric!r}: {nearest(metric, sorted(measured))}")
    return measured[metric]


def _spread(values: Sequence[float]) -> dict[str, Any]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": std,
        "count": len(values),
    }


def _curve(several: Sequence[Run], metric: str) -> dict[str, Any] | None:
    """Returns the mean and the deviation after each evaluation."""
    curves = [runs.curves(run.rows, only={metric}).get(metric) for run in several]
    if any(c is None for c in curves) or len({len(values) for _, values in curves}) != 1:
        return None
    each = [_spread([float(x) for x in at]) for at in zip(*(values for _, values in curves))]
    return {key: [at[key] for at in each] for key in ("mean", "std")}


def _reported(run: Run, metric: str) -> float | None:
    claim = runs.claim(run)
    if claim is None or claim.metric != metric or claim.changed:
        return None
    return claim.reported
