"""Runs that differ only in seed or fold, as one: means, deviations, and curves with a band."""

import itertools
import math
import re
import statistics
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from library.reporting.runs import Curve

Points = Float[np.ndarray, " n"]
Each = TypeVar("Each")


# The keys of a config in which repetitions of a recipe differ.
SEED, FOLD = "seed", "dataset.folds.fold"
REPEATED = (SEED, FOLD)


class Band(NamedTuple):
    """The curve of several seeds: steps, and the mean, least and greatest value at each step."""

    steps: Points
    mean: Points
    low: Points
    high: Points


class Spread(NamedTuple):
    """The mean of finite values, nan without any, and their sample standard deviation.

    The deviation is None for fewer than two values.
    """

    mean: float
    std: float | None


def together(runs: Sequence[tuple[Mapping[str, Any], Each]]) -> list[list[Each]]:
    """Groups runs whose configs differ only in seed and fold, in the order of their first run.

    Runs that share both are no repetitions: each of them stays alone.

    Args:
      runs: the flat config of each run, and the run.
    """
    groups: dict[Hashable, list[tuple[Any, Each]]] = {}
    for leaves, run in runs:
        rest = tuple(sorted((k, repr(v)) for k, v in leaves.items() if k not in REPEATED))
        groups.setdefault(rest, []).append((tuple(leaves.get(k) for k in REPEATED), run))
    found = []
    for members in groups.values():
        alike = len({own for own, _ in members}) < len(members)
        found += [[run] for _, run in members] if alike else [[run for _, run in members]]
    return found


def counted(several: Sequence[Mapping[str, Any]]) -> str:
    """Renders how many runs there are: "3 seeds", "10 folds", "10 folds x 3 seeds".

    Args:
      several: the flat config of each run.
    """
    seeds, folds = ({leaves.get(key) for leaves in several} - {None} for key in REPEATED)
    named = [(folds, "fold")] * bool(folds) + [(seeds, "seed")] * (len(seeds) > 1 or not folds)
    # Some runs may be missing.
    if math.prod(len(x) for x, _ in named) != len(several):
        return f"{len(several)} runs"
    return " x ".join(f"{len(x)} {name}{'' if len(x) == 1 else 's'}" for x, name in named)


def which(leaves: Mapping[str, Any]) -> str:
    """Renders which of several repetitions a run is: its seed, or "fold 3, seed 1"."""
    seed, fold = (leaves.get(key) for key in REPEATED)
    return str(seed) if fold is None else f"fold {fold}, seed {seed}"


def spread(values: Sequence[float]) -> Spread:
    """Returns the mean and the deviation of those values that are finite."""
    finite = [value for value in values if math.isfinite(value)]
    std = statistics.stdev(finite) if len(finite) > 1 else None
    return Spread(statistics.fmean(finite) if finite else math.nan, std)


def band(curves: Sequence[Curve]) -> Curve | Band:
    """Returns the mean of several curves, with a band, at the steps that all of them have."""
    if len(curves) == 1:
        return curves[0]
    shared = set.intersection(*(set(steps.tolist()) for steps, _ in curves))
    steps = np.array(sorted(shared), float)
    values = np.stack([v[np.isin(s, steps)] for s, v in curves])
    return Band(steps, values.mean(0), values.min(0), values.max(0))


def name(names: Sequence[str]) -> str:
    """Returns what the names of several runs have in common at their beginning.

    Without a common beginning, it is the first name.
    """
    # A number is shared as a whole or not at all: run10 and run11 share "run".
    parts = zip(*(re.findall(r"\d+|\D", each) for each in names))
    shared = itertools.takewhile(lambda several: len(set(several)) == 1, parts)
    name = "".join(several[0] for several in shared).rstrip("/=_-. ")
    return re.sub(r"[/=_\-. ]+seed$", "", name) or names[0]
