"""Sources: datasets with random access to examples by row, images still encoded.

The name of a dataset is one of this project's builders (a file in library/data/builders), "folder"
for a directory of your images, "segmentation_folder" for one of your images and maps,
"detection_folder" for your images and boxes, "pairs_folder" for your clean and damaged images,
"audio_folder" for your recordings, "table" for your CSV file, "text" for your text files,
"pairs_text" for your pairs of texts, "synthetic/224x1000" for noise, "points/xor" for a small made
set of points, "none" for no data, "windows/336x96/ett/etth1" for windows of a series, or any TFDS
dataset that was prepared as ArrayRecord. Reading needs no TensorFlow, loads only the requested
examples, and works from any thread or process.
"""

import dataclasses
import functools
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from library.config import ConfigError
from library.data import (
    audio_folder,
    corpus_windows,
    detection_folder,
    features,
    fingerprints,
    folder,
    pairs_folder,
    pairs_text,
    point_sets,
    prepared,
    segmentation_folder,
    series_windows,
    splits,
    synthetic,
    table,
    text_files,
    tfds_features,
)
from library.data.builders import making, packed
from library.data.examples import (
    ArrayRecords,
    NoRecords,
    TfdsRecords,
    UnopenedRecords,
    describe_tfds,
)
from library.data.fingerprints import Fingerprint
from library.data.preprocessing import CorruptExample


class Source(NamedTuple):
    """A split of a dataset.

    Attributes:
      records: the examples: `len(records)` and `records[row] -> dict`; encoded images are bytes.
      label_names: the names of the classes in the order of their labels, or None.
      describe: row -> the name of that example, for messages.
      tokenizer: for text, the tokenizer, see library/data/tokenizers/.
      epoch: examples per epoch if not all of them, because windows of text overlap, or if the split
        is not open; or None.
      exif_orientation: whether `decode` applies the EXIF orientation if the recipe does not say.
      notes: lines for the user on how the data are read and what is left out.
      fingerprint: returns the fingerprint of the split, see library/data/fingerprints.py.
      kinds: the kinds of its features by name, see library/data/features.py; a feature that is not
        listed has the kind of `features.USUAL`.
    """

    records: Any
    label_names: tuple[str, ...] | None
    describe: Callable[[int], str]
    tokenizer: Any = None
    epoch: int | None = None
    exif_orientation: bool = False
    notes: tuple[str, ...] = ()
    fingerprint: Callable[[], Fingerprint] | None = None
    kinds: Mapping[str, str] = features.USUAL

    @property
    def examples_per_epoch(self) -> int | None:
        """The number of examples per epoch, for durations and logged epochs; None without data."""
        if isinstance(self.records, NoRecords) or not self.is_open:
            return self.epoch
        return len(self.records) if self.epoch is None else self.epoch

    @property
    def is_open(self) -> bool:
        """Whether its examples can be read; otherwise only what a run keeps of them is known."""
        return not isinstance(self.records, UnopenedRecords)


class Info(NamedTuple):
    """A summary of a dataset: its splits, classes and image shape.

    Attributes:
      name: the name of the dataset.
      path: its directory.
      splits: the number of examples by split.
      label_names: the names of the classes in the order of their labels, or None.
      image_shape: `(h, w, c)` if all images have the same shape, else None.
      notes: the notes of its sources, see `Source`.
    """

    name: str
    path: str
    splits: Mapping[str, int]
    label_names: tuple[str, ...] | None
    image_shape: tuple[int, int, int] | None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {size:,}" for split, size in self.splits.items())
        return "\n  ".join((f"{self.name} in {self.path} ({counts})", *self.notes))


