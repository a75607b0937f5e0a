"""Files that are whole at every moment: what is read is the old content or the new one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


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
