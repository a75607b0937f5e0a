"""The newest samples of recorded runs, which are kept with the records, and their page."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from library import former_names
from library.reporting import notation, saved_samples

FOLDER = "figures"
LINES = 12
GENERATED = (
    "The newest samples of each recorded run that makes samples. [RESULTS.md](../RESULTS.md) has "
    "the commands and the numbers. `python -m experiments.report --results` generates both pages."
)


def keep(workdir: Path, name: str, results_dir: Path) -> list[Path]:
    """Copies the newest picture or text of each kind of sample to results_dir/figures/<name>.

    If the run made samples with running averages, too, only those are copied. The function removes
    the files of an earlier run.

    Args:
      workdir: the workdir of the run.
      name: the name of its record.
      results_dir: the folder of the records.

    Returns:
      The copied files.
    """
    target = results_dir / FOLDER / name
    shutil.rmtree(target, ignore_errors=True)
    kept = []
    for source in _newest(workdir):
        target.mkdir(parents=True, exist_ok=True)
        copy = target / f"{source.parent.name}{source.suffix}"
        shutil.copyfile(source, copy)
        kept.append(copy)
    return kept


def page(records: Sequence[Mapping[str, Any]], results_dir: Path) -> str:
    """Returns results/README.md: the kept samples of each record, in the order of the records."""
    parts = ["# What the recorded runs made\n", f"{GENERATED}\n"]
    for record in records:
        folder = results_dir / FOLDER / record["name"]
        found = sorted(file for file in folder.glob("*") if file.suffix in (".png", ".txt"))
        if found:
            config = former_names.config_file(record["config"])
            parts.append(f"## {record['system']}, {record['dataset']}\n\n`{config}`\n")
            parts += [_shown(file, file.relative_to(results_dir).as_posix()) for file in found]
    return "\n".join(parts)


def _newest(workdir: Path) -> list[Path]:
    newest = {each.name: each.paths[-1] for each in saved_samples.find(workdir)}
    averaged = {name.replace("_ema_", "_", 1) for name in newest if "_ema_" in name}
    arrays = [path for name, path in newest.items() if name not in averaged]
    beside = [path.with_suffix(suffix) for path in arrays for suffix in (".png", ".txt")]
    return [file for file in beside if file.is_file()]


def _shown(file: Path, path: str) -> str:
    if file.suffix == ".png":
        return f"![{file.stem}]({path})\n"
    lines = file.read_text(encoding="utf-8").splitlines()[:LINES]
    text = "\n".join(notation.printable(line, 200) for line in lines)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=2))
    return f"{file.stem}, its first lines ([all]({path})):\n\n{fence}text\n{text}\n{fence}\n"
