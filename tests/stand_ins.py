"""Stand-ins for data sets that are not prepared, from what their builders state."""

import functools
import io
import wave
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from library.data import corpus_windows, prepared, series_windows, splits, tfds_features
from library.data.builders import making
from library.data.sources import Source

DOCUMENT = 200 * "ROMEO: Aquí me pongo a cantar. In the lugar = \n"
# Sizes that a builder leaves open: of an image, and of axes of others by the kinds of the set.
# A series is short: recipes pad it to a length of their own.
OPEN_IMAGE = (375, 500, 3)
OPEN_LENGTHS = {"audio": 4_000, "series": 24, "tokens": 5}
OBJECTS = 2
# A graph is a ring of so many nodes, which has as many edges.
RING = 40
FRAMES = 16
# Features of which zeros are no value: silence has the pitch -1.
VALUES = {"bach_chorales": {"series": -1}}
# Steps of a series that windows are cut from, those of ETT.
STEPS = {"train": 8_640, "val": 2_880, "test": 2_880}


class Stated(NamedTuple):
    """What is known of a data set without its files.

    Attributes:
      splits: the number of examples of each split.
      record: an example as its records have it, images encoded.
      kinds: the kinds of its features.
      label_names: the names of its classes, or None.
    """

    splits: dict[str, int]
    record: dict[str, Any]
    kinds: dict[str, str]
    label_names: tuple[str, ...] | None


def recording(samples):
    """Returns a WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(2 * samples))
    return file.getvalue()


# Files of the user's own; no builder states anything of them.
OWN_FILES = {
    "text": Stated({"train": 1, "test": 1}, {"text": DOCUMENT}, {"text": "text"}, None),
    "pairs_text": Stated(
        {"train": 200, "test": 20},
        {"en": "A dog runs.", "de": "Ein Hund rennt."},
        {"en": "text", "de": "text"},
        None,
    ),
    # A folder of recordings has classes or ratings, and this one has both.
    "audio_folder": Stated(
        {"train": 120},
        {
            "audio": recording(OPEN_LENGTHS["audio"]),
            "label": np.int32(7),
            "target": np.zeros(2, np.float32),
        },
        {"audio": "audio", "label": "label", "target": "target"},
        tuple("01234567"),
    ),
    # A table has a target or a label, and this one has both.
    "table": Stated(
        {"train": 500},
        {
            "features": np.zeros(3, np.float32),
            "target": np.zeros(1, np.float32),
            "label": np.int32(1),
        },
        {"features": "array", "target": "target", "label": "label"},
        ("0", "1"),
    ),
    "folder": Stated(
        {"train": 800, "test": 200},
        {"image": np.zeros((300, 400, 3), np.uint8), "label": np.int32(1)},
        {"image": "image", "label": "label"},
        ("0", "1"),
    ),
    "segmentation_folder": Stated(
        {"train": 200, "val": 20},
        {"image": np.zeros((300, 400, 3), np.uint8), "map": np.zeros((300, 400), np.uint8)},
        {"image": "image", "map": "map"},
        tuple("0123"),
    ),
    "pairs_folder": Stated(
        {"train": 200, "test": 20},
        {
            "image": np.zeros((300, 402, 3), np.uint8),
            "damaged": np.zeros((150, 201, 3), np.uint8),
        },
        {"image": "image", "damaged": "image"},
        None,
    ),
    "detection_folder": Stated(
        {"train": 118_287, "val": 5_000},
        {
            "image": np.zeros((480, 640, 3), np.uint8),
            "boxes": np.zeros((2, 4), np.float32),
            "boxes_label": np.zeros(2, np.int32),
        },
        {"image": "image", "boxes": "boxes", "boxes_label": "label"},
        tuple(map(str, range(80))),
    ),
}


class Repeated:
    """One record, as often as the data set has examples, of each class in turn."""

    def __init__(self, record, size, classes):
        self.record, self.size, self.classes = record, size, classes

    def __len__(self):
        return self.size

    def __getitem__(self, row):
        assert 0 <= row < self.size
        label = self.record.get("label")
        if not self.classes or not isinstance(label, np.integer):
            return dict(self.record)
        return {**self.record, "label": type(label)(self.classes - 1 - row % self.classes)}


def is_known(name):
    """Whether a name is a data set of this project, windows of one, or files of the user's own."""
    if series_windows.is_name(name):
        name = series_windows.parse(name).series
    return name in OWN_FILES or prepared.project_builder(name) is not None


