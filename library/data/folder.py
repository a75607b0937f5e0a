"""Your own images as a dataset: a folder with one directory per class."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32
from PIL import Image

from library import files
from library.config import ConfigError, nearest
from library.data import splits

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpx", ".tga"),
)
SPLITS = ("train", "val", "valid", "validation", "test")
TURNED = (
    "photographs are rotated by their EXIF orientation, unless decode has exif_orientation=False"
)
# The EXIF tag of the orientation. From 5 on, height and width change places.
_ORIENTATION, _ON_THE_SIDE = 0x0112, 5


class Files(NamedTuple):
    """The images of one split: paths relative to the folder, and labels `(n,)`."""

    paths: tuple[str, ...]
    labels: Int32[np.ndarray, " n"]


class Folder(NamedTuple):
    """The classes and splits of a folder; `notes` are lines for the user on how it is read."""

    root: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, Files]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class FolderRecords:
    """The examples `{"image": bytes, "label": int32}` of a folder of images.

    Attributes:
      root: the folder.
      paths: the paths of the images, relative to `root`.
      labels: the labels of the images, `(n,)`.
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

    def stored(self) -> tuple[list[str], Any]:
        """Returns what the examples follow from: paths of files, and plain values."""
        return [os.path.join(self.root, path) for path in self.paths], self.labels.tolist()


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """The examples `{"image": bytes}` of image files, one per file."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> dict:
        return {"image": self.paths[row].read_bytes()}

    def describe(self, row: int) -> str:
        """Returns the path of the image of a row."""
        return str(self.paths[row])


def scan(root: Path, classes: Sequence[str] | None = None, seed: int = 0) -> Folder:
    """Lists the classes and splits of a folder of images.

    The layout is `root/train/<class>/...`, with other splits next to `train`, or
    `root/<class>/...`, a single split "train" that you can slice: "train[:90%]" and "train[90%:]".
    Classes are ordered by name, or by number if all names are numbers. Images may be in
    subdirectories of their class.

    Every file and every directory is read once, even if several paths lead to it. Links are
    followed, also to directories outside the folder, unless they lead back to the folder, a split
    or a class. If a class has a file and a link to it, one of them is read. Hidden files, files
    that systems leave behind (`__MACOSX`, `.ipynb_checkpoints`, ...), links that are not followed
    and other kinds of files are skipped; `notes` lists them.

    A split is ordered by a hash of each image's path and the seed. The order is therefore the same
    on every machine, mixes the classes, and moves few images between slices if images are added.

    Args:
      root: the folder.
      classes: the classes to read, in the order of their labels; by default all.
      seed: seed of the order.

    Raises:
      ConfigError: the folder does not exist, cannot be read or has no classes; an image is outside
        every class or in two classes; a class has no images; or only some splits have a class.
    """
    with files.listing("folder"):
        if not root.is_dir():
            raise ConfigError(f"folder: no such directory: {root}")
        return _scan(root, classes, seed)


def image_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Lists image files, given by their own paths or by the paths of directories.

    Returns:
      The files, those of a directory in the order of their paths; and lines for the user on what
      was skipped in the directories, see `scan`.

    Raises:
      ConfigError: a path does not exist, or a directory cannot be read or has no images.
    """
    with files.listing("image files"):
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise ConfigError(f"no such image file: {', '.join(missing)}")
        return _image_files(paths)


def _image_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    found, notes = [], []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        tree = files.below(path)
        images = sorted(held for held in tree.files.values() if is_image(held))
        if not images:
            raise ConfigError(f"no images in {path} (valid: {', '.join(SUFFIXES)})")
        found += map(Path, images)
        notes += _notes(path, [tree])
    return found, notes


def _scan(root: Path, classes: Sequence[str] | None, seed: int) -> Folder:
    tops = _tops(root)
    class_names = tuple(classes) if classes else _class_names(tops)
    known = {files.identity(path) for path in (root, *tops.values())}
    known |= {
        files.identity(top / name)
        for top in tops.values()
        for name in class_names
        if (top / name).is_dir()
    }
    held, listed, read = {}, [], {}
    for name, top in tops.items():
        trees = _class_trees(top, class_names, known)
        held[name], read[name] = _files(root, trees, seed)
        listed += [*trees, _beside_classes(top)]
    notes = [TURNED, *_notes(root, listed), *_beside_splits(root, tops)]
    notes += splits.shared(read, "images")
    return Folder(root, class_names, held, tuple(notes))


def _notes(root: Path, trees: Sequence[files.Tree]) -> list[str]:
    """Renders what is skipped in the folder `root`, one line per reason."""
    others = [path for tree in trees for path in tree.files.values() if not is_image(path)]
    hidden = [path for tree in trees for path in tree.hidden]
    repeated = [path for tree in trees for path in tree.repeated]
    kinds = (
        (others, "not an image", "not images"),
        (hidden, "hidden", "hidden"),
        (repeated, "already read under another path", "already read under other paths"),
    )
    return [
        f"{len(paths)} {'file or directory in' if len(paths) == 1 else 'files or directories in'} "
        f"{root} {'is' if len(paths) == 1 else 'are'} skipped "
        f"({one if len(paths) == 1 else many}): {files.shown(paths, root)}"
        for paths, one, many in kinds
        if paths
    ]


