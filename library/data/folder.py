"""A folder of images as a data set: one directory a class, for images of one's own."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from library.config import ConfigError, nearest

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SPLITS = ("train", "val", "valid", "validation", "test")


class Files(NamedTuple):
    """The images of one split: paths relative to the folder, and labels `(n,)`."""

    paths: tuple[str, ...]
    labels: Int32[np.ndarray, " n"]


class Folder(NamedTuple):
    """What a folder of images holds."""

    root: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, Files]


@dataclasses.dataclass(frozen=True)
class FolderRecords:
    """Images as records `{"image": bytes, "label": int32}`.

    Attributes:
      root: the folder.
      paths: of the images, relative to it.
      labels: `(n,)`.
    """

    root: Path
    paths: tuple[str, ...]
    labels: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> dict:
        if not 0 <= row < len(self.paths):
            raise IndexError(f"row {row} of {len(self.paths)}")
        return {"image": (self.root / self.paths[row]).read_bytes(), "label": self.labels[row]}

    def describe(self, row: int) -> str:
        """Returns the path of the image of a row."""
        return str(self.root / self.paths[row])


def scan(root: Path, classes: Sequence[str] | None = None, seed: int = 0) -> Folder:
    """Lists a folder of images.

    Either `root/train/<class>/...`, with other splits beside `train`, or `root/<class>/...`, which
    is a single split "train" to be sliced, as in "train[:90%]" and "train[90%:]". Classes are
    ordered by name, or by number where all names are numbers. Images may lie deeper inside their
    class's directory; hidden files and other kinds of files are passed over.

    The order of a split is that of a hash of each image's path and the seed, so it is the same on
    every machine, mixes the classes, and moves few images between slices when some are added.

    Args:
      root: the folder.
      classes: the classes to read, in the order of their labels; by default all.
      seed: of the order.

    Raises:
      ConfigError: no such folder, no classes, an image outside every class, a class without
        images, or one that only some splits have.
    """
    if not root.is_dir():
        raise ConfigError(f"folder: there is no directory {root}")
    tops = _tops(root)
    class_names = tuple(classes) if classes else _class_names(tops)
    splits = {name: _list_split(root, top, class_names, seed) for name, top in tops.items()}
    return Folder(root, class_names, splits)


def _tops(root: Path) -> dict[str, Path]:
    """Returns the directory that holds the class directories of each split."""
    found = [root / name for name in SPLITS if (root / name).is_dir() and _directories(root / name)]
    # A class may be called "train", so only a directory of directories is a split.
    return {top.name: top for top in found} or {"train": root}


def _class_names(tops: Mapping[str, Path]) -> tuple[str, ...]:
    names = {split: set(_directories(top)) for split, top in tops.items()}
    everything = set().union(*names.values())
    if not everything:
        top = tops["train"]
        raise ConfigError(
            f"folder: {top} holds no directories: make one a class, {top}/<class>/<image>"
        )
    for split, own in names.items():
        if own != everything:
            missing = sorted(everything - own)[0]
            raise ConfigError(
                f"folder: {tops[split]} has no directory for the class {missing!r}, which "
                f"{' and '.join(s for s in names if missing in names[s])} has: "
                f"{nearest(missing, sorted(own))}"
            )
    return tuple(sorted(everything, key=int if all(map(_is_number, everything)) else None))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _list_split(root: Path, top: Path, class_names: Sequence[str], seed: int) -> Files:
    stray = [entry.name for entry in os.scandir(top) if entry.is_file() and _is_image(entry.name)]
    if stray:
        raise ConfigError(
            f"folder: {len(stray)} images in {top} lie outside every class ({min(stray)}): "
            "move each into the directory of its class"
        )
    listed = []
    for label, name in enumerate(class_names):
        if not (top / name).is_dir():
            raise ConfigError(
                f"folder: {top} has no directory for the class {name!r}: "
                f"{nearest(name, _directories(top))}"
            )
        listed += [(path, label) for path in _images(root, top / name)]
    listed.sort(key=lambda item: _place(item[0], seed))
    paths, labels = zip(*listed)
    return Files(paths, np.array(labels, np.int32))


def _images(root: Path, directory: Path) -> list[str]:
    """Lists the images under one class's directory, relative to the folder."""
    images, others = [], collections.Counter()
    for parent, folders, files in os.walk(directory, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            if _is_image(name):
                images.append(os.path.relpath(os.path.join(parent, name), root))
            else:
                others[os.path.splitext(name)[1] or name] += 1
    if not images:
        seen = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(3))
        raise ConfigError(
            f"folder: no images in {directory} (found: {seen or 'nothing'}; "
            f"read: {', '.join(SUFFIXES)})"
        )
    return images


def _place(path: str, seed: int) -> bytes:
    text = f"{seed} {Path(path).as_posix()}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _directories(top: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(top) if e.is_dir() and not e.name.startswith("."))
