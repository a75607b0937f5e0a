"""A page that compares several runs: the differences of their configs, and their results."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from library import files
from library.config import ConfigError
from library.reporting import figures, notation, page, runs
from library.reporting.page import Html
from library.reporting.runs import Curve, Run

MAX_KEYS = 12
_SKIPPED_FOLDERS = ("checkpoints", "figures", "__pycache__")
_SKIPPED_KEYS = ("_config", "reported", "workdir")


class Entry(NamedTuple):
    """One run of the table; `leaves` maps dotted config keys to values."""

    name: str
    run: Run
    metric: str | None
    mode: notation.Direction | None
    leaves: dict[str, Any]
    curves: dict[str, Curve]
    best: float
    final: float


def compare(root: str | os.PathLike) -> Path:
    """Writes root/report.html: a table of all runs below a folder, and their curves overlaid.

    Runs are grouped by the metric that they claim and sorted by its best value. The page names runs
    whose files are damaged, states the reason, and leaves them out.

    Args:
      root: searched at any depth for folders with config.json and metrics.jsonl.

    Returns:
      The path of the page: a single file without scripts that loads nothing.

    Raises:
      ConfigError: there is no run below `root`, or none that can be read.
    """
    root = Path(root)
    entries, problems = [], []
    for path in find_workdirs(root):
        try:
            entries.append(_entry(root, runs.read_run(path)))
        except ConfigError as error:
            problems.append(str(error))
    if not entries:
        raise ConfigError(f"no run below {root} can be read: {problems[0]}")
    title = f"{len(entries)} run{'s' if len(entries) != 1 else ''} compared"
    notes = [page.tag("p", "Left out: ", problem, class_="note bad") for problem in problems]
    head = page.tag("header", page.tag("h1", title), page.tag("p", root, class_="under"), *notes)
    groups: dict[str | None, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.metric, []).append(entry)
    sections = [_section(metric, groups[metric]) for metric in sorted(groups, key=str)]
    return files.write(root / "report.html", page.render(title, head, *sections, width="broad"))


def find_workdirs(root: Path) -> list[Path]:
    """Lists the folders below `root` that contain a run.

    Raises:
      ConfigError: there is no such folder or no run in it, or it is the workdir of a single run,
        whose own report the comparison would replace.
    """
    if not root.is_dir():
        raise ConfigError(f"there is no folder {root}")
    if all((root / name).is_file() for name in ("config.json", "metrics.jsonl")):
        raise ConfigError(f"{root} is the workdir of one run: name the folder above it")
    found = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(n for n in below if n not in _SKIPPED_FOLDERS and n[0] != ".")
        if "config.json" in names and "metrics.jsonl" in names:
            found.append(Path(folder))
    if not found:
        raise ConfigError(f"no run below {root}: no folder has config.json and metrics.jsonl")
    return found


def _entry(root: Path, run: Run) -> Entry:
    claim = runs.claim(run)
    metric = claim.metric if claim else None
    shown = {metric, "train/loss"} - {None}
    curves = runs.curves(run.rows, only=shown)
    logged = list(curves[metric][1]) if metric in curves else []
    final = claim.ours if claim and claim.ours is not None else math.nan
    best = runs.best_metrics(run).get(metric, final)
    leaves = {
        key: value
        for name, part in run.config.items()
        if name not in _SKIPPED_KEYS
        for key, value in runs.flatten(part, name).items()
    }
    name = run.path.relative_to(root).as_posix()
    mode = runs.direction(run.config, metric)
    best = notation.best_of(metric or "", [*logged, best, final], mode)
    return Entry(name, run, metric, mode, leaves, curves, best, final)


def differing_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lists the keys whose values, or whose presence, differ between flat configs."""
    keys = dict.fromkeys(key for config in configs for key in config)
    unset = object()
    # repr distinguishes 1 from True and [1] from (1,), and works for unhashable values, too.
    return [k for k in keys if len({repr(config.get(k, unset)) for config in configs}) > 1]


