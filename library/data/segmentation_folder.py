"""Your own images with maps as a dataset: two directories side by side, and a list of classes.

    root/classes.txt               one class a line
    root/images/scene1.jpg         photographs
    root/maps/scene1.png           the class of each pixel
    root/train/images, root/train/maps, root/test/images, ...  the same with splits

A map belongs to the image with the same path but for the suffix. Its pixels are the numbers of the
classes, from 0 in the order of the list, as in a grey or a palette PNG; 255 is no class. If the
lines of the list begin with a colour, as in `128 64 0 road`, the pixels are these colours, and the
colours of a class called `unknown` are no class.
"""

import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from library import files, maps
from library.config import ConfigError, nearest
from library.data import folder
from library.data.preprocessing import CorruptExample

CLASSES, UNKNOWN = "classes.txt", "unknown"
_THREADS = 4


class _NoClass(CorruptExample):
    """Raised for a map with a pixel of no class."""


class Classes(NamedTuple):
    """The classes of maps: names in the order of their numbers, and numbers by colour, if any."""

    names: tuple[str, ...]
    colours: Mapping[tuple[int, int, int], int]


class Listed(NamedTuple):
    """The classes and splits of a folder: pairs (image, map) of paths relative to it."""

    root: Path
    classes: Classes
    splits: Mapping[str, tuple[tuple[str, str], ...]]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class MapRecords:
    """The examples `{"image": bytes, "map": bytes or uint8 (h, w)}` of a folder of images and maps.

    Attributes:
      root: the folder.
      pairs: the paths of each image and of its map, relative to `root`.
      classes: the classes of the maps.
    """

    root: Path
    pairs: tuple[tuple[str, str], ...]
    classes: Classes

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> dict:
        if not 0 <= row < len(self.pairs):
            raise IndexError(f"row {row} of {len(self.pairs)}")
        image, own = (self.root / path for path in self.pairs[row])
        found = own.read_bytes()
        if self.classes.colours:
            found = _numbered(_colours(found, own), self.classes, own)
        return {"image": image.read_bytes(), "map": found}

    def describe(self, row: int) -> str:
        """Returns the path of the image of a row."""
        return str(self.root / self.pairs[row][0])

    def stored(self) -> tuple[list[str], Any]:
        """Returns what the examples follow from: paths of files, and plain values."""
        paths = [os.path.join(self.root, path) for pair in self.pairs for path in pair]
        colours = [[*colour, number] for colour, number in self.classes.colours.items()]
        return paths, [list(self.classes.names), colours]

    def check(self) -> None:
        """Reads every map, so that one that does not fit is an error before the training.

        Files that cannot be decoded are left to the loading, which may skip them.

        Raises:
          ConfigError: a map has another size than its image, or a pixel of no class.
        """
        with ThreadPoolExecutor(_THREADS) as pool:
            problems = [found for found in pool.map(self._problem, range(len(self))) if found]
        if problems:
            more = f" (and {len(problems) - 1} other files do not fit)" if problems[1:] else ""
            raise ConfigError(f"segmentation_folder: {problems[0]}{more}")

    def _problem(self, row: int) -> str | None:
        """Returns what is wrong with the map of a row, or None."""
        image, own = (self.root / path for path in self.pairs[row])
        try:
            if wrong := _other_size(image, own):
                return wrong
            if self.classes.colours:
                _numbered(_colours(own.read_bytes(), own), self.classes, own)
                return None
            return _beyond(own, self.classes)
        except _NoClass as error:
            return str(error)
        except Exception:  # PIL's decoders raise any exception for malformed files
            return None


def scan(root: Path, classes: Sequence[str] | None = None, seed: int = 0) -> Listed:
    """Lists the images and maps of a folder.

    Hidden files are skipped, as in `library.data.folder`. A split is ordered by a hash of each
    image's path and the seed, so slices are the same on every machine.

    Args:
      root: the folder.
      classes: the names of the classes, in place of the file `classes.txt`.
      seed: seed of the order.

    Raises:
      ConfigError: the folder does not exist or has no images; an image has no map, a map no image,
        or two images the same map; the list of classes is missing or malformed.
    """
    with files.listing("segmentation_folder"):
        if not root.is_dir():
            raise ConfigError(f"segmentation_folder: no such directory: {root}")
        known = _classes(root, classes)
        tops = {s: root / s for s in folder.SPLITS if (root / s / "images").is_dir()}
        tops = tops or {"train": root}
        notes, held = [folder.TURNED], {}
        for split, top in tops.items():
            pairs, skipped = _pairs(top)
            paths = [tuple(os.path.relpath(p, root) for p in pair) for pair in pairs]
            held[split] = tuple(sorted(paths, key=lambda pair: folder.place(pair[0], seed)))
            if skipped:
                notes.append(f"not images, and skipped: {files.shown(skipped, root)}")
    return Listed(root, known, held, tuple(notes))


