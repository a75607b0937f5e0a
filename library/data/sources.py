"""Sources: datasets with random access to examples by row, images still encoded.

The name of a dataset is one of this project's builders (a file in library/data/builders), "folder"
for a directory of your images, "text" for your text files, "synthetic/224x1000" for noise, "none"
for no data, or any TFDS dataset that was prepared as ArrayRecord. Reading needs no TensorFlow,
loads only the requested examples, and works from any thread or process.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import io
import operator
import os
import pkgutil
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError, nearest
from library.data import builders, features, fingerprints, folder, splits, synthetic, text_files
from library.data.builders import making, packed
from library.data.fingerprints import Fingerprint
from library.data.preprocessing import CorruptExample

# The folder of files that the user downloads by hand.
DEFAULT_MANUAL_DIR = Path(os.environ.get("COMPENDIUM_DATA") or "data").expanduser().absolute()
# Features whose strings name an example. They serve messages only, because strings cannot be
# batched.
_NAMES_OF_EXAMPLES = ("id", "file_name", "filename", "image/filename")


class Source(NamedTuple):
    """A split of a dataset.

    Attributes:
      records: the examples: `len(records)` and `records[row] -> dict`; encoded images are bytes.
      label_names: the names of the classes in the order of their labels, or None.
      describe: row -> the name of that example, for messages.
      tokenizer: for text, the tokenizer, see library/data/tokenizers.py.
      epoch: examples per epoch if not all of them, because windows of text overlap; or None.
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
        if isinstance(self.records, NoRecords):
            return None
        return len(self.records) if self.epoch is None else self.epoch


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


@dataclasses.dataclass(frozen=True)
class TfdsRecords:
    """The examples of a TFDS data source, with the feature names of a batch.

    Attributes:
      source: the TFDS data source.
      renamed: the name in a batch by the name in TFDS, if they differ; a nested feature is
        "feature/inner".
      remedy: what the user can do about a damaged example, for messages.
    """

    source: Any
    renamed: Mapping[str, str]
    remedy: str = ""

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> dict:
        row = _checked(row, len(self))
        try:
            found = self.source[row]
        except RuntimeError as error:  # ArrayRecord raises it if a checksum is wrong
            raise CorruptExample(f"the example is damaged ({error}): {self.remedy}") from error
        example = {
            self.renamed.get(key, key): value
            for key, value in _flat(found).items()
            if key not in _NAMES_OF_EXAMPLES
        }
        label = np.asarray(example.get("label"))
        if label.ndim == 0 and label.dtype.kind in "biu":
            example["label"] = np.int32(label.item())
        return example


@dataclasses.dataclass(frozen=True)
class ArrayRecords:
    """The examples of arrays in memory, `{feature: (n, ...)}`."""

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, row: int) -> dict:
        row = _checked(row, len(self))
        return {key: values[row] for key, values in self.arrays.items()}


@dataclasses.dataclass(frozen=True)
class NoRecords:
    """Empty examples, `count` of them, for systems that make their own data."""

    count: int = 2**32 - 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict:
        _checked(row, self.count)
        return {}


