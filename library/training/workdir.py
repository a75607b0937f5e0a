"""The directory of a run: it belongs to one config, and every file in it is whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from library import files
from library.config import ConfigError, differing, plain

# What may differ between two starts of one run: where things lie, and how they are spread.
_OPERATIONAL = {
    "dataset": ("data_dir", "manual_dir", "workers", "threads"),
    "parallel": ("mesh", "rules", "activations"),
    "compile_cache": (),
    "steps_per_call": (),
    "wandb": (),
    "on_nonfinite": (),
}


def open_workdir(path: Path, values: Mapping[str, Any], identity: Mapping[str, Any]) -> Path:
    """Makes the directory of a run, or finds it again, and writes its config.json.

    Args:
      path: the directory.
      values: the config, plain values.
      identity: where the config came from: path, variant, overrides, command.

    Raises:
      ConfigError: the path is a file or cannot be written, or holds a run of another config.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"workdir {path} is a file; name a directory")
    check_same_run(path, values)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "config.json", {**plain(values), "_config": plain(identity)})
    except OSError as error:
        raise ConfigError(f"workdir {path} cannot be written: {error.strerror}") from error
    return path


def check_same_run(path: Path, values: Mapping[str, Any]) -> None:
    """Compares a config with that of the run in a directory, if there is one.

    Raises:
      ConfigError: they differ in more than what may differ between two starts of one run.
    """
    if not (Path(path) / "config.json").is_file():
        return
    lines = differing(_defining(values), _defining(read_config(path)))
    if lines:
        raise ConfigError(
            f"workdir {path} belongs to another config, which differs in "
            + "; ".join(lines[:8])
            + ("; ..." if len(lines) > 8 else "")
            + ". Name another workdir"
        )


def read_config(path: Path) -> dict[str, Any]:
    """Reads the config of the run in a directory, without `_config`.

    Raises:
      ConfigError: the directory holds no run.
    """
    values = read_json(Path(path) / "config.json")
    values.pop("_config", None)
    return values


def read_identity(path: Path) -> dict[str, Any]:
    """Reads where the config of the run in a directory came from."""
    return read_json(Path(path) / "config.json").get("_config", {})


def read_json(path: Path) -> dict[str, Any]:
    """Reads one of a workdir's JSON files.

    Raises:
      ConfigError: it is absent or damaged.
    """
    if not path.is_file():
        what = "does not exist" if not path.parent.is_dir() else f"has no {path.name}"
        raise ConfigError(f"{path.parent} {what}; name the workdir of a run")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON file so that at every moment it is either the old one or the new one.

    Of several processes only the first writes.
    """
    if jax.process_index():
        return
    files.write(path, json.dumps(values, indent=2) + "\n")


def _defining(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = json.loads(json.dumps(plain(values)))
    for key, inner in _OPERATIONAL.items():
        if not inner:
            kept.pop(key, None)
        elif isinstance(kept.get(key), dict):
            kept[key] = {k: v for k, v in kept[key].items() if k not in inner}
    return {key: value for key, value in kept.items() if value != {}}
