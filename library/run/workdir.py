"""The directory of a run: it belongs to one config, and its files are written atomically."""

import json
from collections.abc import Mapping
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


def open_workdir(path: Path, values: Mapping[str, Any], identity: Mapping[str, Any]) -> Path:
    """Creates the directory of a run unless it exists, and writes its config.json.

    Args:
      path: the directory.
      values: the config, plain values.
      identity: the origin of the config: path, variant, overrides, command.

    Raises:
      ConfigError: the path is a file, cannot be written, or holds a run of another config; or a
        value of the config is not finite, which JSON cannot represent.
    """
    check_finite(values, "config")
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"workdir {path} is a file; name a directory")
    check_same_run(path, values)
    try:
        path.mkdir(parents=True, exist_ok=True)
        origin = {**plain(identity), "format": FORMAT}
        write_json(path / "config.json", {**plain(values), "_config": origin})
    except OSError as error:
        raise ConfigError(f"workdir {path} cannot be written: {error.strerror}") from error
    return path


def check_same_run(path: Path, values: Mapping[str, Any]) -> None:
    """Compares a config with that of the run in a directory, if there is one.

    Raises:
      ConfigError: they differ in keys that must not differ between two starts of one run.
    """
    if not (Path(path) / "config.json").is_file():
        return
    recorded = read_config(path)
    training = differing(*(_defining(v, _OPERATIONAL, _OBSERVING) for v in (values, recorded)))
    finished = (Path(path) / "summary.json").is_file()
    lines = differing(*(_defining(v, _OPERATIONAL) for v in (values, recorded)))
    lines = lines if finished else training
    if not lines:
        return
    shown = "; ".join(lines[:8]) + ("; ..." if len(lines) > 8 else "")
    if training:
        raise ConfigError(
            f"workdir {path} belongs to another config, which differs in {shown}. "
            "Name another workdir"
        )
    raise ConfigError(
        f"workdir {path} holds a finished run whose config differs in {shown}. To evaluate it, run "
        f"python -m experiments.evaluate --workdir={path} with the same --config.KEY=VALUE; "
        "otherwise name another workdir"
    )


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


def _defining(values: Mapping[str, Any], *left_out: Mapping[str, Any]) -> dict[str, Any]:
    kept = json.loads(json.dumps(plain(values)))
    for key, inner in (item for table in left_out for item in table.items()):
        if not inner:
            kept.pop(key, None)
        elif isinstance(kept.get(key), dict):
            kept[key] = {k: v for k, v in kept[key].items() if k not in inner}
    return {key: value for key, value in kept.items() if value != {}}