def open_source(
    name: str,
    split: str,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    columns: Mapping[str, Any] | None = None,
) -> Source:
    """Opens a split of a dataset.

    Args:
      name: a builder of this project, "folder", "detection_folder", "segmentation_folder",
        "pairs_folder" or "audio_folder" (see the files of these names), "text", "pairs_text",
        "synthetic/224x1000" for noise of 1000 classes (library/data/synthetic.py), "points/xor" for
        a set of points (library/data/point_sets.py), "windows/336x96/ett/etth1" for windows of a
        series (library/data/series_windows.py), "none", or a TFDS dataset such as "cifar10",
        "imagenet_resized/64x64" or "mnist:3.0.1".
      split: "train", "train[:90%]", "train[45000:]", "train[-5000:]", "train+test".
      data_dir: the directory of prepared datasets, by default $TFDS_DATA_DIR or
        ~/tensorflow_datasets. For "folder", the folder. For "text", a file or a directory, see
        `text_files.scan`; slices of its splits count characters. For "pairs_text", see
        `pairs_text.scan`.
      manual_dir: the directory of the files that the dataset is prepared from; it appears in the
        message that says how to prepare the dataset.
      classes: for "folder" and "segmentation_folder" only, see `folder.scan`.
      seed: for these only, see `folder.scan`.
      columns: for "table" and its windows, what its columns are, see `table.Columns`.

    Raises:
      ConfigError: the name or the split is unknown, a dataset that takes none gets classes, a seed
        or columns, the dataset is not prepared or has no access by row, the split is empty, a label
        is out of range, or the folder, table or text is malformed.
    """
    _check_columns(name, columns)
    if name == "folder":
        return _open_folder(split, data_dir, classes, seed)
    if name == "audio_folder":
        return _open_audio_folder(split, data_dir, classes, seed)
    if name == "segmentation_folder":
        return _open_segmentation_folder(split, data_dir, classes, seed)
    _check_no_classes(name, classes, seed)
    if name == "detection_folder":
        return _open_detection_folder(split, data_dir)
    if name == "pairs_folder":
        return _open_pairs_folder(split, data_dir)
    if name == "table":
        return _open_table(split, data_dir, columns)
    if name == "text":
        return _open_text_files(split, data_dir)
    if name == "pairs_text":
        return _open_pairs(split, data_dir)
    if _is_synthetic(name):
        return _open_synthetic(name, split)
    if point_sets.is_name(name):
        return _open_points(name, split)
    if name == "none":
        return without_data()
    if series_windows.is_name(name):
        return _open_windows(name, split, data_dir, manual_dir, columns)
    return _open_prepared(name, split, data_dir, manual_dir)


def without_data(count: int = 2**32 - 1) -> Source:
    """Makes the source "none", whose examples have no features."""
    known = functools.partial(fingerprints.of_name, "none", 0)
    return Source(NoRecords(count), None, "none[{}]".format, fingerprint=known, kinds={})


def from_arrays(
    arrays: Mapping[str, np.ndarray],
    *,
    label_names: Sequence[str] | None = None,
    name: str = "arrays",
    kinds: Mapping[str, str] | None = None,
) -> Source:
    """Makes a source from arrays in memory, `{feature: (n, ...)}`.

    Args:
      arrays: the arrays by feature; if examples differ in shape, an array of objects.
      label_names: the names of the classes in the order of their labels.
      name: the name of the source in messages.
      kinds: the kinds of features whose names are not kinds, see library/data/features.py.

    Raises:
      ConfigError: there are no examples, features differ in length, a name is reserved for batches,
        a kind is unknown, or a label is out of range.
    """
    kinds = features.check(features.of(arrays, kinds or {}), name)
    arrays = {key: np.asarray(values) for key, values in arrays.items()}
    sizes = {key: len(values) for key, values in arrays.items()}
    if len(set(sizes.values())) != 1 or not all(sizes.values()):
        raise ConfigError(f"{name}: features need the same length, 1 or more, got {sizes}")
    labels = arrays.get("label")
    if labels is not None and np.issubdtype(labels.dtype, np.integer):
        arrays["label"] = labels.astype(np.int32)
        if label_names is not None and labels.ndim == 1:
            packed.check_labels(name, labels, len(labels), len(label_names))
    names = None if label_names is None else tuple(label_names)
    records = ArrayRecords(arrays)
    fingerprint = functools.partial(fingerprints.of_records, name, records)
    describe = functools.partial(_describe_array, name)
    return Source(records, names, describe, fingerprint=fingerprint, kinds=kinds)


