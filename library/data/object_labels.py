"""Reading of label files of objects: COCO's JSON, YOLO's text and VOC's XML.

All give boxes as fractions of the image, ymin, xmin, ymax, xmax, from 0 to 1.
"""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32
from PIL import Image

from library.config import ConfigError, nearest

CLASS_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
_DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml")
# Labels round: a box may be outside by a pixel, or by this share of the image.
_PIXEL, _SHARE = 1.0, 2e-3


class Labels(NamedTuple):
    """The objects of an image.

    Attributes:
      boxes: (n, 4), as fractions of the image.
      classes: (n,).
      difficult: (n,), 1 for an object marked as difficult; None where the format has no such mark.
    """

    boxes: Float32[np.ndarray, "n 4"]
    classes: Int32[np.ndarray, " n"]
    difficult: Int32[np.ndarray, " n"] | None = None


class Table(NamedTuple):
    """The contents of a file of COCO.

    Attributes:
      path: its path.
      class_names: its classes.
      labels: the objects by image name.
      crowds: how many objects are marked as crowds, and left out.
      empty: how many other objects have a box without height or width, and are left out.
    """

    path: Path
    class_names: tuple[str, ...]
    labels: Mapping[str, Labels]
    crowds: int = 0
    empty: int = 0


def none(kind: str) -> Labels:
    """Returns the labels of an image without objects, in the form of a format's labels."""
    return _labels([], [], [] if kind == "VOC" else None)


def yolo(path: Path, image: Path, class_names: Sequence[str]) -> Labels:
    """Reads a label file of YOLO.

    Raises:
      ConfigError: a line has no five numbers, the class is not in the list, or a box is inverted or
        outside the image.
    """
    boxes, classes = [], []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where, words = f"{path}, line {number}", line.split()
        try:
            kind, x, y, width, height = int(words[0]), *map(float, words[1:])
        except ValueError as error:
            raise ConfigError(
                f"{where}: {line.strip()[:60]!r} is not a class and four numbers, x and y of the "
                "centre, width and height"
            ) from error
        if not 0 <= kind < len(class_names):
            raise ConfigError(
                f"{where}: class {kind} is not in the list: valid are 0 to {len(class_names) - 1}"
            )
        box = (y - height / 2, x - width / 2, y + height / 2, x + width / 2)
        boxes.append(_checked(where, box, (1, 1), _SHARE))
        classes.append(kind)
    return _labels(boxes, classes, None)


def voc(path: Path, image: Path, class_names: Sequence[str]) -> Labels:
    """Reads a label file of VOC, whose pixels count from 1 and include the last.

    Raises:
      ConfigError: the file is no XML of VOC, a class is not in the list, a mark is no 0 or 1, or a
        box is inverted or outside the image.
    """
    root = _element(path)
    sides = [root.findtext(f"size/{side}") for side in ("height", "width")]
    try:
        sides = tuple(float(side) for side in sides)
    except (TypeError, ValueError):
        sides = _sides(image)
    sides = sides if min(sides) > 0 else _sides(image)
    boxes, classes, difficult = [], [], []
    for number, found in enumerate(root.findall("object"), 1):
        where, name = f"{path}, object {number}", (found.findtext("name") or "").strip()
        if name not in class_names:
            raise ConfigError(
                f"{where}: class {name!r} is not in the list: {nearest(name, class_names)}"
            )
        edges = [found.findtext(f"bndbox/{edge}") for edge in ("ymin", "xmin", "ymax", "xmax")]
        try:
            top, left, bottom, right = map(float, edges)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: bndbox has {edges}, not four numbers") from error
        boxes.append(_checked(where, (top - 1, left - 1, bottom, right), sides, _PIXEL))
        classes.append(class_names.index(name))
        mark = (found.findtext("difficult") or "0").strip()
        if mark not in ("0", "1"):
            raise ConfigError(f"{where}: difficult is {mark!r}: valid are 0 and 1")
        difficult.append(int(mark))
    return _labels(boxes, classes, difficult)


READERS: Mapping[str, Callable[[Path, Path, Sequence[str]], Labels]] = {"YOLO": yolo, "VOC": voc}


