"""Your own images with boxes as a dataset: a folder with labels in the format of COCO, YOLO or VOC.

| format | labels | a box |
| --- | --- | --- |
| COCO | one `.json` of a split | x, y, width, height in pixels from 0 |
| YOLO | a `.txt` of an image, a line an object | x, y of the centre, width, height as shares |
| VOC | a `.xml` of an image | xmin, ymin, xmax, ymax, pixels from 1, the last one included |

Labels have the name of their image. They lie beside it, or in a folder `labels` or `Annotations`
where the images lie in `images` or `JPEGImages`. Splits are folders, `root/train/...` or
`root/images/train/...`, or lists, `root/ImageSets/Main/train.txt`. Without them, all is one split
"train" that you can slice.
COCO's file may also be `root/annotations/*train*.json`.

Class names are those of COCO's categories in the order of their ids; for YOLO those of `data.yaml`,
`classes.txt` or `obj.names`; for VOC those of `classes.txt`, or all that occur, by name.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from library import files
from library.config import ConfigError
from library.data import folder, object_labels
from library.data.object_labels import Labels

# Folders that say what lies in them; they are no part of an image's name.
_ROLES = ("images", "jpegimages", "labels", "annotations")
_KINDS = {".xml": "VOC", ".txt": "YOLO", ".json": "COCO"}
# Files beside the labels that are no labels; label programs add notes.json.
_LISTS = (
    *object_labels.CLASS_LISTS,
    *("readme.txt", "requirements.txt", "notes.json"),
    *(f"{split}.txt" for split in (*folder.SPLITS, "trainval")),
)


class Split(NamedTuple):
    """The examples of a split: paths of images relative to the folder, and their objects."""

    paths: tuple[str, ...]
    labels: tuple[Labels, ...]


class Folder(NamedTuple):
    """The classes and splits of a folder; `notes` are lines for the user on how it is read."""

    root: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ObjectRecords:
    """The examples `{"image": bytes, "boxes": (n, 4), "boxes_label": (n,)}` of a folder.

    Those of VOC also have `boxes_difficult` (n,).

    Attributes:
      root: the folder.
      paths: the paths of the images, relative to `root`.
      labels: the objects of each image.
    """

    root: Path
    paths: tuple[str, ...]
    labels: tuple[Labels, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        if not 0 <= row < len(self.paths):
            raise IndexError(f"row {row} of {len(self.paths)}")
        boxes, classes, difficult = self.labels[row]
        marks = {} if difficult is None else {"boxes_difficult": difficult}
        image = (self.root / self.paths[row]).read_bytes()
        return {"image": image, "boxes": boxes, "boxes_label": classes, **marks}

    def describe(self, row: int) -> str:
        """Returns the path of the image of a row."""
        return str(self.root / self.paths[row])

    def stored(self) -> tuple[list[str], Any]:
        """Returns what the examples follow from: paths of files, and plain values."""
        values = [[None if x is None else x.tolist() for x in each] for each in self.labels]
        return [os.path.join(self.root, path) for path in self.paths], values


def scan(root: Path, seed: int = 0) -> Folder:
    """Reads the labels of a folder and lists its images.

    An empty label file means that the image has no objects. So does a missing one, which a note
    tells. A split is ordered by a hash of each image's path and the seed, as in `folder.scan`.

    Args:
      root: the folder.
      seed: seed of the order.

    Raises:
      ConfigError: there is no such folder, there are no images or no labels, labels have several
        formats, a file is malformed, a box is inverted or outside its image, a class is not in the
        list, or a label file has no image. The message names the file.
    """
    with files.listing("detection_folder"):
        if not root.is_dir():
            raise ConfigError(f"detection_folder: no such directory: {root}")
        tree = files.below(root)
        held = sorted(os.path.relpath(path, root) for path in tree.files.values())
    tops = _tops(root, held)
    format_of = {split: _format(root, split, names) for split, names in tops.items()}
    if len(set(format_of.values())) > 1:
        raise ConfigError(
            f"detection_folder: the splits of {root} have labels of several formats: {format_of}"
        )
    kind = next(iter(format_of.values()))
    names = object_labels.class_names(root, held, kind)
    found, notes = {}, [f"{root} has labels in the format of {kind}", *_outside(held, tops)]
    if kind == "COCO":
        names, tables = _coco_tables(root, held, tops)
        for split, table in tables.items():
            found[split], more = _coco_split(root, tops[split], table, seed)
            notes += more
    else:
        for split, members in tops.items():
            found[split], bare = _paired(root, members, kind, names, seed)
            notes += _without_labels(split, bare)
    return Folder(root, names, found, tuple(notes))


def _tops(root: Path, held: Sequence[str]) -> dict[str, list[str]]:
    """Returns the files of each split, relative to the root."""
    lists = [n for n in held if _is_list(n) and any(map(folder.is_image, held))]
    if lists:
        return _listed(root, lists, held)
    found: dict[str, list[str]] = {}
    for name in held:
        parts = [part.lower() for part in PurePath(name).parts[:-1]]
        # COCO's folders have a year behind the name: train2017.
        stems = [part.rstrip("0123456789") for part in parts[:2]]
        split = next((stem for stem in stems if stem in folder.SPLITS), None)
        if split is not None:
            found.setdefault(split, []).append(name)
    known = {s: n for s, n in found.items() if any(map(folder.is_image, n))}
    return known or {"train": list(held)}


def _outside(held: Sequence[str], tops: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns a note on the images that are in no split, if there are any."""
    used = {name for names in tops.values() for name in names}
    left = [name for name in held if folder.is_image(name) and name not in used]
    return [f"{len(left)} images are in no split, and left out: {left[0]}, ..."] if left else []


