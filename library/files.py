"""Files: atomic writing, listing without repetitions, and strict JSON.

JSON has no NaN or Infinity, and other programs refuse a file that holds one. Numbers that are not
finite are therefore written as null. NaN and Infinity, which earlier versions wrote, are still
read.
"""

import contextlib
import json
import math
import os
import shutil
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from library.config import ConfigError

# Files and directories that operating systems and programs leave behind.
_LEFT_BEHIND = (
    *("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
    *("Thumbs.db", "desktop.ini"),
)

# (device, inode): the same for every path of one file or directory.
Identity = tuple[int, int]


class Tree(NamedTuple):
    """The files and directories in a directory, at any depth.

    Attributes:
      files: paths by identity, each file once.
      directories: paths by identity, the top directory among them.
      repeated: further paths, mostly links, of files and directories that are already listed.
      hidden: paths of files and directories that are skipped, see `is_hidden`.
    """

    files: dict[Identity, str]
    directories: dict[Identity, str]
    repeated: list[str]
    hidden: list[str]


def below(top: str | os.PathLike, known: Collection[Identity] = ()) -> Tree:
    """Lists every file and every directory in a directory, at any depth, once.

    Links are followed, also to directories elsewhere. They come last: a file in the directory
    itself is listed by its own path, and a link to something already listed is `repeated`. A
    broken link is a file.

    Args:
      top: the directory.
      known: directories to leave out, other than `top`.

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
    """Returns the identity of the file or directory at a path; of a broken link, its own."""
    try:
        found = os.stat(path)
    except OSError:
        found = os.lstat(path)
    return found.st_dev, found.st_ino


def shown(paths: Collection[str], top: str | os.PathLike, most: int = 3) -> str:
    """Renders the first paths in sorted order, relative to a directory: "a/b.pdf, c.csv, ..."."""
    first = sorted(path.removeprefix(os.path.join(os.fspath(top), "")) for path in paths)
    return ", ".join(first[:most]) + (", ..." if len(first) > most else "")


def is_hidden(name: str) -> bool:
    """Tells whether a name is hidden, or one that an operating system leaves behind."""
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
            # For a mount point, the directory entry holds another inode than `stat` returns.
            own = entry.stat(follow_symlinks=False)
            waiting.append(((own.st_dev, own.st_ino), entry.path, entry.is_dir()))


def _followed(link: str) -> tuple[Identity, str, bool]:
    return identity(link), link, os.path.isdir(link)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a hidden path to write to, which replaces `path` if nothing fails.

    A process that is killed meanwhile leaves the hidden file behind; the next write overwrites it.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a hidden folder to fill, which becomes the folder `path` if nothing fails.

    A process that is killed meanwhile leaves the hidden folder behind; the next call replaces it.

    Raises:
      ConfigError: there is a file at the path or a folder that is not empty, or the folder cannot
        be written.
    """
    path = Path(os.path.abspath(path))
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        what = "is a file" if path.is_file() else "is not empty"
        raise ConfigError(f"{path} {what}; name a folder that does not exist")
    partial = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        # An empty folder at the path is replaced.
        os.replace(partial, path)
    except OSError as error:
        raise ConfigError(f"folder {path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write(path: Path, content: str | bytes) -> Path:
    """Writes a file atomically, text in UTF-8, and returns its path.

    A missing folder is created.
    """
    # A lone surrogate is legal in JSON, but UTF-8 cannot encode it.
    data = content if isinstance(content, bytes) else content.encode("utf-8", errors="replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(data)
    return path


def to_json(value: Any, **layout: Any) -> str:
    """Returns plain values as strict JSON; a number that is not finite becomes null.

    Args:
      value: dicts, lists, strings, numbers, None.
      **layout: arguments of `json.dumps`, such as `indent`.

    Raises:
      TypeError: JSON cannot represent a value.
    """
    return json.dumps(_finite(value), allow_nan=False, **layout)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file of one JSON object.

    Raises:
      ConfigError: the file does not exist, is damaged or holds no object.
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
