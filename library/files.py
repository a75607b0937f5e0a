"""Files that are whole at every moment: what is read is the old content or the new one.

JSON is strict: what is not finite becomes null, since JSON has no such number and other programs
refuse the whole file. NaN and Infinity, which earlier versions wrote, are still read.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from library.config import ConfigError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a hidden path to write to, which takes the place of `path` if nothing fails.

    What a process leaves behind that is killed in between, the next one to write overwrites.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> Path:
    """Writes a file whole, in UTF-8, and makes its folder if need be; returns its path."""
    # A lone surrogate is legal in JSON and in nothing else.
    data = content if isinstance(content, bytes) else content.encode("utf-8", errors="replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(data)
    return path


def to_json(value: Any, **layout: Any) -> str:
    """Writes plain values as strict JSON, with null for what is not finite.

    Args:
      value: dicts, lists, strings, numbers, None.
      **layout: of `json.dumps`, such as `indent`.

    Raises:
      TypeError: a value that JSON has no form for.
    """
    return json.dumps(_finite(value), allow_nan=False, **layout)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file of one JSON object.

    Raises:
      ConfigError: it is absent, or damaged; then the line is named.
    """
    if not path.is_file():
        what = "is a file" if path.parent.is_file() else "does not exist"
        what = f"has no {path.name}" if path.parent.is_dir() else what
        raise ConfigError(f"{path.parent} {what}; name the workdir of a run")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is damaged: {error.msg}, line {error.lineno}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a JSON {type(value).__name__}, expected an object")
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
