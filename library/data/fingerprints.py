"""Fingerprints: what a split of a data set is known by, so that a change of it is noticed.

They hold no absolute paths, so that data may move, and are cheap:

- A folder of images is known by all names and sizes, and by the contents of a thousand files. A
  change to another file that keeps its size is missed.
- Text is known by all of it.
- A prepared data set is known by its name, version and size, and by the contents of about a hundred
  examples. A change to other examples that keeps the size is missed. PNG images are compared by
  their pixels, because their bytes depend on the library that wrote them. The size of a data set
  that holds them does not count for the same reason, so any change to other examples is missed.
- Noise, which is made as it is read, is known by its name.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from library.data.content_hashes import content_hashes
from library.data.preprocessing import CorruptExample

# How many files of a folder are read, and how many examples of a prepared set.
FILES, EXAMPLES = 1000, 128
# Texts of more documents than this are one part.
DOCUMENTS = 1000
_SHOWN = 3
_PNG = b"\x89PNG"


class Part(NamedTuple):
    """A part of a split that a message can name: a class, a document, or all of it.

    Attributes:
      count: of what the fingerprint counts.
      names: a hash of the names and sizes that matter, or "".
      contents: a hash of contents, or "".
    """

    count: int
    names: str
    contents: str


class Fingerprint(NamedTuple):
    """What a split is known by.

    Attributes:
      unit: what is counted, "images".
      parts: by name.
    """

    unit: str
    parts: Mapping[str, Part]


def of_folder(records: Any, class_names: Sequence[str]) -> Fingerprint:
    """Returns the fingerprint of images in files, one part a class.

    Args:
      records: `root`, the directory; `paths` relative to it, in an order that depends on nothing
        but themselves, and the `labels` of them.
      class_names: names of the classes by label.
    """
    read = dict(zip(records.paths, content_hashes(records.root, records.paths[:FILES])))
    listed: dict[str, list[str]] = {name: [] for name in class_names}
    for path, label in zip(records.paths, records.labels):
        listed[class_names[label]].append(path)
    parts, root = {}, os.fspath(records.root)
    for name, paths in listed.items():
        paths.sort()
        sizes = (f"{path.replace(os.sep, '/')} {_size(f'{root}/{path}')}" for path in paths)
        contents = (str(read[path]) for path in paths if path in read)
        parts[name] = Part(len(paths), _of_lines(sizes), _of_lines(contents))
    return Fingerprint("images", parts)


def of_documents(documents: Sequence[Any], root: Path) -> Fingerprint:
    """Returns the fingerprint of texts, one part a document.

    Args:
      documents: `path`, `text`, and the character `start` that it begins with.
      root: what the paths lie below, or the one path itself.
    """
    parts = {}
    for path, text, start in documents:
        inner = path.relative_to(root).as_posix() if path != root else path.name
        name = f"{inner}[{start}:]" if start else inner
        parts[name] = Part(len(text), "", _of_lines([text]))
    if len(parts) > DOCUMENTS:
        lines = (f"{name} {part.contents}" for name, part in parts.items())
        total = sum(part.count for part in parts.values())
        parts = {f"{len(parts)} documents": Part(total, "", _of_lines(lines))}
    return Fingerprint("characters", parts)


def of_records(name: str, records: Any, size: int | None = None) -> Fingerprint:
    """Returns the fingerprint of records by row, as one part.

    Args:
      name: of the data set, its version and its split.
      records: `len(records)` and `records[row] -> dict`.
      size: of all that is stored, in bytes.
    """
    count = len(records)
    rows = np.unique(np.linspace(0, count - 1, EXAMPLES).astype(np.int64))
    examples = [_record(records, int(row)) for row in rows]
    png = any(_is_png(value) for example in examples for value in example.values())
    found = hashlib.sha256()
    for piece in _pieces(examples):
        found.update(piece)
    names = _of_lines([name, "" if size is None or png else str(size)])
    return Fingerprint("examples", {name: Part(count, names, found.hexdigest())})


def of_name(name: str, count: int) -> Fingerprint:
    """Returns the fingerprint of what is made as it is read, and is known by its name alone."""
    return Fingerprint("examples", {name: Part(count, _of_lines([name]), "")})


def differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Says in a few words each what differs; of equal ones nothing.

    Parts are equal if their hashes are, in order: a file of text may have another name.
    """
    if list(before.parts.values()) == list(now.parts.values()):
        return []
    total, found = (sum(part.count for part in each.parts.values()) for each in (before, now))
    lines = [f"{total:,} {before.unit} were there, now {found:,}"] if total != found else []
    old, new = before.parts, now.parts
    gone, come = ([name for name in a if name not in b] for a, b in ((old, new), (new, old)))
    both = [name for name in old if name in new]
    changed = [name for name in both if old[name][:2] != new[name][:2]]
    # Other names lead to other files being read, so contents tell nothing where names differ.
    if not (gone or come or changed):
        changed = [name for name in both if old[name] != new[name]]
    for names, what in ((gone, "gone"), (come, "new"), (changed, "changed")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            verb = "" if what == "changed" else "are " if len(names) > 1 else "is "
            lines.append(f"{', '.join(names[:_SHOWN])}{more} {verb}{what}")
    return lines or ["their order changed"]


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def _record(records: Any, row: int) -> Mapping[str, Any]:
    # Training finds a damaged example, and stops or skips it.
    try:
        return records[row]
    except (RuntimeError, CorruptExample):
        return {}


def _of_lines(lines: Any) -> str:
    text = "\n".join(lines)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    """Yields bytes that differ for different values."""
    if isinstance(value, Mapping):
        yield b"{%d" % len(value)
        for key in sorted(value):
            yield from _pieces(key)
            yield from _pieces(value[key])
    elif isinstance(value, (list, tuple)) or getattr(value, "dtype", np.dtype("u1")).hasobject:
        yield b"[%d" % len(value)
        for item in value:
            yield from _pieces(item)
    elif isinstance(value, (bytes, str)):
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        yield from _pieces(_pixels(data)) if _is_png(data) else (b"b%d:" % len(data), data)
    elif value is None:
        yield b"none"
    else:
        array = np.asarray(value)
        yield f"{array.dtype.str}{array.shape}".encode()
        yield array.tobytes()


def _is_png(value: Any) -> bool:
    return isinstance(value, bytes) and value.startswith(_PNG)


def _pixels(png: bytes) -> np.ndarray | list[bytes]:
    try:
        with Image.open(io.BytesIO(png)) as picture:
            return np.asarray(picture.convert("RGBA") if picture.mode == "P" else picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # A broken file counts by its bytes. Without its head it does not look like an image again.
        return [png.removeprefix(_PNG)]
