"""Errors in files of one's own: whose code an error comes from, and the shapes at hand there.

A file of one's own is a Python file that the project did not bring: it lies outside the project, or
git has no commit of it. Installed packages, such as JAX and Flax, and the shared code of the
project (the ground and the layers) count as the file that calls them.
"""

import contextlib
import dis
import functools
import os
import subprocess
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from library.config import ConfigError, MisfitError
from library.data.preprocessing import UnfitExample

ROOT = Path(__file__).resolve().parents[2]
# The parts of the project that are installed with it.
_PACKAGES = ("library", "experiments", "configs", "launch")
_PYTHON = Path(os.__file__).resolve().parent
_INSTALLED = {"site-packages", "dist-packages"}


def own_error(error: BaseException | None) -> BaseException | None:
    """Returns the error, or the first of its causes, that comes from a file of one's own.

    It returns None if there is none. An error of this project's classes, such as ConfigError, does
    not count.
    """
    while error is not None:
        if not is_written_for_users(error) and _of_own_file(error):
            return error
        cause = error.__cause__
        # A ConfigError says all by itself, unless it repeats another error of the project.
        if isinstance(error, ConfigError) and not is_written_for_users(cause):
            return None
        error = cause
    return None


def is_written_for_users(error: BaseException | None) -> bool:
    """Returns whether an error is of a class of this project, whose message is enough."""
    return type(error).__module__.startswith("library.")


def raise_own(error: BaseException) -> None:
    """Raises the error that `own_error` finds, and does nothing if there is none."""
    found = own_error(error)
    if found is error:
        raise error
    if found is not None:
        # Its own cause stays; the errors that it became are left out.
        raise found from found.__cause__


def behind(error: BaseException | None) -> BaseException | None:
    """Returns the error that a MisfitError or an UnfitExample hides, if its traceback says more.

    In a project without git, or once a file is committed, no one can tell whose file it is. So the
    error is shown beside the message, whosever it is. A check, which is a `raise` of the project
    with a message for users, needs no traceback.

    Args:
      error: an error, which may be caused by a MisfitError or an UnfitExample.
    """
    hidden = False
    while error is not None and is_written_for_users(error):
        hidden |= isinstance(error, MisfitError | UnfitExample)
        error = error.__cause__
    return error if hidden and error is not None and not is_check(error) else None


def is_check(error: BaseException) -> bool:
    """Returns whether the error comes from a `raise` outside of the installed packages."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or _is_installed(_file(last.tb_frame)):
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def described(error: BaseException) -> str:
    """Returns the traceback of an error below the shapes at hand."""
    lines = traceback.format_exception(error)
    # Nothing that goes wrong in the description may hide the error.
    with contextlib.suppress(Exception):
        lines.insert(0, f"{at_hand(error)}\n")
    return "".join(lines).strip()


def at_hand(error: BaseException) -> str:
    """Describes where an error occurs: file and line, module, batch, and the shapes of variables.

    The place is the innermost line that is not of an installed package. The module is the innermost
    Flax module there, by its path. The text is empty if the error has no such place.
    """
    frames = [(f, line) for f, line in _frames(error) if not _is_installed(_file(f))]
    if not frames:
        return ""
    frame, line = frames[-1]
    lines = [f"at hand in {_file(frame)}, line {line}, {frame.f_code.co_name}:"]
    outwards = [dict(f.f_locals) for f, _ in reversed(frames)]
    module = next((found for found in map(_module, outwards) if found), None)
    lines += [f"  module: {module}"] if module else []
    batch = next((b for b in (held.get("batch") for held in outwards) if _is_batch(b)), None)
    if batch is not None:
        lines.append("  batch: " + ", ".join(f"{k} {shape(x)}" for k, x in batch.items()))
    lines += [f"  {k}: {shape(x)}" for k, x in outwards[0].items() if shape(x)]
    return "\n".join(lines)


def shape(value: Any) -> str:
    """Renders the dtype and the shape of an array, "float32[16,8,8,1]"; "" for other values."""
    if isinstance(value, type) or not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return ""
    return f"{value.dtype}[{','.join(map(str, value.shape))}]"


def _of_own_file(error: BaseException) -> bool:
    """Returns whether the innermost file that is not shared is a file of one's own."""
    files = [_file(frame) for frame, _ in _frames(error)]
    known = [file for file in files if not _is_installed(file) and not _is_shared(file)]
    return bool(known) and not came_with_the_project(known[-1])


def came_with_the_project(file: Path, root: Path = ROOT) -> bool:
    """Returns whether the project brought a file.

    If git cannot tell, every file below `root` counts as the project's.

    Args:
      file: the file.
      root: the folder of the project.
    """
    if file.is_relative_to(root / "tests"):
        return True
    return file.is_relative_to(root) and not _is_uncommitted(file, root)


@functools.lru_cache(maxsize=64)
def _is_uncommitted(file: Path, root: Path) -> bool:
    """Returns whether a commit has the project but not the file."""
    # The first name tells a repository of the project from one that the project merely lies in.
    names = ["library/config.py", str(file.relative_to(root))]
    command = ["git", "-C", str(root), "ls-tree", "-z", "--name-only", "HEAD", "--", *names]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    committed = found.split("\0")
    return names[0] in committed and names[1] not in committed


def _frames(error: BaseException) -> Iterator[tuple[types.FrameType, int]]:
    """Yields the frames of an error's traceback with their lines, the innermost last."""
    entry = error.__traceback__
    while entry is not None:
        yield entry.tb_frame, entry.tb_lineno
        entry = entry.tb_next


def _file(frame: types.FrameType) -> Path:
    return Path(frame.f_code.co_filename).resolve()


def _is_installed(file: Path) -> bool:
    """Returns whether a file belongs to Python or to an installed package, or is no file."""
    if any(file.is_relative_to(ROOT / package) for package in _PACKAGES):
        return False
    return not file.is_file() or file.is_relative_to(_PYTHON) or bool(_INSTALLED & {*file.parts})


def _is_shared(file: Path) -> bool:
    library = ROOT / "library"
    return file.parent == library or file.is_relative_to(library / "layers")


def _is_batch(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(map(shape, value.values()))


def _module(variables: Mapping[str, Any]) -> str | None:
    """Returns the path and the class of the Flax module whose method has these variables."""
    module = variables.get("self")
    # An unbound module has no scope, and its path cannot be read.
    with contextlib.suppress(Exception):
        if module.scope is not None:
            return f"{'/'.join(module.path) or '(the model itself)'} ({type(module).__name__})"
    return None
