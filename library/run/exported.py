"""An exported run: a folder with what a run has learnt, without the state of its optimizer.

    model.safetensors   arrays by their paths in the state: "params/head/kernel",
                        "variables/batch_stats/norm/mean", "ema/params/head/kernel", "step"
    config.json         the config; `_config.exported` states facts about the run
    data.json           the data record: class names, tokenizer, fitted preprocessing
    README.md           a page about the run

`config.json` keeps the sha256 of `model.safetensors`, so a damaged or replaced file is noticed.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from library import files
from library.config import ConfigError
from library.run import data_record
from library.run.workdir import open_workdir, read_config, read_identity
from library.weights import files as weights

MODEL, PAGE = "model.safetensors", "README.md"
_STATE, _LEFT = "state/", "state/opt_state/"


def is_exported(folder: Path) -> bool:
    """Returns whether a folder is an exported run, perhaps a damaged one, and not a workdir."""
    folder = Path(folder).expanduser()
    if (folder / "checkpoints").exists():
        return False
    stated = (folder / "config.json").is_file() and facts(folder) is not None
    return stated or (folder / MODEL).is_file()


def facts(folder: Path) -> dict[str, Any] | None:
    """Returns the facts that an export keeps of its run, also after an import; None for others."""
    identity = read_identity(folder)
    known = identity.get("exported") if isinstance(identity, dict) else None
    return known if isinstance(known, dict) else None


def learnt(leaves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a checkpoint's leaves that an export keeps, by their paths in the state."""
    return {
        path.removeprefix(_STATE): leaf
        for path, leaf in leaves.items()
        if path.startswith(_STATE) and not path.startswith(_LEFT)
    }


def write(
    source: Path,
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    known: Mapping[str, Any],
    page: str,
) -> Path:
    """Writes an exported run, which is complete or absent at every moment.

    Args:
      source: the workdir of the run.
      folder: the folder to make.
      arrays: see `learnt`.
      known: facts about the run, plain values; "sha256" is added.
      page: the text of README.md.

    Raises:
      ConfigError: the folder exists and is not empty, or cannot be written; or an array is of a
        type that safetensors do not have.
    """
    identity = {k: v for k, v in read_identity(source).items() if k not in ("found", "format")}
    with files.new_folder(folder) as partial:
        path = weights.write(partial / MODEL, arrays)
        kept = {**known, "sha256": _digest(path)}
        open_workdir(partial, read_config(source), {**identity, "exported": kept})
        if (source / data_record.FILE).is_file():
            files.write(partial / data_record.FILE, (source / data_record.FILE).read_bytes())
        files.write(partial / PAGE, page)
    return folder


def read(folder: Path, *, which: str | None = None) -> tuple[int, dict[str, np.ndarray]]:
    """Reads an exported run as `checkpoints.load` reads a checkpoint.

    Args:
      folder: the exported run.
      which: the checkpoint that must have been exported, "latest" or "best"; None for any.

    Returns:
      The step, and the leaves by paths such as "state/params/head/kernel".

    Raises:
      ConfigError: the folder is no exported run or is damaged, or another checkpoint was exported.
    """
    folder = Path(folder).expanduser()
    known, path = _checked_facts(folder), folder / MODEL
    if not path.is_file():
        raise ConfigError(f"{folder} has no {MODEL}: export the run again")
    if which not in (None, known["which"]):
        raise ConfigError(
            f"{folder} holds the {known['which']} checkpoint of its run, not the {which} one"
        )
    arrays = weights.read(path)
    if _digest(path) != known["sha256"]:
        raise ConfigError(
            f"{path} is damaged, or belongs to another run: it does not match its checksum in "
            "config.json"
        )
    return known["step"], {f"{_STATE}{name}": array for name, array in arrays.items()}


def _checked_facts(folder: Path) -> dict[str, Any]:
    advice = "name a folder that `zoo export --to=FOLDER` wrote"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} is no exported run: it has no config.json; {advice}")
    known = facts(folder)
    if known is None:
        what = "is a workdir" if (folder / "checkpoints").is_dir() else "is no exported run"
        raise ConfigError(f"{folder} {what}; {advice}")
    wanted = {"step": int, "which": str, "sha256": str}
    wrong = [name for name, kind in wanted.items() if not isinstance(known.get(name), kind)]
    if wrong:
        path = folder / "config.json"
        raise ConfigError(f"{path} is damaged: _config.exported states no {wrong[0]}")
    return known


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
