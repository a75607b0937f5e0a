"""The directory of a run: it belongs to one config, and its files are written atomically."""

import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from library import files, former_names
from library.config import ConfigError, check_finite, differing, plain
from library.files import read_json

# The format of a workdir's files; it rises when older files must be read in another way.
FORMAT = 2
# Keys that may differ between two starts of one run: folders, devices and the like.
_OPERATIONAL = {
    "dataset": ("data_dir", "manual_dir", "workers", "threads"),
    "parallel": ("mesh", "rules", "activations"),
    "compile_cache": (),
    "steps_per_call": (),
    "wandb": (),
    "on_nonfinite": (),
}
# Keys that may differ, too, while a run is unfinished: evaluation, logging and checkpoints.
_OBSERVING = {
    "dataset": ("eval_batch_size",),
    "evaluate": (),
    "splits": (),
    "log_every": (),
    "histograms_every": (),
    "checkpoint": (),
    "reported": (),
}


def open_workdir(
    path: Path,
    values: Mapping[str, Any],
    identity: Mapping[str, Any],
    *,
    prolonged: bool = False,
) -> Path:
    """Creates the directory of a run unless it exists, and writes its config.json.

    Args:
      path: the directory.
      values: the config, plain values.
      identity: the origin of the config: path, variant, overrides, command.
      prolonged: whether the config makes the run of the directory longer.

    Raises:
      ConfigError: the path is a file, cannot be written, or holds a run of another config; or a
        value of the config is not finite, which JSON cannot represent.
    """
    check_finite(values, "config")
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"workdir {path} is a file; name a directory")
    check_same_run(path, values, prolonged=prolonged)
    try:
        path.mkdir(parents=True, exist_ok=True)
        origin = {**plain(identity), "format": FORMAT}
        write_json(path / "config.json", {**plain(values), "_config": origin})
    except OSError as error:
        raise ConfigError(f"workdir {path} cannot be written: {error.strerror}") from error
    return path


def check_same_run(path: Path, values: Mapping[str, Any], *, prolonged: bool = False) -> None:
    """Compares a config with that of the run in a directory, if there is one.

    An unfinished run without a checkpoint has nothing to lose, and gets any config.

    Args:
      path: the directory.
      values: the config, plain values.
      prolonged: whether the config makes the run longer: it may then differ in the total, in
        schedules and in early stopping, also if the run is finished.

    Raises:
      ConfigError: they differ in keys that must not differ between two starts of one run.
    """
    if not (Path(path) / "config.json").is_file():
        return
    recorded, finished = read_config(path), _is_finished(path)
    training = differences(values, recorded, prolonged=prolonged)
    if not finished and not has_checkpoint(path):
        return
    if training:
        raise ConfigError(
            f"workdir {path} belongs to another config, which differs in {_first(training)}. "
            + _advice(path, values, recorded)
        )
    lines = differing(*(_defining(v, _OPERATIONAL) for v in (values, recorded)))
    if finished and not prolonged and lines:
        raise ConfigError(
            f"workdir {path} holds a finished run whose config differs in {_first(lines)}. To "
            f"evaluate it, run python -m experiments.evaluate --workdir={path} with the same "
            "--config.KEY=VALUE; otherwise name another workdir"
        )


def differences(
    values: Mapping[str, Any], recorded: Mapping[str, Any], *, prolonged: bool = False
) -> list[str]:
    """Lists the keys that determine the training and differ, see `check_same_run`."""
    pair = [_defining(v, _OPERATIONAL, _OBSERVING) for v in (values, recorded)]
    return differing(*(map(_without_length, pair) if prolonged else pair))


def replaced(path: Path, values: Mapping[str, Any]) -> list[str]:
    """Lists how a config differs from that of a run without a checkpoint, which it replaces."""
    path = Path(path)
    if not (path / "config.json").is_file() or _is_finished(path) or has_checkpoint(path):
        return []
    return differences(values, read_config(path))


def has_checkpoint(path: Path) -> bool:
    """Returns whether the run in a directory has a checkpoint, be it damaged."""
    folder = Path(path) / "checkpoints" / "latest"
    return folder.is_dir() and any(each.name.isdigit() for each in folder.iterdir())


def set_aside(path: Path, name: str, kept: Iterable[str]) -> Path | None:
    """Moves files of a run into a folder of its directory; only the first process does.

    Args:
      path: the run's directory.
      name: the folder; if it exists, its name gets a number.
      kept: names of files and folders, of which some may not exist.

    Returns:
      The folder, or None if nothing was moved.
    """
    path = Path(path)
    found = [path / each for each in kept if (path / each).exists()]
    if jax.process_index() or not found:
        return None
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    folder = next(path / each for each in names if not (path / each).exists())
    folder.mkdir()
    for each in found:
        os.replace(each, folder / each.name)
    return folder


def read_config(path: Path) -> dict[str, Any]:
    """Reads the config of the run in a directory, without `_config`, with today's names.

    Raises:
      ConfigError: the directory holds no run, or a run of a newer format.
    """
    values = read_json(Path(path) / "config.json")
    written = (values.pop("_config", None) or {}).get("format", 1)
    if written > FORMAT:
        raise ConfigError(
            f"workdir {path} has format {written}, and this version reads formats up to {FORMAT}: "
            "use the version that wrote it, or a later one"
        )
    return values if written > 1 else former_names.translated(values)


def read_identity(path: Path) -> dict[str, Any]:
    """Reads the origin of the config of the run in a directory, see `open_workdir`."""
    return read_json(Path(path) / "config.json").get("_config", {})


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON file atomically; of several processes only the first writes."""
    if jax.process_index():
        return
    files.write(path, files.to_json(values, indent=2) + "\n")


def _is_finished(path: Path) -> bool:
    return (Path(path) / "summary.json").is_file()


def _first(lines: Sequence[str]) -> str:
    return "; ".join(lines[:8]) + ("; ..." if len(lines) > 8 else "")


def _advice(path: Path, values: Mapping[str, Any], recorded: Mapping[str, Any]) -> str:
    # The schedule of a run that was made longer may be another one than that of its file.
    longer = values.get("total") != recorded.get("total") or read_identity(path).get("prolonged")
    if not longer or differences(values, recorded, prolonged=True):
        return "Name another workdir"
    return "To go on to a longer total, add --prolong; otherwise name another workdir"


def _without_length(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out the keys that may differ if a run is prolonged."""
    kept = {key: value for key, value in values.items() if key not in ("total", "stop")}
    optimizer = kept.get("optimizer")
    if isinstance(optimizer, dict):
        parts = {k: _unscheduled(v) for k, v in optimizer.items()}
        kept["optimizer"] = _unscheduled(parts)
    return kept


def _unscheduled(spec: Any) -> Any:
    return {k: v for k, v in spec.items() if k != "schedule"} if isinstance(spec, dict) else spec


def _defining(values: Mapping[str, Any], *left_out: Mapping[str, Any]) -> dict[str, Any]:
    kept = json.loads(json.dumps(plain(values)))
    for key, inner in (item for table in left_out for item in table.items()):
        if not inner:
            kept.pop(key, None)
        elif isinstance(kept.get(key), dict):
            kept[key] = {k: v for k, v in kept[key].items() if k not in inner}
    return {key: value for key, value in kept.items() if value != {}}