def _is_list(name: str) -> bool:
    path = PurePath(name)
    return path.parts[-3:-1] == ("ImageSets", "Main") and path.stem in folder.SPLITS


def _listed(root: Path, lists: Sequence[str], held: Sequence[str]) -> dict[str, list[str]]:
    """Returns the files of the splits that the lists of a VOC devkit name."""
    found = {}
    for path in lists:
        wanted = set((root / path).read_text().split())
        found[PurePath(path).stem] = [
            name
            for name in held
            if PurePath(name).stem in wanted and (folder.is_image(name) or name.endswith(".xml"))
        ]
        missing = wanted - {PurePath(n).stem for n in found[PurePath(path).stem]}
        if missing:
            raise ConfigError(
                f"detection_folder: {root / path} lists {min(missing)!r}, which has no image"
            )
    return found


def _format(root: Path, split: str, names: Sequence[str]) -> str:
    """Returns the format of a split's labels."""
    own = {_KINDS.get(PurePath(name).suffix.lower()) for name in names if _is_label(name)}
    own = {kind for kind in own if kind is not None}
    if not own and _coco_files(root, split):
        return "COCO"
    if len(own) != 1:
        what = f"labels of several formats ({', '.join(sorted(own))})" if own else "no labels"
        raise ConfigError(
            f"detection_folder: the split {split!r} of {root} has {what}: valid are a .json of "
            "COCO, or a .txt of YOLO or an .xml of VOC for each image"
        )
    return own.pop()


def _is_label(name: str) -> bool:
    path = PurePath(name)
    return path.suffix.lower() in _KINDS and path.name.lower() not in _LISTS


def _key(name: str) -> str:
    """Returns what an image and its label file have in common."""
    path = PurePath(name).with_suffix("")
    return "/".join(part for part in path.parts if part.lower() not in _ROLES)


