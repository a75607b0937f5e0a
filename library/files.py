"""Files: written so that they are whole at every moment, and listed so that each comes once.

JSON is strict: what is not finite becomes null, since JSON has no such number and other programs
refuse the whole file. NaN and Infinity, which earlier versions wrote, are still read.
"""

import contextlib
import json
import math
import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from library.config import ConfigError

# What systems and programs leave in the directories of others.
_LEFT_BEHIND = (
    *("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
    *("Thumbs.db", "desktop.ini"),
)

# What tells two files or directories apart, whatever their paths: (device, inode).
Identity = tuple[int, int]


class Tree(NamedTuple):
    """What lies below a directory.

    Attributes:
      files: paths by identity, each file once.
      directories: paths by identity, the uppermost among them.
      repeated: paths, links most of them, that lead to what is listed under another path.
      hidden: paths of files and directories that are passed over, see `is_hidden`.
    """

    files: dict[Identity, str]
    directories: dict[Identity, str]
    repeated: list[str]
    hidden: list[str]


def below(top: str | os.PathLike, known: Collection[Identity] = ()) -> Tree:
    """Lists what lies below a directory, every file and every directory once.

    Links are followed, to directories elsewhere, too. They are so last: what lies in the directory
    itself goes by its own path, and a link that leads back to it, or to what another link has led
    to, is `repeated`. A link to nothing is a file.

    Args:
      top: the directory.
      known: directories that are not to be entered, but for `top`.

    Raises:
      OSError: a directory cannot be read.
    """
    top = os.fspath(top)
    tree, links = Tree({}, {}, [], []), deque()
    waiting = deque([(identity(top), top, True)])
    while waiting or links:
        own, path, is_directory = waiting.popleft() if waiting else _followed(links.popleft())
        held = tree.directories if is_directory else tree.files
        if own in held or (own in known and path != top):
            tree.repeated.append(path)
            continue
        held[own] = path
        if is_directory:
            _enter(path, tree, waiting, links)
    return tree


@contextlib.contextmanager
def listing(what: str) -> Iterator[None]:
    """Turns the error of a file or directory that cannot be read into a ConfigError.

    Args:
      what: what is listed, for the message.

    Raises:
      ConfigError: an OSError was raised inside.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{what}: {error.filename} cannot be read: {error.strerror}") from error


def identity(path: str | os.PathLike) -> Identity:
    """Returns what a path leads to; a link to nothing is itself."""
    try:
        found = os.stat(path)
    except OSError:
        found = os.lstat(path)
    return found.st_dev, found.st_ino


def shown(paths: Collection[str], top: str | os.PathLike, most: int = 3) -> str:
    """Renders "a/b.pdf, c.csv, ...": the first of some paths, as they lie below a directory."""
    first = sorted(path.removeprefix(os.path.join(os.fspath(top), "")) for path in paths)
    return ", ".join(first[:most]) + (", ..." if len(first) > most else "")


def is_hidden(name: str) -> bool:
    """Tells whether a file or directory is none that a person has put there."""
    return name.startswith(".") or name in _LEFT_BEHIND


def _enter(path: str, tree: Tree, waiting: deque, links: deque) -> None:
    with os.scandir(path) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if is_hidden(entry.name):
            tree.hidden.append(entry.path)
        elif entry.is_symlink():
            links.append(entry.path)
        else:
            # What a directory says of an inode itself is not to be relied on where it is mounted.
            own = entry.stat(follow_symlinks=False)
            waiting.append(((own.st_dev, own.st_ino), entry.path, entry.is_dir()))


def _followed(link: str) -> tuple[Identity, str, bool]:
    return identity(link), link, os.path.isdir(link)


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