def open_source(
    name: str,
    split: str,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> Source:
    """Opens a split of a dataset.

    Args:
      name: a builder of this project, "folder", "text", "synthetic/224x1000" for noise of 1000
        classes (library/data/synthetic.py), "none", or a TFDS dataset such as "cifar10",
        "imagenet_resized/64x64" or "mnist:3.0.1".
      split: "train", "train[:90%]", "train[45000:]", "train[-5000:]", "train+test".
      data_dir: the directory of prepared datasets, by default $TFDS_DATA_DIR or
        ~/tensorflow_datasets. For "folder", the folder. For "text", a file or a directory, see
        `text_files.scan`; slices of its splits count characters.
      manual_dir: the directory of the files that the dataset is prepared from; it appears in the
        message that says how to prepare the dataset.
      classes: for "folder" only, see `folder.scan`.
      seed: for "folder" only, see `folder.scan`.

    Raises:
      ConfigError: the name or the split is unknown, another dataset than "folder" gets classes or a
        seed, the dataset is not prepared or has no access by row, the split is empty, a label is
        out of range, or the folder or text is malformed.
    """
    if name == "folder":
        return _open_folder(split, data_dir, classes, seed)
    _check_no_classes(name, classes, seed)
    if name == "text":
        return _open_text_files(split, data_dir)
    if _is_synthetic(name):
        return _open_synthetic(name, split)
    if name == "none":
        return without_data()
    builder = _open_builder(name, data_dir, manual_dir)
    sizes = {key: found.num_examples for key, found in builder.info.splits.items()}
    parts = splits.resolve(split, sizes, name)
    kinds = _kinds(builder, name)
    source = _data_source(builder, name, parts)
    records = TfdsRecords(source, _renamed(builder.info), _remedy(builder, name, data_dir))
    label_names = _label_names(builder)
    _check_first_label(records, label_names, f"{name} {split}")
    describe = functools.partial(_describe_tfds, name, parts, source)
    size = sum(builder.info.splits[part.split].num_bytes for part in parts)
    known = f"{builder.info.full_name} {split}"
    fingerprint = functools.partial(fingerprints.of_records, known, records, size)
    return Source(records, label_names, describe, fingerprint=fingerprint, kinds=kinds)


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
    _check_no_classes(name, classes, seed)
    if name == "text":
        path = _text_path(data_dir)
        sizes = text_files.sizes(text_files.scan(path))
        return Info(name, str(path), sizes, None, None, text_files.notes(path))
    if _is_synthetic(name):
        source = _open_synthetic(name, "train")
        shape = source.records[0]["image"].shape
        return Info(name, "memory", synthetic.SIZES, source.label_names, shape)
    if name == "none":
        return Info(name, "memory", {}, None, None)
    return _info(name, _open_builder(name, data_dir, manual_dir))


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
    if name == "folder":
        raise ConfigError("a folder of images needs no preparation: there is nothing to prepare")
    if name == "text":
        raise ConfigError("text files need no preparation: there is nothing to prepare")
    if name == "none":
        raise ConfigError("'none' has no data: there is nothing to prepare")
    if _is_synthetic(name):
        raise ConfigError(f"{name!r} is generated when read: there is nothing to prepare")
    root = _data_dir(data_dir)
    builder = _find_prepared(name, root)
    if builder is not None:
        first = next(iter(builder.info.splits))
        _data_source(builder, name, (splits.Part(first, 0, 1),))
        say(f"already prepared: {_info(name, builder)}")
        return _info(name, builder)
    if _project_builder(name) is None:
        _check_known(name)
        if mirror is not None:
            raise ConfigError(
                f"{name!r} is a TFDS dataset, and --mirror works only for this project's builders"
            )
        if importlib.util.find_spec("tensorflow") is None:
            say("TensorFlow is not installed; preparing some TFDS datasets needs it")
    started = time.monotonic()
    _download_and_prepare(name, root, manual_dir, progress, mirror, say)
    builder = _find_prepared(name, root)
    prepared = _info(name, builder)
    say(f"prepared in {time.monotonic() - started:.1f} s: {prepared}")
    published = making.splits(builder) if _project_builder(name) else {}
    if published not in ({}, dict(prepared.splits)):
        say(f"warning: the published {name} has {published} examples")
    return prepared


def downloads(data_dir: str | None = None) -> Path:
    """Returns the folder of downloads, which is in the directory of prepared datasets."""
    return Path(_data_dir(data_dir)) / "downloads"


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


def _text_path(data_dir: str | None) -> Path:
    if not data_dir:
        raise ConfigError(
            "dataset 'text' needs data_dir=<a text file or a directory of text files>"
        )
    return Path(data_dir).expanduser().absolute()


def _check_no_classes(name: str, classes: Sequence[str] | None, seed: int) -> None:
    if classes is not None or seed != 0:
        raise ConfigError(f"dataset {name!r} takes no classes or seed, only 'folder' does")


def _is_synthetic(name: Any) -> bool:
    return isinstance(name, str) and name.partition("/")[0] == "synthetic"


def _open_synthetic(name: str, split: str) -> Source:
    records = synthetic.noise(name, split)
    label_names = tuple(map(str, range(records.num_classes)))
    describe = functools.partial(_describe_part, name, records.parts)
    fingerprint = functools.partial(fingerprints.of_name, f"{name} {split}", len(records))
    kinds = {"image": "image", "label": "label"}
    return Source(records, label_names, describe, fingerprint=fingerprint, kinds=kinds)


def _folder_root(data_dir: str | None) -> Path:
    if not data_dir:
        raise ConfigError("dataset 'folder' needs data_dir=<the folder of images>")
    return Path(data_dir).expanduser().absolute()


def _data_dir(data_dir: str | None) -> str:
    path = str(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def _project_builders() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(builders.__path__)]
    return [name for name in names if _project_builder(name) is not None]


def _project_builder(name: str) -> Callable[..., Any] | None:
    """Returns the builder that a file in library/data/builders defines, or None.

    Raises:
      ConfigError: the builder has no such variant.
    """
    name, slash, variant = name.partition("/")
    if not re.fullmatch(r"[a-z]\w*", name):
        return None
    path = f"{builders.__name__}.{name}"
    if importlib.util.find_spec(path) is None:
        return None
    found = getattr(importlib.import_module(path), "Builder", None)
    if not slash or found is None:
        return found
    variants = found.builder_configs
    if variant not in variants:
        known = f"{nearest(variant, variants)}" if variants else "it has no variants"
        raise ConfigError(f"unknown variant {variant!r} of {name}: {known}")
    return functools.partial(found, config=variant)


def _find_prepared(name: str, root: str) -> Any | None:
    """Returns the TFDS builder of a dataset that is prepared under `root`, or None."""
    if not isinstance(name, str):
        raise ConfigError(f"the name of a dataset is a string, got {name!r}")
    builder_class = _project_builder(name)
    if builder_class is not None:
        builder = builder_class(data_dir=root)
        if (builder.data_path / "dataset_info.json").exists():
            return builder
        # A dataset that TFDS prepared under this name works, too. The search happens only if its
        # directory exists, because TFDS may import packages that its own builder needs.
        known = tfds.list_builders(with_community_datasets=False)
        here = "://" in root or Path(root, *name.split("/")).is_dir()
        if name.partition("/")[0] not in known or not here:
            return None
    try:
        return tfds.core.read_only_builder.builder_from_files(name, data_dir=root)
    except (tfds.core.DatasetNotFoundError, ValueError):
        return None
    except ImportError:
        if builder_class is None:
            raise
        return None


def _open_builder(name: str, data_dir: str | None, manual_dir: str | None) -> Any:
    root = _data_dir(data_dir)
    builder = _find_prepared(name, root)
    if builder is None and name == "digits":
        _download_and_prepare(name, root, None, False, None, lambda _: None)
        builder = _find_prepared(name, root)
    if builder is None:
        _check_known(name)
        raise ConfigError(
            f"{name!r} is not prepared in {root}: run\n  {_command(name, data_dir, manual_dir)}"
        )
    return builder


def _command(name: str, data_dir: str | None, manual_dir: str | None) -> str:
    """Renders the command that prepares the dataset for `open_source`."""
    builder_class = _project_builder(name)
    if manual_dir is None and builder_class is not None:
        absent = making.to_bring(builder_class(data_dir=_data_dir(data_dir)), DEFAULT_MANUAL_DIR)
        manual_dir = f"<the directory of {' and '.join(absent)}>" if absent else None
    flags = {"dataset": name, "data_dir": data_dir, "manual_dir": manual_dir}
    given = [f"--{key}={value}" for key, value in flags.items() if value]
    return " ".join(["python -m experiments.prepare", *given])


def _remedy(builder: Any, name: str, data_dir: str | None) -> str:
    return f"prepare it again: delete {builder.data_dir} and run {_command(name, data_dir, None)}"


def _check_known(name: str) -> None:
    own, others = _project_builders(), tfds.list_builders(with_community_datasets=False)
    # Only datasets that are prepared have variants and versions.
    if re.split("[/:]", name)[0] not in (*own, *others):
        options = [*own, "folder", "text", "synthetic/224x1000", "none", *others]
        raise ConfigError(f"unknown dataset {name!r}: {nearest(name.lower(), options)}")


def _download_and_prepare(
    name: str,
    root: str,
    manual_dir: str | None,
    progress: bool,
    mirror: str | None,
    say: Callable[[str], None],
) -> None:
    make = _project_builder(name) or functools.partial(tfds.builder, name)
    builder = None if _project_builder(name) is None else make(data_dir=root)
    if builder is not None and (making.files(builder) or making.origin(builder)):
        brought = Path(manual_dir or DEFAULT_MANUAL_DIR).expanduser()
        target = downloads(root) / name
        options = dict(mirror=mirror, progress=progress, say=say)
        builder.paths = making.obtain(builder, brought, target, **options)
        manual_dir = next(iter(builder.paths.values())).parent
    settings = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    try:
        with _only_progress(progress):
            builder = builder or make(data_dir=root)
            builder.download_and_prepare(file_format="array_record", download_config=settings)
    except ImportError as error:
        missing = _missing_package(error)
        raise ConfigError(
            f"preparing, but not reading, {name!r} with TFDS needs {missing}: "
            f"pip install {missing}, then prepare it again"
        ) from error
    except OSError:
        # Another process may have finished first, and its copy is the same.
        if _find_prepared(name, root) is None:
            raise


def _missing_package(error: BaseException | None) -> str:
    # TFDS raises a new error; only the original one in its chain names the package.
    while error is not None:
        if getattr(error, "name", None):
            return error.name.partition(".")[0]
        error = error.__cause__ or error.__context__
    return "tensorflow"


@contextlib.contextmanager
def _only_progress(progress: bool) -> Iterator[None]:
    """Hides the output of TFDS except for its progress bars, which `progress` shows or hides."""
    tfds.display_progress_bar(progress)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(True)


def _data_source(builder: Any, name: str, parts: Sequence[splits.Part]) -> Any:
    """Opens parts of splits as a TFDS data source that leaves images encoded."""
    encoded = {
        key: tfds.decode.SkipDecoding()
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    spec = "+".join(f"{split}[{start}:{stop}]" for split, start, stop in parts)
    try:
        return builder.as_data_source(spec, decoders=encoded)
    except NotImplementedError as error:
        raise ConfigError(
            f"{name} in {builder.data_dir} is prepared as {builder.info.file_format.value}, which "
            "has no access by row. Prepare it with file_format=array_record: delete the copy or "
            f"choose another data_dir, and run\n  {_command(name, None, None)}"
        ) from error


def _kinds(builder: Any, name: str) -> dict[str, str]:
    """Returns the kinds of a dataset's features, by their names in a batch.

    TFDS's types imply most kinds; a builder of this project states the others in `KINDS`.
    """
    description = builder.info
    if not isinstance(description.features, tfds.features.FeaturesDict):
        raise ConfigError(
            f"{name}: the examples must be dictionaries of features, got {description.features}"
        )
    renamed, found = _renamed(description), {}
    for key, feature in _flat_features(description.features).items():
        kind = "id" if key in _NAMES_OF_EXAMPLES else _kind(feature)
        found |= {renamed.get(key, key): kind} if kind else {}
    names = (renamed.get(key, key) for key in _flat_features(description.features))
    stated = {**found, **getattr(builder, "KINDS", {})}
    return features.check(features.of(dict.fromkeys([*names, *stated]), stated), name)


def _kind(feature: Any) -> str | None:
    """Returns the kind that the TFDS type of a feature implies, or None if it implies none."""
    for types, kind in _KINDS_OF_TYPES:
        if isinstance(feature, types):
            return kind
    inner = getattr(feature, "feature", None)
    return "boxes" if isinstance(inner, tfds.features.BBoxFeature) else None


# LabeledImage comes before its base class Image.
_KINDS_OF_TYPES = (
    (tfds.features.LabeledImage, "map"),
    (tfds.features.Image, "image"),
    (tfds.features.ClassLabel, "label"),
    (tfds.features.Audio, "audio"),
    (tfds.features.Text, "text"),
)


def _flat(example: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens nested features: {"objects": {"label": x}} becomes {"objects/label": x}."""
    flat = {}
    for key, value in example.items():
        inner = value.items() if isinstance(value, Mapping) else ()
        flat |= {f"{key}/{name}": x for name, x in inner} or {key: value}
    return flat


def _flat_features(described: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for key, feature in described.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, tfds.features.FeaturesDict):
            flat |= {f"{key}/{name}": x for name, x in inner.items()}
        else:
            flat[key] = feature
    return flat


def _renamed(description: tfds.core.DatasetInfo) -> dict[str, str]:
    """Returns the names in a batch by the names in TFDS, for features whose names change.

    The only image is renamed to `image` and the only class label to `label`; of several, the
    supervised key of TFDS is. The boxes and classes nested in "objects" become `boxes` and
    `boxes_label`; nested features without boxes become `outer_inner`.
    """
    described, renamed = description.features, {}
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    supervised = dict(zip(kinds, description.supervised_keys or ()))
    for standard, kind in kinds.items():
        if standard in described:
            continue
        candidates = [key for key, feature in described.items() if isinstance(feature, kind)]
        if supervised.get(standard) in candidates:
            renamed[supervised[standard]] = standard
        elif len(candidates) == 1:
            renamed[candidates[0]] = standard
    for path, feature in _flat_features(described).items():
        outer, _, inner = path.partition("/")
        if inner and isinstance(feature, tfds.features.BBoxFeature):
            renamed[path] = "boxes"
        elif inner:
            renamed[path] = (
                f"boxes_{inner}" if _holds_boxes(described[outer]) else f"{outer}_{inner}"
            )
    return renamed


def _holds_boxes(feature: Any) -> bool:
    inner = getattr(feature, "feature", feature)
    return any(isinstance(each, tfds.features.BBoxFeature) for each in inner.values())


def _feature(description: tfds.core.DatasetInfo, key: str) -> Any:
    """Returns the TFDS feature that a batch names `key`, or None."""
    original = {new: old for old, new in _renamed(description).items()}
    return _flat_features(description.features).get(original.get(key, key))


def _label_names(builder: Any) -> tuple[str, ...] | None:
    """Returns the class names of labels or boxes, else the builder's `LABEL_NAMES`, else None."""
    for key in ("label", "boxes_label"):
        feature = _feature(builder.info, key)
        feature = getattr(feature, "feature", feature)
        if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes:
            return tuple(feature.names)
    return tuple(getattr(builder, "LABEL_NAMES", ())) or None


def _info(name: str, builder: Any) -> Info:
    shape = getattr(_feature(builder.info, "image"), "shape", None)
    return Info(
        name=name,
        path=str(builder.data_dir),
        splits={key: split.num_examples for key, split in builder.info.splits.items()},
        label_names=_label_names(builder),
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


def _checked(row: int, size: int) -> int:
    row = operator.index(row)
    if not 0 <= row < size:
        raise IndexError(f"row {row} of {size}")
    return row


def _describe_part(name: str, parts: tuple[splits.Part, ...], row: int) -> str:
    split, index = splits.locate(parts, row)
    return f"{name} {split}[{index}]"


def _describe_tfds(name: str, parts: tuple[splits.Part, ...], source: Any, row: int) -> str:
    try:
        example = source[row]
    except RuntimeError:
        # A damaged example has no readable name, only its row.
        return _describe_part(name, parts, row)
    names = [example[key] for key in _NAMES_OF_EXAMPLES if key in example]
    texts = [x.decode(errors="replace") if isinstance(x, bytes) else str(x) for x in names]
    return _describe_part(name, parts, row) + (f" ({', '.join(texts)})" if texts else "")


def _describe_array(name: str, row: int) -> str:
    return f"{name}[{row}]"