def _section(metric: str | None, entries: Sequence[Entry]) -> Html:
    if metric is None:
        heading = "Runs without a metric so far"
    else:
        modes = {entry.mode for entry in entries}
        known = modes.pop() if len(modes) == 1 else None
        heading = f"{metric}{notation.direction_in_words(known)}"
    entries = sorted(entries, key=_rank)
    keys = differing_keys([entry.leaves for entry in entries])
    shown = keys[:MAX_KEYS]
    left_out = keys[MAX_KEYS:]
    note = page.tag("p", f"{len(left_out)} more keys differ: {', '.join(left_out)[:600]}")
    return page.section(
        heading,
        page.tag("p", _claims(entries), class_="under"),
        _overlay(metric, entries),
        _table(metric, entries, shown),
        note if left_out else "",
    )


def _rank(entry: Entry):
    value = entry.best if entry.mode == "min" else -entry.best
    return (math.isnan(value), value, entry.name)


def _claims(entries: Sequence[Entry]) -> str:
    stated = {}
    for entry in entries:
        claim = runs.claim(entry.run)
        if claim and claim.reported is not None:
            written = notation.shown(claim.metric, claim.reported)
            written = f"{written} ({claim.source})" if claim.source else written
            stated.setdefault(written, []).append(bool(claim.changed))
    of = {True: ", of the unchanged recipe", False: ""}
    shown = [f"{written}{of[all(changed)]}" for written, changed in stated.items()]
    return f"Reported: {'; '.join(shown)}" if shown else "No reported value."


def _table(metric: str | None, entries: Sequence[Entry], keys: Sequence[str]) -> Html:
    origins = {runs.origin(entry.run.config) for entry in entries}
    show_origin = len(origins) > 1
    header = ["run", *(["config"] if show_origin else []), *map(_breakable, keys)]
    first = len(header)
    header += ["best", "final", "parameters", "steps", "examples/s", "wall time", "status"]
    rows = [_row(metric or "", entry, keys, show_origin) for entry in entries]
    return page.table(header, rows, numeric=range(first, first + 6))


def _breakable(key: str) -> Html:
    return page.join(key.replace(".", ".\0").split("\0"), separator=page.tag("wbr"))


def _row(metric: str, entry: Entry, keys: Sequence[str], show_origin: bool) -> list[Any]:
    run = entry.run
    href = f"./{quote(entry.name)}/report.html"
    reported = (run.path / "report.html").is_file()
    name = page.tag("a", entry.name, href=href) if reported else entry.name
    values = [_cell(entry.leaves[key]) if key in entry.leaves else "" for key in keys]
    rate = run.summary.get("examples_per_second")
    if rate is None:
        rates = runs.throughput(run)[1]
        rate = float(np.nanmedian(rates)) if len(rates) else None
    parameters = run.summary.get("parameters")
    return [
        name,
        *([runs.origin(run.config)] if show_origin else []),
        *values,
        _value(metric, entry.best),
        _value(metric, entry.final),
        notation.NONE if parameters is None else f"{parameters:,}",
        f"{runs.steps(run):,}",
        notation.NONE if rate is None else notation.number(round(rate)) + _waiting(run),
        notation.duration(runs.elapsed(run)),
        runs.status(run) + (" (damaged lines)" if run.notes else ""),
    ]


def _waiting(run: Run) -> str:
    share = run.summary.get("waiting_for_data")
    return f" ({share:.0%} waiting for data)" if isinstance(share, float) and share >= 0.01 else ""


def _value(metric: str, value: float) -> str:
    return notation.NONE if math.isnan(value) else notation.shown(metric, value)


def _cell(value: Any) -> str:
    written = f"{value:g}" if isinstance(value, float) else str(value)
    return notation.printable(written, 40)


def _overlay(metric: str | None, entries: Sequence[Entry]) -> Html:
    keys = [k for k in (metric, "train/loss") if k and any(k in e.curves for e in entries)]
    keys = list(dict.fromkeys(keys))
    if not keys:
        return Html("")
    try:
        picture = figures.png(figures.compared([(e.name, e.curves) for e in entries], keys))
    except Exception as error:
        return page.tag("p", figures.failed("the curves", error), class_="note bad")
    caption = f"{' and '.join(keys)}; the best runs are coloured, in the table's order."
    return page.figure(picture, caption, scale=figures.SCALE)