def info(
    name: str,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> Info:
    """Returns a summary of a dataset; arguments and errors are those of `open_source`."""
    if name == "folder":
        listed = folder.scan(_folder_root(data_dir), classes, seed)
        sizes = {split: len(files.paths) for split, files in listed.splits.items()}
        return Info(name, str(listed.root), sizes, listed.class_names, None, listed.notes)
    if name == "audio_folder":
        _check_all_classes(classes)
        heard = audio_folder.scan(_folder_root(data_dir, name, "the folder of recordings"), seed)
        sizes = {split: len(held.paths) for split, held in heard.splits.items()}
        names = None if heard.rated else heard.names
        return Info(name, str(heard.root), sizes, names, None, heard.notes)
    if name == "segmentation_folder":
        listed = segmentation_folder.scan(_folder_root(data_dir, name), classes, seed)
        sizes = {split: len(pairs) for split, pairs in listed.splits.items()}
        return Info(name, str(listed.root), sizes, listed.classes.names, None, listed.notes)
    _check_no_classes(name, classes, seed)
    if name == "detection_folder":
        held = detection_folder.scan(_folder_root(data_dir, name))
        sizes = {split: len(found.paths) for split, found in held.splits.items()}
        return Info(name, str(held.root), sizes, held.class_names, None, held.notes)
    if name == "pairs_folder":
        root = _folder_root(data_dir, name, "a folder with clean/ and damaged/")
        listed = pairs_folder.scan(root)
        sizes = {split: len(pairs) for split, pairs in listed.splits.items()}
        return Info(name, str(root), sizes, None, None, listed.notes)
    if name == "text":
        path = _text_path(data_dir)
        sizes = text_files.sizes(text_files.scan(path))
        return Info(name, str(path), sizes, None, None, text_files.notes(path))
    if name == "pairs_text":
        path = _text_path(data_dir, name)
        sizes = {split: len(pairs) for split, pairs in pairs_text.scan(path).items()}
        return Info(name, str(path), sizes, None, None)
    if _is_synthetic(name):
        source = _open_synthetic(name, "train")
        shape = getattr(source.records[0].get("image"), "shape", None)
        return Info(name, "memory", synthetic.SIZES, source.label_names, shape)
    if point_sets.is_name(name):
        found = point_sets.find(name)
        return Info(name, "memory", found.sizes, found.label_names, None)
    if name == "none":
        return Info(name, "memory", {}, None, None)
    if series_windows.is_name(name):
        asked = series_windows.parse(name)
        path = str(prepared.open_builder(asked.series, data_dir, manual_dir).data_dir)
        series = _series(asked, data_dir, manual_dir)
        lengths = {part: len(values) for part, values in series.items()}
        return Info(name, path, series_windows.sizes(asked, lengths), None, None)
    return _info(name, prepared.open_builder(name, data_dir, manual_dir))


def prepare(
    name: str,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    mirror: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Info:
    """Prepares a dataset for reading, unless it is already prepared.

    TFDS writes to a temporary directory, so the dataset appears under its name only when it is
    complete. Several processes may prepare the same dataset at once.

    Args:
      name: a builder of this project or a TFDS dataset; both may download.
      data_dir: the directory of prepared datasets, by default $TFDS_DATA_DIR or
        ~/tensorflow_datasets. This project's builders download to its `downloads/NAME`.
      manual_dir: the directory of files that you downloaded by hand. The default is
        $COMPENDIUM_DATA or ./data for this project's builders, and that of TFDS for TFDS datasets.
      mirror: a base address; this project's builders download MIRROR/FILE.
      progress: whether to show progress bars.
      say: a function that is called with each line for the user.

    Raises:
      ConfigError: the name is unknown, a file cannot be downloaded or differs from the published
        one, a package is missing, or the prepared copy has a format without random access.
      OSError: a download by TFDS or a write failed.
    """
    _check_needs_preparation(name)
    root = prepared.directory(data_dir)
    builder = prepared.find(name, root)
    if builder is not None:
        first = next(iter(builder.info.splits))
        prepared.data_source(builder, name, (splits.Part(first, 0, 1),))
        say(f"already prepared: {_info(name, builder)}")
        return _info(name, builder)
    if prepared.project_builder(name) is None:
        prepared.check_known(name)
        if mirror is not None:
            raise ConfigError(
                f"{name!r} is a TFDS dataset, and --mirror works only for this project's builders"
            )
        if importlib.util.find_spec("tensorflow") is None:
            say("TensorFlow is not installed; preparing some TFDS datasets needs it")
    started = time.monotonic()
    prepared.make(name, root, manual_dir, progress, mirror, say)
    builder = prepared.find(name, root)
    found = _info(name, builder)
    say(f"prepared in {time.monotonic() - started:.1f} s: {found}")
    published = making.splits(builder) if prepared.project_builder(name) else {}
    if published not in ({}, dict(found.splits)):
        say(f"warning: the published {name} has {published} examples")
    return found


def _check_needs_preparation(name: str) -> None:
    reasons = {
        "folder": "a folder of images needs no preparation",
        "segmentation_folder": "a folder of images and maps needs no preparation",
        "detection_folder": "a folder of images with boxes needs no preparation",
        "audio_folder": "a folder of recordings needs no preparation",
        "table": "a table needs no preparation",
        "text": "text files need no preparation",
        "pairs_text": "pairs of text files need no preparation",
        "pairs_folder": "folders of clean and damaged images need no preparation",
        "none": "'none' has no data",
    }
    made = _is_synthetic(name) or point_sets.is_name(name)
    reason = f"{name!r} is generated when read" if made else reasons.get(str(name))
    if series_windows.is_name(name):
        reason = f"windows are cut when read; prepare {series_windows.parse(name).series!r}"
    if reason is not None:
        raise ConfigError(f"{reason}: there is nothing to prepare")


def _open_prepared(name: str, split: str, data_dir: str | None, manual_dir: str | None) -> Source:
    builder = prepared.open_builder(name, data_dir, manual_dir)
    sizes = {key: found.num_examples for key, found in builder.info.splits.items()}
    parts = splits.resolve(split, sizes, name)
    kinds = tfds_features.kinds_in_batch(builder, name)
    source = prepared.data_source(builder, name, parts)
    renamed = tfds_features.names_in_batch(builder.info)
    records = TfdsRecords(source, renamed, prepared.remedy(builder, name, data_dir))
    label_names = tfds_features.label_names(builder)
    _check_first_label(records, label_names, f"{name} {split}")
    describe = functools.partial(describe_tfds, name, parts, source)
    size = sum(builder.info.splits[part.split].num_bytes for part in parts)
    known = f"{builder.info.full_name} {split}"
    fingerprint = functools.partial(fingerprints.of_records, known, records, size)
    return Source(records, label_names, describe, fingerprint=fingerprint, kinds=kinds)


def _open_folder(
    split: str, data_dir: str | None, classes: Sequence[str] | None, seed: int
) -> Source:
    listed = folder.scan(_folder_root(data_dir), classes, seed)
    sizes = {key: len(files.paths) for key, files in listed.splits.items()}
    parts = splits.resolve(split, sizes, f"the folder {listed.root}")
    chosen = [(listed.splits[key], slice(start, stop)) for key, start, stop in parts]
    records = folder.FolderRecords(
        root=listed.root,
        paths=tuple(path for files, rows in chosen for path in files.paths[rows]),
        labels=np.concatenate([files.labels[rows] for files, rows in chosen]),
    )
    return Source(
        records,
        listed.class_names,
        records.describe,
        exif_orientation=True,
        notes=listed.notes,
        fingerprint=functools.partial(fingerprints.of_folder, records, listed.class_names),
        kinds={"image": "image", "label": "label"},
    )


def _open_audio_folder(
    split: str, data_dir: str | None, classes: Sequence[str] | None, seed: int
) -> Source:
    _check_all_classes(classes)
    root = _folder_root(data_dir, "audio_folder", "the folder of recordings")
    heard = audio_folder.scan(root, seed)
    sizes = {key: len(held.paths) for key, held in heard.splits.items()}
    parts = splits.resolve(split, sizes, f"the folder {heard.root}")
    chosen = [(heard.splits[key], slice(start, stop)) for key, start, stop in parts]
    paths = tuple(path for held, rows in chosen for path in held.paths[rows])
    labels, ratings = np.zeros(len(paths), np.int32), None
    if heard.rated:
        ratings = np.concatenate([held.ratings[rows] for held, rows in chosen])
    else:
        labels = np.concatenate([held.labels[rows] for held, rows in chosen])
    records = audio_folder.AudioRecords(heard.root, paths, labels, ratings)
    parts = (f"ratings {records.digest()}",) if heard.rated else heard.names
    return Source(
        records,
        None if heard.rated else heard.names,
        records.describe,
        notes=heard.notes,
        fingerprint=functools.partial(fingerprints.of_folder, records, parts),
        kinds={"audio": "audio", **({"target": "target"} if heard.rated else {"label": "label"})},
    )


def _check_all_classes(classes: Sequence[str] | None) -> None:
    if classes is not None:
        raise ConfigError(
            "dataset 'audio_folder' takes no classes: it reads all of its directories"
        )


def _open_segmentation_folder(
    split: str, data_dir: str | None, classes: Sequence[str] | None, seed: int
) -> Source:
    name = "segmentation_folder"
    listed = segmentation_folder.scan(_folder_root(data_dir, name), classes, seed)
    sizes = {key: len(pairs) for key, pairs in listed.splits.items()}
    parts = splits.resolve(split, sizes, f"the folder {listed.root}")
    pairs = [pair for key, start, stop in parts for pair in listed.splits[key][start:stop]]
    records = segmentation_folder.MapRecords(listed.root, tuple(pairs), listed.classes)
    records.check()
    return Source(
        records,
        listed.classes.names,
        records.describe,
        exif_orientation=True,
        notes=listed.notes,
        fingerprint=functools.partial(fingerprints.of_records, f"{name} {split}", records),
        kinds={"image": "image", "map": "map"},
    )


def _open_detection_folder(split: str, data_dir: str | None) -> Source:
    held = detection_folder.scan(_folder_root(data_dir, "detection_folder"))
    sizes = {key: len(found.paths) for key, found in held.splits.items()}
    parts = splits.resolve(split, sizes, f"the folder {held.root}")
    chosen = [(held.splits[key], slice(start, stop)) for key, start, stop in parts]
    records = detection_folder.ObjectRecords(
        root=held.root,
        paths=tuple(path for found, rows in chosen for path in found.paths[rows]),
        labels=tuple(labels for found, rows in chosen for labels in found.labels[rows]),
    )
    marked = any(labels.difficult is not None for labels in records.labels)
    return Source(
        records,
        held.class_names,
        records.describe,
        notes=held.notes,
        fingerprint=functools.partial(fingerprints.of_records, split, records),
        kinds={"image": "image", "boxes": "boxes", "boxes_label": "label"}
        | ({"boxes_difficult": "array"} if marked else {}),
    )


def _open_table(split: str, data_dir: str | None, columns: Mapping[str, Any] | None) -> Source:
    asked = table.read_columns(columns)
    found = table.scan(_folder_root(data_dir, "table", "a CSV file"), asked)
    sizes = {key: len(rows.lines) for key, rows in found.splits.items()}
    parts = splits.resolve(split, sizes, f"the table {data_dir}")
    rows = [found.splits[key].part(slice(first, last)) for key, first, last in parts]
    arrays = {"features": np.concatenate([part.features for part in rows])}
    if asked.targets:
        arrays["target"] = np.concatenate([part.target for part in rows])
    if asked.label is not None:
        arrays["label"] = np.concatenate([table.labels(found, part) for part in rows])
    named = [part.describe(row) for part in rows for row in range(len(part.lines))]
    kinds = {"features": "array", "target": "target", "label": "label"}
    made = from_arrays(
        arrays,
        label_names=found.classes,
        name=f"table {split}",
        kinds={key: kinds[key] for key in arrays},
    )
    return made._replace(describe=named.__getitem__)


def _check_columns(name: str, columns: Mapping[str, Any] | None) -> None:
    of_table = name == "table" or (
        series_windows.is_name(name) and series_windows.parse(name).series == "table"
    )
    if columns is not None and not of_table:
        raise ConfigError(f"dataset {name!r} takes no columns: only 'table' does")


def _open_text_files(split: str, data_dir: str | None) -> Source:
    path = _text_path(data_dir)
    documents = text_files.scan(path)
    parts = splits.resolve(split, text_files.sizes(documents), f"the text {path}")
    records = text_files.Documents(text_files.take(documents, parts))
    fingerprint = functools.partial(fingerprints.of_documents, records.documents, path)
    notes = text_files.notes(path)
    return Source(
        records,
        None,
        records.describe,
        notes=notes,
        fingerprint=fingerprint,
        kinds={"text": "text"},
    )


def _open_pairs(split: str, data_dir: str | None) -> Source:
    path = _text_path(data_dir, "pairs_text")
    pairs = pairs_text.scan(path)
    sizes = {key: len(found) for key, found in pairs.items()}
    parts = splits.resolve(split, sizes, f"the pairs {path}")
    if len(parts) > 1:
        raise ConfigError(f"pairs_text, split {split!r}: it takes one split, such as 'train[:90%]'")
    part = parts[0]
    records = pairs[part.split].part(part.start, part.stop)
    columns = tuple(records.columns.values())
    return Source(
        records,
        None,
        records.describe,
        fingerprint=functools.partial(fingerprints.of_documents, columns, path),
        kinds=dict.fromkeys(records.columns, "text"),
    )


def _open_pairs_folder(split: str, data_dir: str | None) -> Source:
    root = _folder_root(data_dir, "pairs_folder", "a folder with clean/ and damaged/")
    listed = pairs_folder.scan(root)
    sizes = {key: len(pairs) for key, pairs in listed.splits.items()}
    parts = splits.resolve(split, sizes, f"the folder {root}")
    pairs = tuple(pair for key, start, stop in parts for pair in listed.splits[key][start:stop])
    records = pairs_folder.PairRecords(root, pairs)
    names = tuple(pairs_folder.FOLDERS.values())
    return Source(
        records,
        None,
        records.describe,
        exif_orientation=True,
        notes=listed.notes,
        fingerprint=functools.partial(fingerprints.of_folder, records.listed(), names),
        kinds=dict.fromkeys(pairs_folder.FOLDERS, "image"),
    )


def _text_path(data_dir: str | None, name: str = "text") -> Path:
    if not data_dir:
        raise ConfigError(
            f"dataset {name!r} needs data_dir=<a text file or a directory of text files>"
        )
    return Path(data_dir).expanduser().absolute()


def _check_no_classes(name: str, classes: Sequence[str] | None, seed: int) -> None:
    if classes is not None or seed != 0:
        raise ConfigError(
            f"dataset {name!r} takes no classes or seed: only 'folder' and 'segmentation_folder' do"
        )


def _is_synthetic(name: Any) -> bool:
    return isinstance(name, str) and name.partition("/")[0] == "synthetic"


def _open_synthetic(name: str, split: str) -> Source:
    records = synthetic.examples(name, split)
    describe = functools.partial(splits.describe, name, records.parts)
    fingerprint = functools.partial(fingerprints.of_name, f"{name} {split}", len(records))
    names, kinds = records.label_names, records.kinds
    return Source(records, names, describe, fingerprint=fingerprint, kinds=kinds)


def _open_windows(
    name: str,
    split: str,
    data_dir: str | None,
    manual_dir: str | None,
    columns: Mapping[str, Any] | None,
) -> Source:
    asked = series_windows.parse(name)
    if asked.series == "table":
        records = series_windows.cut(asked, _series_of_table(data_dir, columns), split)
    elif (marked := _marked_series(asked, data_dir, manual_dir)) is not None:
        records = corpus_windows.cut(asked, *marked, split)
    else:
        records = series_windows.cut(asked, _series(asked, data_dir, manual_dir), split)
    fingerprint = functools.partial(fingerprints.of_records, f"{name} {split}", records)
    describe = functools.partial(_describe_array, f"{name} {split}")
    return Source(records, None, describe, fingerprint=fingerprint, kinds=records.kinds)


def _series(
    asked: series_windows.Asked, data_dir: str | None, manual_dir: str | None
) -> dict[str, np.ndarray]:
    """Returns the series of each split in the order of time."""
    held = prepared.open_builder(asked.series, data_dir, manual_dir).info.splits
    opened = {
        split: _open_prepared(asked.series, split, data_dir, manual_dir).records
        for split in series_windows.SPLITS
        if split in held
    }
    for split, records in opened.items():
        if len(records) != 1 or np.ndim(records[0].get("series")) != 2:
            raise ConfigError(
                f"windows need a dataset with one series (steps, channels) in each split, and "
                f"{asked.series} {split} has {len(records)} examples of {', '.join(records[0])}"
            )
    return {split: np.asarray(records[0]["series"]) for split, records in opened.items()}


def _open_points(name: str, split: str) -> Source:
    arrays = point_sets.arrays(name, split)
    kinds = {key: point_sets.KINDS[key] for key in arrays}
    names = point_sets.find(name).label_names
    return from_arrays(arrays, label_names=names, name=f"{name} {split}", kinds=kinds)


def _marked_series(
    asked: series_windows.Asked, data_dir: str | None, manual_dir: str | None
) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Returns many series and the marks of their anomalies; None if the dataset has none."""
    builder = prepared.open_builder(asked.series, data_dir, manual_dir)
    if "anomaly" not in builder.info.features:
        return None
    records = _open_prepared(asked.series, "train", data_dir, manual_dir).records
    examples = [records[row] for row in range(len(records))]
    return [x["series"] for x in examples], [x["anomaly"] for x in examples]


def _series_of_table(
    data_dir: str | None, columns: Mapping[str, Any] | None
) -> dict[str, np.ndarray]:
    """Returns the inputs of each split, one channel each, in the order of time."""
    asked = table.read_columns(columns)
    if asked.time is None or asked.targets or asked.label is not None:
        raise ConfigError(
            "dataset.columns: windows need inputs, all of which they forecast, and time, and no "
            f"target or label; got {dataclasses.asdict(asked)}"
        )
    found = table.scan(_folder_root(data_dir, "table", "a CSV file"), asked)
    return {split: rows.features for split, rows in found.splits.items()}


def _folder_root(
    data_dir: str | None, name: str = "folder", what: str = "the folder of images"
) -> Path:
    if not data_dir:
        raise ConfigError(f"dataset {name!r} needs data_dir=<{what}>")
    return Path(data_dir).expanduser().absolute()


def _info(name: str, builder: Any) -> Info:
    shape = getattr(tfds_features.find(builder.info, "image"), "shape", None)
    return Info(
        name=name,
        path=str(builder.data_dir),
        splits={key: split.num_examples for key, split in builder.info.splits.items()},
        label_names=tfds_features.label_names(builder),
        image_shape=tuple(shape) if shape and None not in shape else None,
    )


def _check_first_label(records: Any, label_names: tuple[str, ...] | None, where: str) -> None:
    try:
        label = records[0].get("label") if label_names else None
    except CorruptExample:
        # The pipeline reports or skips the example when it loads it.
        return
    if isinstance(label, np.integer) and not 0 <= label < len(label_names):
        raise ConfigError(
            f"{where}: label {label} is out of range (valid: 0 to {len(label_names) - 1}); "
            "TFDS marks splits without labels by -1"
        )


def _describe_array(name: str, row: int) -> str:
    return f"{name}[{row}]"
