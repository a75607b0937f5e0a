"""The tokenizer of another run, so that params that are taken from there keep their meaning."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from library import config, files
from library.config import ConfigError
from library.data.tokenizers._tokenizer import Tokenizer


def of_run(workdir: str, *, fitted: Mapping[str, Any] | None = None) -> Tokenizer:
    """Returns the tokenizer that another run was trained with.

    Args:
      workdir: the other run's directory, or the folder of an exported run; "~" is the home.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, no file is read.

    Raises:
      ConfigError: there is no run, its data have no tokens, or its data.json is damaged.
    """
    if fitted is None:
        fitted = _found(Path(workdir).expanduser() / "data.json")
    package = "library.data.tokenizers"
    given = dict(texts=(), fitted=fitted["fitted"])
    made = config.build(dict(fitted["spec"]), package, "tokenizer", **given)
    return made._replace(fitted=dict(fitted))


def _found(path: Path) -> dict[str, Any]:
    """Returns the spec and the fitted values of the tokenizer in a run's data record."""
    if not path.is_file():
        raise ConfigError(f"tokenizer 'of_run', workdir={str(path.parent)!r}: no run is there")
    record = files.read_json(path)
    try:
        if record["tokenizer"] is not None:
            return {key: record["tokenizer"][key] for key in ("spec", "fitted")}
        for key, values in record.get("preprocess", {}).items():
            spec = json.loads(key)
            if "tokenizer" in spec:
                return {"spec": spec["tokenizer"], "fitted": values}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {type(error).__name__} {error}") from error
    raise ConfigError(f"tokenizer 'of_run': the data of the run in {path.parent} have no tokens")