def _pairs(top: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Returns the images of a split with their maps, and the files that are neither."""
    listed, skipped = {}, []
    for what in ("images", "maps"):
        if not (top / what).is_dir():
            found = sorted(e.name for e in os.scandir(top) if e.is_dir())
            raise ConfigError(
                f"segmentation_folder: {top} has no directory {what!r}: {nearest(what, found)}"
            )
        listed[what], others = folder.by_stem("segmentation_folder", top / what)
        skipped += others
    images, found = listed["images"], listed["maps"]
    if not images:
        raise ConfigError(f"segmentation_folder: no images in {top / 'images'}")
    for what, ours, theirs in (("map", images, found), ("image", found, images)):
        if missing := sorted(set(ours) - set(theirs)):
            raise ConfigError(
                f"segmentation_folder: {ours[missing[0]]} has no {what} in {top / f'{what}s'}: "
                f"{nearest(missing[0], sorted(theirs))}"
            )
    return [(images[stem], found[stem]) for stem in images], skipped


def _classes(root: Path, given: Sequence[str] | None) -> Classes:
    """Reads the list of classes.

    Raises:
      ConfigError: there is none, a line is malformed, a class or a colour comes twice, or there are
        more classes than a map has numbers for.
    """
    path = root / CLASSES
    if given is not None:
        if twice := [name for place, name in enumerate(given) if name in given[:place]]:
            raise ConfigError(f"segmentation_folder: dataset.classes: {twice[0]!r} comes twice")
        _check_number(given, "dataset.classes")
        return Classes(tuple(given), {})
    if not path.is_file():
        raise ConfigError(
            f"segmentation_folder: {path} is missing: list the classes there, one a line in the "
            "order of their numbers, or set dataset.classes"
        )
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    coloured = [len(line) > 3 and all(_is_level(word) for word in line[:3]) for line in lines]
    if not lines or (any(coloured) and not all(coloured)):
        raise ConfigError(
            f"segmentation_folder: {path}: write one class a line, either names alone, or a colour "
            "before each name, as in '128 64 0 road'"
        )
    names, colours = [], {}
    for line in lines:
        name = " ".join(line[3:] if coloured[0] else line)
        colour = tuple(map(int, line[:3])) if coloured[0] else None
        if name in names or (colour is not None and colour in colours):
            raise ConfigError(f"segmentation_folder: {path}: {' '.join(line)!r} comes twice")
        if colour is not None:
            colours[colour] = maps.UNKNOWN if name == UNKNOWN else len(names)
        if colour is None or name != UNKNOWN:
            names.append(name)
    _check_number(names, path)
    return Classes(tuple(names), colours)


def _check_number(names: Sequence[str], where: str | Path) -> None:
    if len(names) > maps.UNKNOWN:
        raise ConfigError(
            f"segmentation_folder: {where} has {len(names)} classes: valid are up to "
            f"{maps.UNKNOWN}, as a pixel of {maps.UNKNOWN} is of no class"
        )


def _is_level(word: str) -> bool:
    return word.isascii() and word.isdigit() and int(word) <= 255


def _other_size(image: Path, own: Path) -> str | None:
    """Returns what is wrong if a map has another size than its image; reads the headers alone."""
    with Image.open(image) as picture:
        wanted = folder.upright_size(picture)
        turned = wanted != picture.size
    with Image.open(own) as picture:
        found = picture.size
    if found == wanted:
        return None
    how = " when it is turned by its EXIF orientation" if turned else ""
    return (
        f"{own} is {found[0]}x{found[1]}, but its image {image} is {wanted[0]}x{wanted[1]}{how}: "
        "they need the same width and height"
    )


def _beyond(own: Path, classes: Classes) -> str | None:
    """Returns what is wrong if a pixel of a map of numbers is of no class."""
    with Image.open(own) as picture:
        numbers = np.array(picture)
    if numbers.ndim != 2:
        return (
            f"{own} has colours (mode {picture.mode}): write the colour of each class before its "
            f"name in {CLASSES}, or store numbers"
        )
    strange = (numbers != maps.UNKNOWN) & ((numbers < 0) | (numbers >= len(classes.names)))
    if not strange.any():
        return None
    row, column = np.argwhere(strange)[0]
    return (
        f"{own} has a pixel of class {int(numbers[row, column])} at row {row}, column {column}; "
        f"valid are 0 to {len(classes.names) - 1}, and {maps.UNKNOWN} for no class"
    )


def _colours(data: bytes, own: Path) -> UInt8[np.ndarray, "h w 3"]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except Exception as error:  # as above
        raise CorruptExample(f"{own} cannot be decoded: {error}") from error


def _numbered(
    colours: UInt8[np.ndarray, "h w 3"], classes: Classes, own: Path
) -> UInt8[np.ndarray, "h w"]:
    """Returns the number of each pixel's class by its colour.

    Raises:
      _NoClass: a colour is that of no class.
    """
    codes = colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
    known = np.array([(r << 16) + (g << 8) + b for r, g, b in classes.colours])
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
    strange = known[order][place] != codes
    if strange.any():
        row, column = np.argwhere(strange)[0]
        colour = colours[row, column].astype(int)
        close = min(classes.colours, key=lambda c: int(np.square(colour - c).sum()))
        raise _NoClass(
            f"{own} has the colour {' '.join(map(str, colour))} at row {row}, column {column}, "
            f"which is not in {CLASSES}; the nearest is {' '.join(map(str, close))}"
        )
    return np.array(list(classes.colours.values()), np.uint8)[order][place]
