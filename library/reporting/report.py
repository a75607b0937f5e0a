"""The report of one run: its figures, and a page with all information about the run.

A report can be written at any time. It leaves out sections whose files do not exist yet.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from library import files
from library.config import ConfigError
from library.reporting import (
    array_figures,
    class_figures,
    curve_figures,
    error_figure,
    figures,
    image_figures,
    notation,
    page,
    runs,
    saved_samples,
    series_figures,
    word_figure,
)
from library.reporting.page import Html
from library.reporting.runs import Run

PREDICTIONS, EXTRA_FIGURES, TEXTS, SKIPPED = 24, 40, 4, 20
_PNG = b"\x89PNG\r\n\x1a\n"


class Drawn(NamedTuple):
    """A figure of the report: its file, its content and its section.

    `problem` states why it could not be drawn.
    """

    path: Path
    section: str
    caption: str
    kind: str = "chart"
    problem: str = ""


def write_report(workdir: str | os.PathLike) -> Path:
    """Draws the figures of a run into figures/ and writes report.html.

    Args:
      workdir: a folder with config.json and metrics.jsonl; the page shows the other files of a
        run if they exist.

    Returns:
      The path of the page: a single file without scripts that loads nothing.

    Raises:
      ConfigError: the folder is not a workdir, or one of its files is damaged.
    """
    run = runs.read_run(workdir)
    evaluation = runs.read_arrays(run.path / "evaluation.npz")
    predictions = runs.read_arrays(run.path / "predictions.npz")
    augmented = runs.read_arrays(run.path / "augmented.npz")
    drawn = [
        *_draw_training(run),
        *_draw_made(run),
        *_draw_evaluation(run, evaluation, _names(run, predictions, evaluation)),
        *_draw_predictions(run, predictions),
        *_draw_augmented(run, augmented),
    ]
    content = _sections(run, drawn, evaluation)
    title = describe(run.config) or run.path.resolve().name
    return files.write(run.path / "report.html", page.render(title, *content))


def describe(config: Mapping[str, Any]) -> str:
    """Returns the model and the dataset of a config, such as "resnet18 on cifar10"."""
    model, dataset = (runs.find(config, f"{kind}.name") for kind in ("model", "dataset"))
    model = model or runs.find(config, "task.name") or ""
    return " on ".join(str(name).rpartition(".")[2] for name in (model, dataset) if name)


def _sections(run: Run, drawn: Sequence[Drawn], evaluation) -> list[Html]:
    def shown(name):
        return [_embed(item) for item in drawn if item.section == name]

    calibration = page.tag("div", *shown("calibration"), class_="row")
    return [
        _header(run),
        page.section("Command", page.code(runs.command(run))),
        page.section("Warnings", _warnings(run)),
        page.section("Left out", _left_out(run)),
        page.section("Learning curves", *shown("curves"), _metrics_table(run)),
        page.section("Made", *shown("made"), *_texts(run)),
        page.section("Confusion", *shown("confusion")),
        page.section("Calibration", calibration if shown("calibration") else ""),
        page.section("Predictions", *shown("predictions")),
        page.section("Augmentation", *shown("augmentation")),
        page.section("Also evaluated", *shown("other"), _other_values(evaluation)),
        page.section("More figures", *_extra_figures(run, drawn)),
        page.section("Time", *shown("throughput"), _phases(run), _profile(run)),
        page.section("Environment", _environment(run)),
        page.section("Config", _config(run.config)),
    ]


def _header(run: Run) -> Html:
    title = describe(run.config) or run.path.resolve().name
    done = f"{runs.steps(run):,} steps in {notation.duration(runs.elapsed(run))}"
    under = " · ".join(x for x in (runs.origin(run.config), runs.status(run), done) if x)
    notes = [
        page.tag("p", "Note: ", note, class_="note")
        for note in (*run.notes, *runs.length_notes(run))
    ]
    return page.tag(
        "header", page.tag("h1", title), page.tag("p", under, class_="under"), _result(run), *notes
    )


def _result(run: Run) -> Html:
    """Returns the reported value, ours and the gap; before the end, the values so far."""
    claim = runs.claim(run)
    if claim is None:
        return page.tag("p", "No metric has been logged yet.", class_="note")
    metric, finished = claim.metric, runs.status(run) == "finished"
    mode = runs.direction(run.config, metric)
    miss = notation.is_miss(metric, claim.gap, mode)
    colour = "" if None in (claim.gap, mode) else "bad" if miss else "good"
    name = "Ours" if finished else "Ours so far"
    unit = " points" if notation.is_share(metric) and claim.gap is not None else ""
    stats = [
        _stat("Reported", notation.shown(metric, claim.reported)),
        _stat(name, notation.shown(metric, claim.ours)),
        _stat("Gap", notation.shown_gap(metric, claim.gap) + unit, colour),
    ]
    if claim.reported is None:
        stats = stats[1:2]
    stats = stats[:2] if claim.changed else stats
    best = runs.best_metrics(run).get(metric)
    lines = [f"Metric: {metric}{notation.direction_in_words(mode)}"]
    lines += [f"Best during the run: {notation.shown(metric, best)}"] if best is not None else []
    if claim.changed:
        lines += [f"Reported of the unchanged recipe: this run sets {', '.join(claim.changed)}"]
    under = page.tag("p", " · ".join(lines), class_="under")
    source = page.tag("p", "Source of the reported value: ", claim.source, class_="under")
    return page.join(
        (page.tag("div", *stats, class_="stats"), under, source if claim.source else "")
    )


def _stat(name: str, value: str, colour: str = "") -> Html:
    number = page.tag("div", value, class_=f"value {colour}".strip())
    return page.tag("div", page.tag("div", name, class_="name"), number, class_="stat")


def _warnings(run: Run) -> Html:
    """Returns the warnings of evaluators and their steps."""
    told = run.summary.get("warnings") or []
    rows = [(f"{each['step']:,}", each["text"]) for each in told]
    return page.table(("step", "warning"), rows, numeric=(0,)) if rows else Html("")


def _left_out(run: Run) -> Html:
    """Returns the steps that were not finite and the examples that no process could read."""
    skipped = run.summary.get("skipped") or {}
    path = run.path / "skipped.json"
    held = files.read_json(path) if path.is_file() else {}
    steps, examples = skipped.get("steps"), skipped.get("examples")
    lines = [f"{steps:,} of {runs.steps(run):,} steps were not finite."] if steps else []
    if examples and not held:
        lines.append(f"{examples:,} examples of training were skipped.")
    lines += [
        f"{found['skipped']:,} of {found['examples']:,} examples of {split} were skipped."
        for split, found in held.items()
    ]
    rows = [
        (split, name, reason)
        for split, found in held.items()
        for name, reason in [*found["reasons"].items()][:SKIPPED]
    ]
    table = page.table(("split", "example", "why"), rows) if rows else Html("")
    return page.join((*(page.tag("p", line) for line in lines), table))


def _metrics_table(run: Run) -> Html:
    final, best, claim = runs.final_metrics(run), runs.best_metrics(run), runs.claim(run)
    panels = curve_figures.metric_panels([*final], claim.metric if claim else None)
    keys = [key for _, group in panels for key in group]
    rows = [(k, notation.shown(k, final[k]), notation.shown(k, best.get(k))) for k in keys]
    last = "final" if runs.status(run) == "finished" else "last"
    return page.table(("metric", last, "best"), rows, numeric=(1, 2)) if rows else Html("")


def _draw_training(run: Run) -> list[Drawn]:
    drawn = []
    curves, claim = runs.curves(run.rows), runs.claim(run)
    if curves:
        told = claim.metric if claim else None
        figure = _try(curve_figures.learning_curves, curves, runs.steps_per_epoch(run), told)
        left_out = len(curve_figures.metric_panels(curves)) - curve_figures.MAX_PANELS
        caption = "All logged metrics. Long curves are means, in a band from least to greatest."
        caption += f" {left_out} more are in the table." if left_out > 0 else ""
        drawn.append(_save(run, "learning_curves", figure, "curves", caption))
    seconds, rates = runs.throughput(run)
    if len(rates):
        figure = _try(curve_figures.throughput, seconds, rates)
        drawn.append(_save(run, "throughput", figure, "throughput", "Throughput over the run."))
    return drawn


def _draw_made(run: Run) -> list[Drawn]:
    drawn = []
    for found in saved_samples.find(run.path):
        last, strip = _try(saved_samples.newest, found), _try(saved_samples.over_training, found)
        if not isinstance(last, list):
            figure, caption = last if isinstance(last, tuple) else (last, found.name)
            drawn.append(_save(run, f"made_{found.name}", figure, "made", caption, "photos"))
        moving = _try(saved_samples.film, found)
        if moving is not None:
            caption = f"{found.name} over training, a frame for each evaluation"
            drawn.append(_save(run, f"made_{found.name}_film", moving, "made", caption, "photos"))
        elif isinstance(strip, (Figure, Exception)):
            caption = f"{found.name} over training: the same samples, one row per step"
            drawn.append(_save(run, f"made_{found.name}_steps", strip, "made", caption, "photos"))
    return drawn


def _texts(run: Run) -> list[Html]:
    shown = []
    for found in saved_samples.find(run.path):
        last, strip = _try(saved_samples.newest, found), _try(saved_samples.over_training, found)
        if isinstance(last, list):
            shown.append(page.tag("h3", f"{found.name}, step {found.steps[-1]:,}"))
            shown += [page.code(text) for text in last[:TEXTS]]
        if isinstance(strip, list):
            shown.append(page.tag("h3", f"{found.name} over training: how the first text begins"))
            for step, text in strip:
                shown += [page.tag("p", f"step {step:,}", class_="under"), page.code(text)]
    return shown


def _draw_evaluation(run: Run, arrays: Mapping[str, np.ndarray], names) -> list[Drawn]:
    drawn = []
    for key in sorted(arrays):
        values, slug = arrays[key], _slug(key)
        split = notation.split_name(key) or "test"
        if _is_confusion(key, values):
            whose = f"{split} set, {int(values.sum()):,} examples"
            caption = f"Confusion, {whose}: percent of each true class (row)."
            figure = _try(class_figures.confusion_matrix, values, names)
            drawn.append(_save(run, slug, figure, "confusion", caption))
            figure = _try(class_figures.class_accuracy, values, names)
            slug = _slug(key.replace("confusion", "class_accuracy"))
            drawn.append(_save(run, slug, figure, "confusion", f"Accuracy by class, {whose}."))
        elif _is_calibration(key, values):
            caption = (
                f"Accuracy against confidence, {split} set, {int(values[2].sum()):,} examples."
            )
            figure = _try(class_figures.reliability, values)
            drawn.append(_save(run, slug, figure, "calibration", caption))
        elif key.endswith("gradient_norm") and values.ndim == 1:
            figure = _try(series_figures.gradient_norms, {key: values})
            caption = f"Gradient of the loss by the distance of a step from the last, {key}."
            drawn.append(_save(run, slug, figure, "other", caption))
        elif series_figures.is_forecast(key, values):
            figure = _try(series_figures.forecast, values)
            caption = f"The series, the median of its forecast, and the interval, {key}."
            drawn.append(_save(run, slug, figure, "other", caption))
        elif error_figure.is_error_by_value(key, values):
            caption = f"Error by true value, {int(values[2].sum()):,} examples."
            figure = _try(error_figure.error_by_value, values)
            drawn.append(_save(run, slug, figure, "other", caption))
        elif _is_drawn_already(key, arrays):
            continue
        elif _is_of_classes(key, values):
            name = key.rpartition("class_")[2].replace("_", " ")
            words = (f"{name} by class", "their mean")
            figure = _try(class_figures.class_shares, values, names, np.nanmean(values), words)
            caption = f"{key}: by class, the worst first."
            drawn.append(_save(run, slug, figure, "confusion", caption))
        elif word_figure.is_layout(values, arrays.get(f"{key}_captions")):
            figure = _try(word_figure.labelled_points, values, arrays[f"{key}_captions"])
            caption = f"{key}: {len(values)} points, near where they are alike."
            drawn.append(_save(run, slug, figure, "other", caption))
        elif (figure := _try(array_figures.array, values, key)) is not None:
            look = "photos" if array_figures.is_images(values) else "chart"
            drawn.append(_save(run, slug, figure, "other", _caption(key, values), look))
    return drawn


def _is_confusion(key: str, values: np.ndarray) -> bool:
    square = values.ndim == 2 and values.shape[0] == values.shape[1] >= 2
    return key.endswith("confusion") and square and values.dtype.kind in "iuf" and values.sum() > 0


def _is_calibration(key: str, values: np.ndarray) -> bool:
    three = values.ndim == 2 and values.shape[0] >= 3 and values.dtype.kind in "iuf"
    return key.endswith("calibration") and three and values[2].sum() > 0


def _is_of_classes(key: str, values: np.ndarray) -> bool:
    """Returns whether an array is a share in [0, 1] of each class."""
    known = values[np.isfinite(values)] if values.ndim == 1 and values.dtype.kind == "f" else []
    named = key.rpartition("/")[2].startswith(("per_class_", "class_"))
    return named and len(known) > 0 and min(known) >= 0 and max(known) <= 1


def _caption(key: str, values: np.ndarray) -> str:
    shape = " x ".join(map(str, values.shape))
    limited = array_figures.is_images(values) and len(values) > 64
    return f"{key} ({shape} {values.dtype}){', the first 64' if limited else ''}"


def _names(run: Run, *archives: Mapping[str, np.ndarray]) -> list[str] | None:
    """Returns the names of classes that an archive has, otherwise those of the run's dataset."""
    path = run.path / "data.json"
    recorded = files.read_json(path).get("label_names") if path.is_file() else None
    return next(filter(None, map(_label_names, archives)), recorded)