def _images(root: Path, names: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in filter(folder.is_image, names):
        if _key(name) in found:
            raise ConfigError(
                f"detection_folder: {root / name} and {root / found[_key(name)]} have one name: "
                "rename one of them, because labels have the name of their image"
            )
        found[_key(name)] = name
    if not found:
        raise ConfigError(f"detection_folder: no images in {root}")
    return found


def _paired(
    root: Path, members: Sequence[str], kind: str, class_names: Sequence[str], seed: int
) -> tuple[Split, list[str]]:
    """Returns a split whose images have a label file each, and the images without one."""
    images = _images(root, members)
    wanted = next(suffix for suffix, own in _KINDS.items() if own == kind)
    found = {_key(n): n for n in members if _is_label(n) and n.lower().endswith(wanted)}
    for key, name in found.items():
        if key not in images:
            raise ConfigError(
                f"detection_folder: {root / name} has no image of its name: add the image, or "
                "remove the file"
            )
    keys = sorted(images, key=lambda key: folder.place(images[key], seed))
    read = object_labels.READERS[kind]
    none = object_labels.none(kind)
    labels = [
        read(root / found[key], root / images[key], class_names) if key in found else none
        for key in keys
    ]
    bare = [images[key] for key in keys if key not in found]
    return Split(tuple(images[key] for key in keys), tuple(labels)), bare


def _without_labels(split: str, bare: Sequence[str]) -> list[str]:
    if not bare:
        return []
    return [
        f"{len(bare)} images of {split} have no label file, and so no objects: {min(bare)}, ..."
    ]


def _coco_files(root: Path, split: str) -> list[str]:
    top = root / "annotations"
    names = sorted(os.listdir(top)) if top.is_dir() else []
    found = [name for name in names if name.endswith(".json") and split in name]
    # COCO has files of captions and of keypoints, too.
    own = [name for name in found if name.startswith("instances")]
    return [str(top / name) for name in own or found]


def _coco_tables(
    root: Path, held: Sequence[str], tops: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], dict[str, object_labels.Table]]:
    """Returns the classes, and the objects of each split by the images' names."""
    tables = {}
    for split, members in tops.items():
        paths = [root / name for name in members if name.lower().endswith(".json")]
        paths = paths or [Path(path) for path in _coco_files(root, split)]
        if len(paths) != 1:
            raise ConfigError(
                f"detection_folder: the split {split!r} of {root} has {len(paths)} .json files "
                f"({', '.join(path.name for path in paths[:3])}): one is needed"
            )
        tables[split] = object_labels.coco(paths[0])
    classes = {split: table.class_names for split, table in tables.items()}
    first = next(iter(classes.values()))
    for split, names in classes.items():
        if names != first:
            raise ConfigError(
                f"detection_folder: {tables[split].path} has the classes {list(names)}, but "
                f"{next(iter(tables.values())).path} has {list(first)}"
            )
    return first, tables


def _coco_split(
    root: Path, members: Sequence[str], table: object_labels.Table, seed: int
) -> tuple[Split, list[str]]:
    """Returns a split of the images that a file of COCO names, and notes on what is left out."""
    images = _images(root, members)
    # Names in the file are relative to the folder of the images, whichever that is.
    ends: dict[str, list[str]] = {}
    for name in images.values():
        parts = PurePath(name).parts
        for i in range(len(parts)):
            ends.setdefault("/".join(parts[i:]), []).append(name)
    found = {}
    for name, labels in table.labels.items():
        matches = ends.get(str(PurePath(name)), [])
        if len(matches) != 1:
            what = "no image" if not matches else f"{len(matches)} images"
            raise ConfigError(
                f"detection_folder: {table.path} names {name!r}: {root} has {what} of it"
            )
        found[matches[0]] = labels
    paths = sorted(found, key=lambda path: folder.place(path, seed))
    notes = []
    if unnamed := sorted(set(images.values()) - set(found)):
        notes.append(f"{len(unnamed)} images are not in {table.path}: {unnamed[0]}, ...")
    if table.crowds:
        notes.append(f"{table.crowds} objects of {table.path} are crowds, which are left out")
    if table.empty:
        notes.append(
            f"{table.empty} objects of {table.path} have no height or width, and are left out"
        )
    return Split(tuple(paths), tuple(found[path] for path in paths)), notes
