"""Your own pairs of images: a folder of clean images beside a folder of damaged ones."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from library import files
from library.config import ConfigError, nearest
from library.data import folder

# The folder of the images of each feature.
FOLDERS = {"image": "clean", "damaged": "damaged"}
_THREADS = 4


class Pair(NamedTuple):
    """The paths of a clean and of a damaged image, relative to the folder."""

    image: str
    damaged: str


class Listed(NamedTuple):
    """The pairs of each split of a folder; `notes` are lines for the user on how it is read."""

    splits: Mapping[str, tuple[Pair, ...]]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class PairRecords:
    """The examples `{"image": bytes, "damaged": bytes}` of a folder of pairs.

    Attributes:
      root: the folder.
      pairs: the paths of each pair, relative to `root`.
    """

    root: Path
    pairs: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> dict:
        if not 0 <= row < len(self.pairs):
            raise IndexError(f"row {row} of {len(self.pairs)}")
        paths = self.pairs[row]._asdict()
        return {name: (self.root / path).read_bytes() for name, path in paths.items()}

    def describe(self, row: int) -> str:
        """Returns the path of the clean image of a row."""
        return str(self.root / self.pairs[row].image)

    def listed(self) -> folder.FolderRecords:
        """Returns all files, labelled 0 for a clean and 1 for a damaged image."""
        paths = (*(pair.image for pair in self.pairs), *(pair.damaged for pair in self.pairs))
        labels = np.repeat(np.arange(2, dtype=np.int32), len(self.pairs))
        return folder.FolderRecords(self.root, paths, labels)

    def stored(self) -> tuple[list[str], list]:
        """Returns what the examples follow from: paths of files, and plain values."""
        return self.listed().stored()


def scan(root: Path, seed: int = 0) -> Listed:
    """Lists the pairs of each split of a folder.

    The layout is `root/train/clean/...` and `root/train/damaged/...`, with other splits next to
    `train`, or `root/clean/...` and `root/damaged/...`, a single split "train". Two images are a
    pair if their paths below these folders are equal but for the suffix. A split is ordered by a
    hash of the paths, see `library.data.folder`.

    Raises:
      ConfigError: a folder does not exist or cannot be read, an image has no partner or two, or the
        sides of the images of a pair are not in the ratio of the first pair, a whole number. Files
        that cannot be read are left to the loading, which may skip them.
    """
    with files.listing("pairs_folder"):
        if not root.is_dir():
            raise ConfigError(f"pairs_folder: no such directory: {root}")
        tops = [root / name for name in folder.SPLITS if (root / name / FOLDERS["image"]).is_dir()]
        found = {top.name: top for top in tops} or {"train": root}
        notes, held = [folder.TURNED], {}
        for name, top in found.items():
            held[name], others = _pairs(root, top, seed)
            if others:
                notes.append(f"not images, and skipped: {files.shown(others, root)}")
    _check_sizes(root, [pair for pairs in held.values() for pair in pairs])
    return Listed(held, tuple(notes))


def _pairs(root: Path, top: Path, seed: int) -> tuple[tuple[Pair, ...], list[str]]:
    """Returns the pairs of a split, and the files that are no images."""
    named, others = {}, []
    for feature, name in FOLDERS.items():
        named[feature], more = _named(top / name)
        others += more
    for feature, other in (("image", "damaged"), ("damaged", "image")):
        alone = sorted(named[feature].keys() - named[other].keys())
        if alone:
            path, partner = named[feature][alone[0]], top / FOLDERS[other]
            raise ConfigError(
                f"pairs_folder: {path} has no partner {partner / alone[0]}.*, nor have "
                f"{len(alone) - 1} others: {nearest(alone[0], sorted(named[other]))}"
            )
    within = os.path.join(root, "")
    pairs = [
        Pair(*(named[feature][name].removeprefix(within) for feature in FOLDERS))
        for name in named["image"]
    ]
    return tuple(sorted(pairs, key=lambda pair: folder.place(pair.image, seed))), others


def _named(top: Path) -> tuple[dict[str, str], list[str]]:
    """Returns the images below a directory by the names of `folder.by_stem`, and other files."""
    if not top.is_dir():
        raise ConfigError(
            f"pairs_folder: no such directory: {top}; clean images are in "
            f"{top.parent / FOLDERS['image']}, damaged ones in {top.parent / FOLDERS['damaged']}"
        )
    found, others = folder.by_stem("pairs_folder", top)
    if not found:
        raise ConfigError(f"pairs_folder: no images in {top} (valid: {', '.join(folder.SUFFIXES)})")
    return found, others


def _check_sizes(root: Path, pairs: Sequence[Pair]) -> None:
    """Checks that all pairs that can be read have the same ratio of sides, a whole number."""
    ratio, first = None, None
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = pool.map(lambda pair: [_size(root / path) for path in pair], pairs)
        for pair, (clean, damaged) in zip(pairs, sizes):
            if clean is None or damaged is None:
                continue
            own = clean[0] // damaged[0]
            ratio, first = (own, pair) if first is None else (ratio, first)
            if own < 1 or own != ratio or clean != (own * damaged[0], own * damaged[1]):
                wanted = f"{ratio} times as large" if ratio else "as large, or a multiple"
                raise ConfigError(
                    f"pairs_folder: {root / pair.image} is {clean[0]}x{clean[1]} (width x height), "
                    f"and {root / pair.damaged} is {damaged[0]}x{damaged[1]}: the clean image must "
                    f"be {wanted}, as in the first pair {root / first.image}"
                )


def _size(path: Path) -> tuple[int, int] | None:
    """Returns the width and height of an image, or None if it cannot be read."""
    try:
        with Image.open(path) as picture:
            return folder.upright_size(picture)
    except Exception:  # PIL's decoders raise any exception for malformed files
        return None
