"""A page that compares several runs: the differences of their configs, and their results."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from library import files
from library.config import ConfigError
from library.reporting import curve_figures, figures, notation, page, report, runs, seeds
from library.reporting.page import Html
from library.reporting.runs import Curve, Run
from library.reporting.seeds import Band, Spread

MAX_KEYS = 6
_WIDEST_VALUE = 24
_COST = ("steps", "wall time", "examples/s", "parameters")
_SKIPPED_FOLDERS = ("checkpoints", "figures", "__pycache__")
_SKIPPED_KEYS = ("_config", "reported", "workdir")


class Entry(NamedTuple):
    """One run; `leaves` maps dotted config keys to values."""

    name: str
    run: Run
    system: str
    metric: str | None
    mode: notation.Direction | None
    leaves: dict[str, Any]
    curves: dict[str, Curve]
    best: float
    final: float


class Line(NamedTuple):
    """One line of the table: a run, or several runs that differ only in their seed."""

    name: str
    members: tuple[Entry, ...]
    best: Spread
    final: Spread

    @property
    def leaves(self) -> dict[str, Any]:
        """The config, with one of the seeds if there are several."""
        return self.members[0].leaves

    def curves(self, keys: Sequence[str]) -> dict[str, Curve | Band]:
        """Returns the curve of each metric that has been logged; of several seeds, a band."""
        found = {k: [e.curves[k] for e in self.members if k in e.curves] for k in keys}
        return {key: seeds.band(curves) for key, curves in found.items() if curves}


def compare(root: str | os.PathLike) -> Path:
    """Writes root/report.html: a table of all runs below a folder, and their curves overlaid.

    Runs are grouped by their system and by the metric that they claim, and sorted by its best
    value. Runs that differ only in the seed are one line of the table. The page names runs whose
    files are damaged, states the reason, and leaves them out.

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
    groups: dict[tuple[str, str | None], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.system, entry.metric), []).append(entry)
    sections = [_section(*which, groups[which]) for which in sorted(groups, key=str)]
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
    system = report.describe(run.config)
    return Entry(name, run, system, metric, mode, leaves, curves, best, final)


def differing_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lists the keys whose values, or whose presence, differ between flat configs."""
    keys = dict.fromkeys(key for config in configs for key in config)
    unset = object()
    # repr distinguishes 1 from True and [1] from (1,), and works for unhashable values, too.
    return [k for k in keys if len({repr(config.get(k, unset)) for config in configs}) > 1]


def _section(system: str, metric: str | None, entries: Sequence[Entry]) -> Html:
    if metric is None:
        heading = "runs without a metric so far"
    else:
        modes = {entry.mode for entry in entries}
        known = modes.pop() if len(modes) == 1 else None
        heading = f"{metric}{notation.direction_in_words(known)}"
    lines = sorted(_lines(entries), key=_rank)
    return page.section(
        f"{system}: {heading}" if system else heading,
        page.tag("p", _claims(entries), class_="under"),
        _overlay(metric, lines),
        _table(metric or "", lines),
    )


def _lines(entries: Sequence[Entry]) -> list[Line]:
    lines = []
    for members in seeds.together([(entry.leaves, entry) for entry in entries]):
        name = members[0].name
        if len(members) > 1:
            members = sorted(members, key=_seed)
            name = seeds.name([entry.name for entry in members])
            name += f" ({seeds.counted([entry.leaves for entry in members])})"
        best, final = (seeds.spread([getattr(e, k) for e in members]) for k in ("best", "final"))
        lines.append(Line(name, tuple(members), best, final))
    return lines


def _seed(entry: Entry) -> tuple[int, str]:
    written = seeds.which(entry.leaves)
    return len(written), written


def _rank(line: Line):
    value = line.best.mean if line.members[0].mode == "min" else -line.best.mean
    return (math.isnan(value), value, line.name)


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


def _table(metric: str, lines: Sequence[Line]) -> Html:
    """Returns the results of all lines, then what differs between their configs, then their cost.

    Of more than six differing values, a line folds those after the sixth.
    """
    keys = differing_keys([line.leaves for line in lines])
    if any(len(line.members) > 1 for line in lines):
        # The first column names the seeds.
        keys = [key for key in keys if key not in seeds.REPEATED]
    shown, folded = keys[:MAX_KEYS], keys[MAX_KEYS:]
    show_origin = len({runs.origin(line.members[0].run.config) for line in lines}) > 1
    behind = [*(["config"] if show_origin else []), *map(_breakable, shown)]
    behind += [f"{len(folded)} more"] if folded else []
    costs = [dict(zip(_COST, _cost(line))) for line in lines]
    shared = _shared(costs)
    cost = [name for name in _COST if name not in shared]
    rows = []
    for line, spent in zip(lines, costs):
        origin = [runs.origin(line.members[0].run.config)] if show_origin else []
        values = [_cell(line.leaves, key) for key in shown]
        more = [_fold(line.leaves, folded)] if folded else []
        results = [_value(metric, line.best), _value(metric, line.final)]
        spent = [spent[name] for name in cost]
        rows.append([_named(line), _status(line), *results, *origin, *values, *more, *spent])
    header = ["run", "status", "best", "final", *behind, *cost]
    numeric = (2, 3, *range(len(header) - len(cost), len(header)))
    said = ", ".join(f"{v} {name}" for name, v in shared.items() if v != notation.NONE)
    note = page.tag("p", f"Each run: {said}.", class_="under") if said else ""
    return page.join((note, page.table(header, rows, numeric=numeric)))


def _shared(costs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns the steps and parameters that all of several lines have, which need no column."""
    names = ("steps", "parameters") if len(costs) > 1 else ()
    return {name: costs[0][name] for name in names if len({cost[name] for cost in costs}) == 1}


