"""The page of an exported run: what it is, what it reached, and how to use it."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from library.reporting import notation
from library.run import class_names
from library.run.data_record import DataRecord

_MOST_CLASSES = 20


def page(
    values: Mapping[str, Any],
    identity: Mapping[str, Any],
    known: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    record: DataRecord | None,
) -> str:
    """Returns the text of README.md.

    Args:
      values: the run's config.
      identity: the origin of the config.
      known: the facts about the run, see `exporting.export_run`.
      arrays: the exported arrays by path.
      record: the run's data record, if there is one.
    """
    parts = [
        f"# {_title(values, identity)}",
        "A run of Compendium, exported by `python -m experiments.zoo export`.",
        _table([("", ""), *_about(values, identity, known, arrays, record)]),
        "## Results",
        _results(known),
        "## Files",
        _files(arrays, record),
        "## Use",
        "Install Compendium and start its programs in its directory. `FOLDER` is this folder.",
        f"```sh\n{_commands(values)}\n```",
        "Use the same commit and versions to get the same outputs to the bit.",
    ]
    return "\n\n".join(parts) + "\n"


def _title(values: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    origin = ":".join(filter(None, (identity.get("path"), identity.get("variant"))))
    return _cell(origin) or f"{_names(values['model'])} on {_dataset(values['dataset'])}"


def _about(values, identity, known, arrays, record) -> list[tuple[str, str]]:
    """Returns the rows of the first table."""
    params = sum(x.size for path, x in arrays.items() if path.startswith("params/"))
    split = values["dataset"].get("train", "train")
    state = "finished run" if known["finished"] else "no finished run"
    versions = known.get("versions") or {}
    rows = [
        ("System", known.get("system")),
        ("Network", f"`{_names(values['model'])}`, {params:,} params"),
        ("Model", _code(values["model"])),
        ("Task", _code(values["task"])),
        ("Dataset", f"{_dataset(values['dataset'])}, split `{split}`{_classes(values, record)}"),
        ("Checkpoint", f"{known['which']}, step {known['step']:,}; {state}"),
        ("Command", _code(identity.get("command"))),
        ("Commit", notation.short_commit(known.get("commit"), bool(known.get("dirty")))),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Trained on", notation.device(known.get("device"))),
        ("Time", notation.duration(known.get("wall_time"))),
    ]
    return [(name, _cell(text)) for name, text in rows if text not in (None, "", notation.NONE)]


def _results(known: Mapping[str, Any]) -> str:
    """Returns the table of metrics, with the claim beside its metric."""
    result, metrics = known.get("result") or {}, dict(known["metrics"])
    if result:
        metrics.setdefault(result["metric"], None)
    if not metrics:
        return "No metrics are recorded."
    rows = [("Metric", "Reached", "Reported", "Gap")]
    for name, value in metrics.items():
        claimed = name == result.get("metric")
        reported = notation.shown(name, result["reported"]) if claimed else ""
        gap = notation.shown_gap(name, result["gap"]) if claimed else ""
        rows.append((_cell(name), notation.shown(name, value), reported, gap))
    lines = [_table(rows)]
    if result:
        lines.append(f"Source of the reported value: {_cell(result['source'])}.")
    if result.get("changed"):
        changed = ", ".join(f"`{_cell(key)}`" for key in result["changed"])
        lines.append(f"That value is of the unchanged recipe; this run overrides {changed}.")
    return "\n\n".join(lines)


def _files(arrays: Mapping[str, np.ndarray], record: DataRecord | None) -> str:
    counts = {
        top: sum(path.partition("/")[0] == top for path in arrays)
        for top in ("params", "variables", "ema")
    }
    held = f"{counts['params']} arrays `params/...`"
    if counts["variables"]:
        held += f", {counts['variables']} arrays `variables/...`, such as batch statistics"
    if counts["ema"]:
        held += f", {counts['ema']} running averages `ema/...`, which the programs use unless "
        held += "`--noema` is given"
    rows = [
        ("", ""),
        ("`model.safetensors`", f"{held}; no optimizer state"),
        ("`config.json`", "the config, its origin, these results, and a checksum of the arrays"),
    ]
    if record is not None:
        rows.append(("`data.json`", "class names, tokenizer, fitted preprocessing, shapes"))
    return _table(rows)


def _commands(values: Mapping[str, Any]) -> str:
    workdir = "--workdir=runs/imported"
    prompt = ' --prompt="..."' if values["dataset"].get("tokenizer") else ""
    return "\n".join(
        [
            f"python -m experiments.zoo import FOLDER {workdir}",
            f"python -m experiments.generate {workdir}{prompt}",
            f"python -m experiments.evaluate {workdir}    # needs the dataset",
            "python -m experiments.train --config=... --config.init_from.workdir=FOLDER",
        ]
    )


def _names(model: Mapping[str, Any]) -> str:
    """Returns the name of a model, or those of several players."""
    if isinstance(model.get("name"), str):
        return model["name"]
    return ", ".join(f"{part['name']} ({player})" for player, part in model.items())


def _dataset(dataset: Mapping[str, Any]) -> str:
    sources = dataset.get("sources") or {}
    return str(dataset.get("name") or " and ".join(str(part["name"]) for part in sources.values()))


def _classes(values: Mapping[str, Any], record: DataRecord | None) -> str:
    if record is None or record.label_names is None:
        return ""
    names = class_names.of_run(values, record)
    shown = ", ".join(map(notation.printable, names[:_MOST_CLASSES]))
    more = ", ..." if len(names) > _MOST_CLASSES else ""
    return f", {len(names):,} classes: {shown}{more}"


def _table(rows: list[tuple[str, ...]]) -> str:
    header, *others = rows
    lines = [header, ("---",) * len(header), *others]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`" if "`" not in text else text


def _cell(text: Any) -> str:
    """Returns text that stays within its cell of a table."""
    return notation.printable("" if text is None else text).replace("|", "\\|")