def _beside_classes(top: Path) -> files.Tree:
    """Lists the files that are next to the class directories of a split."""
    found = [e for e in os.scandir(top) if files.is_hidden(e.name) or e.is_file()]
    hidden = [e.path for e in found if files.is_hidden(e.name)]
    held = {files.identity(e.path): e.path for e in found if e.path not in hidden}
    return files.Tree(held, {}, [], hidden)


def _beside_splits(root: Path, tops: Mapping[str, Path]) -> list[str]:
    if root in tops.values():
        return []
    found = [e.path for e in os.scandir(root) if e.name not in tops and not files.is_hidden(e.name)]
    if not found:
        return []
    return [f"only {', '.join(tops)} in {root} are read; skipped: {files.shown(found, root)}"]


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
            f"folder: {top} has no directories: make one for each class, {top}/<class>/<image>"
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


def _class_trees(
    top: Path, class_names: Sequence[str], known: set[files.Identity]
) -> list[files.Tree]:
    """Lists the contents of each class directory of a split."""
    stray = [entry.name for entry in os.scandir(top) if entry.is_file() and is_image(entry.name)]
    if stray:
        raise ConfigError(
            f"folder: {len(stray)} images in {top} are outside every class directory, such as "
            f"{min(stray)}: move each image into the directory of its class"
        )
    for name in class_names:
        if not (top / name).is_dir():
            raise ConfigError(
                f"folder: {top} has no directory for the class {name!r}: "
                f"{nearest(name, _directories(top))}"
            )
    trees = [files.below(top / name, known) for name in class_names]
    empty = [i for i, tree in enumerate(trees) if not any(map(is_image, tree.files.values()))]
    if empty:
        seen = collections.Counter(
            os.path.splitext(path)[1] or os.path.basename(path)
            for path in trees[empty[0]].files.values()
        )
        found = ", ".join(f"{count} {suffix}" for suffix, count in seen.most_common(3))
        others = ", ".join(class_names[i] for i in empty[1:4])
        raise ConfigError(
            f"folder: no images in {top / class_names[empty[0]]} (found: {found or 'nothing'}; "
            f"valid: {', '.join(SUFFIXES)})"
            + (f"; {len(empty) - 1} other classes have none either: {others}" if others else "")
        )
    return trees


def _files(root: Path, trees: Sequence[files.Tree], seed: int) -> tuple[Files, set[files.Identity]]:
    """Returns the images of a split in their order, and the identities of their files."""
    within, listed, owner = os.path.join(root, ""), [], {}
    for label, tree in enumerate(trees):
        for own, path in tree.files.items():
            if not is_image(path):
                continue
            if own in owner:
                raise ConfigError(
                    f"folder: {owner[own]} and {path} are the same file in two classes: remove one "
                    "of them"
                )
            owner[own] = path
            listed.append((path.removeprefix(within), label))
    listed.sort(key=lambda item: place(item[0], seed))
    paths, labels = zip(*listed)
    return Files(paths, np.array(labels, np.int32)), set(owner)


def by_stem(dataset: str, top: Path) -> tuple[dict[str, str], list[str]]:
    """Lists the images below a directory by the names that partners in another directory share.

    Args:
      dataset: the name of the dataset, for the message.
      top: the directory.

    Returns:
      The images by their paths below `top` without the suffix, and the files that are no images.

    Raises:
      ConfigError: two images have the same path but for the suffix.
    """
    found: dict[str, str] = {}
    others = []
    for path in sorted(files.below(top).files.values()):
        name = os.path.splitext(os.path.relpath(path, top))[0]
        if not is_image(path):
            others.append(path)
        elif name in found:
            raise ConfigError(
                f"{dataset}: {found[name]} and {path} have the same name but for the suffix: "
                "rename one of them"
            )
        else:
            found[name] = path
    return found, others


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Returns the width and height of a picture as they are after its EXIF orientation."""
    turned = picture.getexif().get(_ORIENTATION, 1) >= _ON_THE_SIDE
    return picture.size[::-1] if turned else picture.size


def place(path: str, seed: int) -> bytes:
    """Returns the hash of a path and a seed by which the images of a split are ordered."""
    text = f"{seed} {path.replace(os.sep, '/')}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()


def is_image(path: str) -> bool:
    """Returns whether a path has the suffix of an image and is not hidden."""
    return path.lower().endswith(SUFFIXES) and not files.is_hidden(os.path.basename(path))


def _directories(top: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(top) if e.is_dir() and not files.is_hidden(e.name))