def _breakable(key: str) -> Html:
    return page.join(key.replace(".", ".\0").split("\0"), separator=page.tag("wbr"))


def _named(line: Line) -> Html:
    """Returns the name of a run as a link to its report; of several seeds, a link for each."""
    if len(line.members) == 1:
        return page.tag("div", _link(line.members[0], line.name), class_="run")
    links = [_link(each, seeds.which(each.leaves)) for each in line.members]
    return page.tag("div", line.name, ": ", page.join(links, ", "), class_="run")


def _link(entry: Entry, text: str) -> Html:
    reported = (entry.run.path / "report.html").is_file()
    href = f"./{quote(entry.name)}/report.html"
    return page.tag("a", text, href=href) if reported else page.text(text)


def _status(line: Line) -> str:
    """Returns the status of a run; of several seeds, how many have which."""
    each = Counter(
        runs.status(entry.run) + (" (damaged lines)" if entry.run.notes else "")
        for entry in line.members
    )
    if len(each) == 1:
        return next(iter(each))
    return ", ".join(f"{count} {status}" for status, count in each.items())


def _cost(line: Line) -> list[str]:
    """Returns the values of `_COST`: of several seeds, means, and the range of steps."""
    several = [entry.run for entry in line.members]
    steps = sorted({runs.steps(run) for run in several})
    rates = [rate for rate in map(_rate, several) if rate is not None]
    times = [time for time in map(runs.elapsed, several) if time is not None]
    waits = [share for share in (r.summary.get("waiting_for_data") for r in several) if share]
    waiting = seeds.spread([float(share) for share in waits]).mean
    remark = f" ({waiting:.0%} waiting)" if waiting >= 0.01 else ""
    parameters = several[0].summary.get("parameters")
    return [
        " to ".join(f"{count:,}" for count in dict.fromkeys((steps[0], steps[-1]))),
        notation.duration(seeds.spread(times).mean),
        notation.number(round(seeds.spread(rates).mean)) + remark if rates else notation.NONE,
        notation.NONE if parameters is None else f"{parameters:,}",
    ]


def _rate(run: Run) -> float | None:
    stated = run.summary.get("examples_per_second")
    if stated is not None:
        return stated
    rates = runs.throughput(run)[1]
    return float(np.nanmedian(rates)) if len(rates) else None


def _value(metric: str, value: Spread) -> str:
    known = not math.isnan(value.mean)
    return notation.shown(metric, value.mean, value.std) if known else notation.NONE


def _cell(leaves: Mapping[str, Any], key: str) -> Html:
    """Returns a value of a config; the whole of a long one is its title."""
    if key not in leaves:
        return Html("")
    value = leaves[key]
    written = f"{value:g}" if isinstance(value, float) else str(value)
    short = notation.printable(written, _WIDEST_VALUE)
    return page.text(short) if short == written else page.tag("span", short, title=written)


def _fold(leaves: Mapping[str, Any], keys: Sequence[str]) -> Html:
    pairs = [(key, _cell(leaves, key)) for key in keys if key in leaves]
    return page.tag(
        "details",
        page.tag("summary", f"{len(pairs)} value{'s' if len(pairs) != 1 else ''}"),
        page.pairs(pairs),
    )


def _overlay(metric: str | None, lines: Sequence[Line]) -> Html:
    keys = list(dict.fromkeys(key for key in (metric, "train/loss") if key))
    drawn = [(line.name, line.curves(keys)) for line in lines]
    keys = [key for key in keys if any(key in curves for _, curves in drawn)]
    if not keys:
        return Html("")
    try:
        picture = figures.png(curve_figures.compared(drawn, keys))
    except Exception as error:
        return page.tag("p", figures.failed("the curves", error), class_="note bad")
    caption = f"{' and '.join(keys)}; the best runs are coloured, in the table's order."
    if any(len(line.members) > 1 for line in lines):
        caption += (
            " Several seeds are their mean; coloured ones have a band from least to greatest."
        )
    return page.figure(picture, caption, scale=figures.SCALE)