@functools.cache
def stated(name):
    """Returns what a data set's builder states."""
    if name in OWN_FILES:
        return OWN_FILES[name]
    if series_windows.is_name(name):
        return windows(series_windows.parse(name))
    builder = prepared.project_builder(name)(data_dir="/nowhere")
    kinds = tfds_features.kinds_in_batch(builder, name)
    length = max(OPEN_LENGTHS.get(kind, OBJECTS) for kind in kinds.values())
    length = RING if "edges" in kinds else length
    features = {key: tfds_features.find(builder.info, key) for key in kinds}
    # A text by itself is a document; one beside other features is a sentence.
    alone = [key for key, kind in kinds.items() if kind != "id"] == ["text"]
    # A builder may state the kinds of features that only some of its variants have.
    record = {
        key: DOCUMENT if alone else example(feature, kinds[key], key, length)
        for key, feature in features.items()
        if kinds[key] != "id" and feature is not None
    }
    if name.startswith(("molecules", "qm9")):
        record["text"] = b"CCO"
    for key, value in VALUES.get(name, {}).items():
        record[key] = np.full_like(record[key], value)
    return Stated(making.splits(builder), record, kinds, tfds_features.label_names(builder))


def windows(asked):
    """Returns what is known of windows of a series, from what the series' builder states."""
    # A table of one's own is one series, divided in time.
    own = asked.series == "table"
    channels = 1 if own else stated(asked.series).record["series"].shape[1]
    parts = STEPS if own else stated(asked.series).splits
    marked = () if own else stated(asked.series).record
    if "anomaly" in marked:
        # Each step of 48 series, and those of the first parts.
        sizes = {"train": 28_000, "test": 206_927}
    else:
        sizes = series_windows.sizes(asked, {split: STEPS[split] for split in parts})
    record = {
        "series": np.zeros((asked.known, channels), np.float32),
        "target": np.zeros(asked.ahead * channels, np.float32),
    }
    if "anomaly" in marked:
        record |= {"anomaly": np.int32(0), "scored": np.int32(1), "place": np.zeros(2, np.int32)}
        return Stated(sizes, record, corpus_windows.CorpusWindows.kinds, None)
    return Stated(sizes, record, series_windows.Windows.kinds, None)


def open_source(name, split, columns=None):
    """Opens what has the shapes and sizes of a data set."""
    known = stated(name)
    parts = splits.resolve(split, known.splits, name)
    size = sum(stop - start for _, start, stop in parts)
    record, names = known.record, known.label_names
    if name == "table":
        record = {k: x for k, x in record.items() if k == "features" or k in columns}
        names = names if "label" in columns else None
    kinds = {k: kind for k, kind in known.kinds.items() if name != "table" or k in record}
    return Source(Repeated(record, size, len(names or ())), names, str, kinds=kinds)


def example(feature, kind, name, length):
    """Returns a value of a feature as TFDS reads it: the last class, an image, or zeros."""
    if kind == "clip":
        return np.zeros((FRAMES, *feature.shape), np.uint8)
    if isinstance(feature, tfds.features.Image):
        height, width, channels = feature.shape
        # An image whose height alone is stated is a line of writing.
        usual = (OPEN_IMAGE[0], 5 * height if height else OPEN_IMAGE[1], OPEN_IMAGE[2])
        sides = zip((height, width, channels), usual)
        return encoded(tuple(side or other for side, other in sides), 1 if kind == "map" else 256)
    if name == "edges":
        return np.stack([np.arange(RING), np.roll(np.arange(RING), 1)], axis=1).astype(np.int32)
    if isinstance(feature, tfds.features.Text):
        return "A dog runs."
    if isinstance(feature, tfds.features.ClassLabel):
        return np.int32(feature.num_classes - 1)
    length = OPEN_LENGTHS.get(kind, length)
    shape = [length if side is None else side for side in feature.shape]
    # A scalar is one of NumPy, no array.
    return np.zeros(shape, feature.np_dtype)[()]


@functools.cache
def encoded(shape, levels):
    """Returns a PNG file of a pattern: a small one, as some operations are fitted to all images."""
    tile = np.random.default_rng(0).integers(0, levels, (8, 8, shape[2]), dtype=np.uint8)
    rows, columns = np.indices(shape[:2]) % 8
    pixels = tile[rows, columns]
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