def coco(path: Path) -> Table:
    """Reads a file of COCO; crowds, and objects without height or width, are left out.

    The training images of 2017 have two such objects.

    Raises:
      ConfigError: the file is no JSON of COCO, an object is of an unknown image or category, or a
        box is inverted or outside its image.
    """
    crowds = empty = 0
    try:
        held = json.loads(_text(path))
        images = {each["id"]: each for each in held["images"]}
        ids = {each["id"]: each["name"] for each in held["categories"]}
        numbers = {key: i for i, key in enumerate(sorted(ids))}
        found: dict[Any, tuple[list, list]] = {key: ([], []) for key in images}
        for each in held["annotations"]:
            where = f"{path}, annotation {each['id']}"
            if each["image_id"] not in images:
                raise ConfigError(f"{where}: there is no image {each['image_id']}")
            if each["category_id"] not in ids:
                known = nearest(each["category_id"], sorted(ids))
                raise ConfigError(f"{where}: there is no category {each['category_id']}: {known}")
            if each.get("iscrowd"):
                crowds += 1
                continue
            image, (x, y, width, height) = images[each["image_id"]], each["bbox"]
            if min(width, height) == 0:
                empty += 1
                continue
            sides = (float(image["height"]), float(image["width"]))
            boxes, classes = found[each["image_id"]]
            boxes.append(_checked(where, (y, x, y + height, x + width), sides, _PIXEL))
            classes.append(numbers[each["category_id"]])
        labels = {images[key]["file_name"]: _labels(*each, None) for key, each in found.items()}
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{path} is not a file of COCO, with images, categories and annotations: "
            f"{type(error).__name__}: {error}"
        ) from error
    return Table(path, tuple(ids[key] for key in sorted(ids)), labels, crowds, empty)


def class_names(root: Path, held: Sequence[str], kind: str) -> tuple[str, ...]:
    """Returns the names of the classes of labels of YOLO or VOC, () for COCO.

    Args:
      root: the folder.
      held: paths of all its files, relative to it.
      kind: "COCO", "YOLO" or "VOC".

    Raises:
      ConfigError: a list has no names or a name twice, or there is no list for YOLO.
    """
    if kind == "COCO":
        return ()
    top = {name.lower(): root / name for name in held if "/" not in name}
    lists = [top[name] for name in CLASS_LISTS if name in top]
    described = [top[name] for name in _DESCRIPTIONS if name in top]
    if described and kind == "YOLO":
        names = _described(described[0])
        return _distinct(described[0], names)
    if lists:
        names = [line.strip() for line in _text(lists[0]).splitlines() if line.strip()]
        return _distinct(lists[0], names)
    if kind == "YOLO":
        raise ConfigError(
            f"detection_folder: {root} names no classes: add classes.txt with a name a line, or a "
            "data.yaml with names"
        )
    found = set()
    for name in held:
        if name.lower().endswith(".xml"):
            found |= {
                (x.findtext("name") or "").strip() for x in _element(root / name).findall("object")
            }
    return _distinct(root, sorted(found))


def _described(path: Path) -> list[str]:
    # PyYAML comes with ml_collections and Flax.
    import yaml

    try:
        names = yaml.safe_load(_text(path))["names"]
        if not isinstance(names, list | dict):
            raise TypeError
        return [str(names[i]) for i in range(len(names))]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} has no list 'names' of the classes") from error


def _distinct(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    if not names or len(set(names)) < len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        what = f"the class {twice[0]!r} twice" if twice else "no classes"
        raise ConfigError(f"detection_folder: {path} names {what}")
    return tuple(names)


def _checked(
    where: str, box: tuple[float, ...], sides: tuple[float, float], slack: float
) -> list[float]:
    """Returns a box as fractions of the image, clipped to it."""
    top, left, bottom, right = box
    height, width = sides
    if not (bottom > top and right > left):
        raise ConfigError(
            f"{where}: the box from y {top:g} to {bottom:g} and x {left:g} to {right:g} is "
            "inverted or empty"
        )
    if min(top, left) < -slack or bottom > height + slack or right > width + slack:
        raise ConfigError(
            f"{where}: the box from y {top:g} to {bottom:g} and x {left:g} to {right:g} is outside "
            f"the image, 0 to {height:g} and 0 to {width:g}"
        )
    edges = (top / height, left / width, bottom / height, right / width)
    return [min(max(edge, 0.0), 1.0) for edge in edges]


def _labels(boxes: list, classes: list, difficult: list | None) -> Labels:
    marks = None if difficult is None else np.array(difficult, np.int32)
    return Labels(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int32), marks)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _element(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(_text(path))
    except ElementTree.ParseError as error:
        raise ConfigError(f"{path} is not XML: {error}") from error


def _sides(image: Path) -> tuple[float, float]:
    try:
        with Image.open(image) as picture:
            return float(picture.height), float(picture.width)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{image} cannot be read: {error}") from error