def _label_names(arrays: Mapping[str, np.ndarray]) -> list[str] | None:
    if "label_names" not in arrays:
        return None
    return [str(name) for name in arrays["label_names"].reshape(-1)]


def _draw_predictions(run: Run, arrays: Mapping[str, np.ndarray]) -> list[Drawn]:
    if "image" not in arrays or not len(arrays["image"]):
        return []
    images, names = arrays["image"], _label_names(arrays)
    labels, probabilities = arrays.get("label"), arrays.get("probabilities")
    if labels is not None and labels.ndim == 2:
        labels = labels.argmax(1)
    if labels is None or probabilities is None or labels.ndim != 1 or probabilities.ndim != 2:
        figure = _try(image_figures.image_grid, images[:64])
        return [_save(run, "predictions", figure, "predictions", "Samples.", "photos")]
    drawn = []
    right = probabilities.argmax(1) == labels
    # The most confident mistakes are the most informative: wrong labels, ambiguous samples.
    wrong = np.flatnonzero(~right)
    wrong = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")]
    parts = (("right", np.flatnonzero(right), ""), ("wrong", wrong, ", the most confident first"))
    for name, chosen, order in parts:
        if len(chosen):
            some = chosen[:PREDICTIONS]
            shown = (values[some] for values in (images, labels, probabilities))
            figure = _try(image_figures.prediction_grid, *shown, names, columns=8)
            caption = f"{len(some)} of the {len(chosen):,} stored samples that are {name}{order}."
            drawn.append(
                _save(run, f"predictions_{name}", figure, "predictions", caption, "photos")
            )
    return drawn


