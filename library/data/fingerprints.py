"""Fingerprints: cheap hashes of a split of a dataset that reveal when the data change.

They contain no absolute paths, so the data may move to another directory.

- The fingerprint of a folder of images covers all names and sizes, and the contents of at most 1000
  files. It misses a change to another file that keeps the file's size.
- The fingerprint of text covers all of the text.
- The fingerprint of a prepared dataset covers its name, version and size, and the contents of at
  most 128 examples. It misses a change to other examples that keeps the size. PNG images are
  compared by their pixels, because their bytes depend on the library that wrote them. For the same
  reason the size of a dataset with PNG images is ignored, so any change to its other examples is
  missed.
- The fingerprint of noise, which is generated when it is read, covers only the name.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from library.data import large_texts
from library.data.content_hashes import content_hashes
from library.data.large_texts import LargeDocument
from library.data.preprocessing import CorruptExample

# The most files of a folder, and the most examples of a prepared dataset, that are read.
FILES, EXAMPLES = 1000, 128
# A text with more documents than this has a single part.
DOCUMENTS = 1000
_SHOWN = 3
_PNG = b"\x89PNG"


class Part(NamedTuple):
    """The hashes of a part of a split that messages can name: a class, a document, or everything.

    Attributes:
      count: the number of units in the part, see `Fingerprint.unit`.
      names: a hash of names and sizes, or "" if they do not count.
      contents: a hash of contents, or "" if they do not count.
    """

    count: int
    names: str
    contents: str


class Fingerprint(NamedTuple):
    """The fingerprint of a split.

    Attributes:
      unit: what the parts count: "images", "characters" or "examples"; "" if they count different
        things, so that their counts have no sum.
      parts: the parts by name.
    """

    unit: str
    parts: Mapping[str, Part]


def of_folder(records: Any, class_names: Sequence[str]) -> Fingerprint:
    """Returns the fingerprint of image files, with one part per class.

    Args:
      records: an object with `root`, the directory; `paths`, relative to it, in an order that
        depends only on the paths; and their `labels`.
      class_names: the names of the classes in the order of their labels.
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
    """Returns the fingerprint of texts, with one part per document.

    Args:
      documents: objects with `path`, `text`, `length`, and `start`, the text's first character in
        the file; or large documents, whose hashes are kept.
      root: the directory of the paths, or the single path itself.
    """
    parts = {}
    for document, digest in zip(documents, _digests(documents)):
        path, start = document.path, document.start
        inner = path.relative_to(root).as_posix() if path != root else path.name
        name = f"{inner}[{start}:]" if start else inner
        parts[name] = Part(document.length, "", digest)
    if len(parts) > DOCUMENTS:
        lines = (f"{name} {part.contents}" for name, part in parts.items())
        total = sum(part.count for part in parts.values())
        parts = {f"{len(parts)} documents": Part(total, "", _of_lines(lines))}
    return Fingerprint("characters", parts)


def of_records(name: str, records: Any, size: int | None = None) -> Fingerprint:
    """Returns the fingerprint of examples with access by row, as one part.

    Args:
      name: the dataset's name, version and split.
      records: the examples: `len(records)` and `records[row] -> dict`.
      size: the size of the stored dataset in bytes.
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
    """Returns the fingerprint of a source whose examples follow from its name."""
    return Fingerprint("examples", {name: Part(count, _of_lines([name]), "")})


def differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Returns one short line per difference; an empty list means that the fingerprints are equal.

    Fingerprints are equal if their parts are equal in order, so a text file may have a new name.
    """
    if list(before.parts.values()) == list(now.parts.values()):
        return []
    total, found = (sum(part.count for part in each.parts.values()) for each in (before, now))
    counted = before.unit == now.unit != "" and total != found
    lines = [f"{total:,} {before.unit} were there, now {found:,}"] if counted else []
    old, new = before.parts, now.parts
    gone, come = ([name for name in a if name not in b] for a, b in ((old, new), (new, old)))
    both = [name for name in old if name in new]
    changed = [name for name in both if old[name][:2] != new[name][:2]]
    # If names differ, other files were read for the hashes of contents, so these say nothing.
    if not (gone or come or changed):
        changed = [name for name in both if old[name] != new[name]]
    for names, what in ((gone, "gone"), (come, "new"), (changed, "changed")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            verb = "" if what == "changed" else "are " if len(names) > 1 else "is "
            lines.append(f"{', '.join(names[:_SHOWN])}{more} {verb}{what}")
    return lines or ["their order changed"]


def _digests(documents: Sequence[Any]) -> list[str]:
    if documents and isinstance(documents[0], LargeDocument):
        return large_texts.digests(documents)
    return [_of_lines([document.text]) for document in documents]


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def _record(records: Any, row: int) -> Mapping[str, Any]:
    # A damaged example counts as empty here; training reports or skips it.
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
        # A broken file counts by its bytes, without the PNG signature: with it, `_pieces` would
        # take the bytes for a PNG again and never end.
        return [png.removeprefix(_PNG)]