def _draw_augmented(run: Run, arrays: Mapping[str, np.ndarray]) -> list[Drawn]:
    images = arrays.get("image")
    if images is None or images.ndim != 5 or not images.size:
        return []
    caption = "Training images and their augmented views."
    figure = _try(image_figures.augmentation_grid, images)
    return [_save(run, "augmentation", figure, "augmentation", caption, "photos")]


def _try(draw: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Returns the result of `draw`, or its error, so that the report is still written."""
    try:
        return draw(*arguments, **options)
    except ConfigError:
        raise
    except Exception as error:
        return error


def _save(run: Run, name: str, figure: Any, section: str, caption: str, kind="chart") -> Drawn:
    path = run.path / "figures" / f"{name}.png"
    write = files.write if isinstance(figure, bytes) else lambda path, x: figures.save(x, path)
    failed = figure if isinstance(figure, Exception) else _try(write, path, figure)
    problem = figures.failed(name, failed) if isinstance(failed, Exception) else ""
    return Drawn(path, section, caption, kind, problem)


def _is_drawn_already(key: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Returns whether the figure of another array shows this array."""
    confusion = key.removesuffix("per_class_accuracy") + "confusion"
    shown = key.endswith("per_class_accuracy") and confusion in arrays
    named = key.endswith("_captions") and key.removesuffix("_captions") in arrays
    return shown or named or key == "label_names"


def _slug(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", key).strip("_")[:100] or "array"


def _embed(item: Drawn) -> Html:
    if item.problem:
        return page.tag("p", item.problem, class_="note bad")
    return page.figure(item.path.read_bytes(), item.caption, kind=item.kind, scale=figures.SCALE)


def _extra_figures(run: Run, drawn: Sequence[Drawn]) -> list[Html]:
    ours = {item.path.name for item in drawn}
    paths = sorted(p for p in (run.path / "figures").glob("*.png") if p.name not in ours)
    shown = []
    for path in paths[:EXTRA_FIGURES]:
        content = path.read_bytes()
        whole = content.startswith(_PNG) and b"IEND" in content[-16:]
        note = page.tag("p", f"{path.name} is not a complete PNG file.", class_="note")
        shown.append(page.figure(content, path.name, kind="photos") if whole else note)
    if len(paths) > EXTRA_FIGURES:
        more = f"{len(paths) - EXTRA_FIGURES} more are in figures/."
        shown.append(page.tag("p", more, class_="note"))
    return shown


def _other_values(arrays: Mapping[str, np.ndarray]) -> Html:
    """Lists arrays that no figure shows: scalars by value, others by shape and range."""
    rows = []
    for key in sorted(arrays):
        values = arrays[key]
        if _is_confusion(key, values) or _is_calibration(key, values):
            continue
        if _is_drawn_already(key, arrays):
            continue
        shape = " x ".join(map(str, values.shape)) or "one value"
        if values.dtype.kind in "biuf" and values.size:
            ends = [notation.number(float(x)) for x in (values.min(), values.mean(), values.max())]
            ends = [ends[1], "", ""] if values.size == 1 else [ends[1], ends[0], ends[2]]
        else:
            ends = ["-", "", ""]
        rows.append((key, f"{shape}, {values.dtype}", *ends))
    header = ("array", "shape", "mean", "least", "greatest")
    return page.table(header, rows, numeric=(2, 3, 4)) if rows else Html("")


def _phases(run: Run) -> Html:
    phases = run.summary.get("phases")
    phases = phases.items() if isinstance(phases, Mapping) else ()
    items = [(str(k), float(v), notation.duration(v)) for k, v in phases if _is_number(v)]
    rate = run.summary.get("examples_per_second")
    line = f"{notation.number(round(rate))} examples per second over the run" if rate else ""
    waited = run.summary.get("waiting_for_data")
    line += f", {waited:.0%} of the time waiting for data" if rate and _is_number(waited) else ""
    line += "." if rate else ""
    goodput = run.summary.get("goodput")
    line += f" Training steps took {goodput:.1%} of the time." if _is_number(goodput) else ""
    return page.join((page.tag("p", line) if line else "", page.bars(items) if items else ""))


def _profile(run: Run) -> Html:
    traces = sorted(run.path.glob("profile/plugins/profile/*/perfetto_trace.json.gz"))
    if not traces:
        return Html("")
    links = [
        page.tag("a", path.parent.name, href=str(path.relative_to(run.path))) for path in traces
    ]
    return page.tag("p", "Traces of steps, for ui.perfetto.dev: ", page.join(links, ", "))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _environment(run: Run) -> Html:
    summary = run.summary
    device = summary.get("device") or {}
    kind = str(device.get("kind") or "")
    short = notation.device(device)
    changed = " with uncommitted changes" if summary.get("dirty") else ""
    versions = summary.get("versions") or {}
    seed = summary.get("seed", run.config.get("seed"))
    items = [
        ("device", f"{short} ({kind})" if kind and kind not in short else short),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("commit", f"{summary['commit']}{changed}" if summary.get("commit") else ""),
        ("seed", "" if seed is None else seed),
        ("parameters", notation.number(summary.get("parameters", ""))),
        ("steps", f"{runs.steps(run):,}"),
        ("wall time", notation.duration(runs.elapsed(run))),
        ("final state", f"sha256 {summary['state_sha256']}" if "state_sha256" in summary else ""),
    ]
    return page.pairs((name, value) for name, value in items if value not in ("", "-"))


def _config(config: Mapping[str, Any]) -> Html:
    """Returns the config as an indented listing; overrides are bold and marked."""
    overrides = runs.overrides(config)
    lines = list(_listing({k: v for k, v in config.items() if k != "_config"}, overrides))
    origin = runs.origin(config)
    note = f"{origin}, {len(overrides)} value{'s' if len(overrides) != 1 else ''} overridden"
    return page.join((page.tag("p", note, class_="under"), page.code(page.join(lines, "\n"))))


def _listing(value: Any, overrides: Mapping[str, Any], path: str = "", depth: int = 0):
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, item in items:
        here = f"{path}.{key}" if path else str(key)
        is_set = here in overrides
        name = page.tag("span", f"{'  ' * depth}{key}:", class_="set" if is_set else "key")
        mark = page.tag("span", "  ← overridden", class_="mark") if is_set else ""
        nested = isinstance(item, Mapping) or (
            isinstance(item, list) and any(isinstance(x, (Mapping, list)) for x in item)
        )
        if nested and item:
            yield page.join((name, mark))
            yield from _listing(item, overrides, here, depth + 1)
        else:
            yield page.join((name, " ", _plain(item), mark))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value if value and value == value.strip() else repr(value)
    return {"None": "none", "True": "true", "False": "false"}.get(str(value), str(value))
