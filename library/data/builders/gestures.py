"""Five small sets of time series: movements, outlines of hands and arrow-heads, spoken vowels.

Dau et al., "The UCR time series archive", 2019, and Bagnall et al., "The UEA multivariate time
series classification archive", 2018, in the copies of aeon.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data.builders import making, packed
from library.data.origins import Origin

_ORIGIN = (
    Origin(
        "aeon-1.6.0-py3-none-any.whl",
        "https://files.pythonhosted.org/packages/7d/49/034d8d142106e035fce019d8ee6f04d3ac8842490cd33f81"
        "1d4df8e15da3/aeon-1.6.0-py3-none-any.whl",
        6_421_000,
        "sha256:d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
    ),
)
# The file, training and test examples, channels and classes.
_SETS = {
    "basic_motions": ("BasicMotions", 40, 40, 6, ("Badminton", "Running", "Standing", "Walking")),
    "gun_point": ("GunPoint", 50, 150, 1, ("1", "2")),
    "pickup_gesture_wiimote": (
        "PickupGestureWiimoteZ_eq",
        *(50, 50, 1),
        tuple(str(number) for number in range(1, 11)),
    ),
    "japanese_vowels": (
        "JapaneseVowels_eq",
        *(270, 370, 12),
        tuple(str(number) for number in range(1, 10)),
    ),
    "arrow_head": ("ArrowHead", 36, 175, 1, ("0", "1", "2")),
}


def _variant(name: str, file: str, train: int, test: int, channels: int, classes: tuple):
    return making.Variant(
        name=name,
        splits={"train": train, "test": test},
        origin=_ORIGIN,
        files=(f"{file}.npz",),
        details={"channels": channels, "classes": classes, "file": file},
    )


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`series` (t, c) and `label`, its class; basic_motions has train 40 and test 40."""

    name = "gestures"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "gestures"
    HOMEPAGE = "https://timeseriesclassification.com"
    LICENCE = "BSD-3-Clause for aeon, which contains them"
    CITATION = "Dau et al., The UCR archive, 2019; Bagnall et al., The UEA archive, 2018"
    KINDS: ClassVar[dict[str, str]] = {"series": "series"}
    BUILDER_CONFIGS: ClassVar[list] = [_variant(name, *known) for name, known in _SETS.items()]

    def _info(self) -> tfds.core.DatasetInfo:
        details = self.builder_config.details
        features = {
            "series": tfds.features.Tensor(shape=(None, details["channels"]), dtype=np.float32),
            "label": tfds.features.ClassLabel(names=details["classes"]),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        arrays = packed.load(path, ("train_x", "train_y", "test_x", "test_y"))
        classes = self.builder_config.details["classes"]
        return {split: _read(path, arrays, split, classes) for split in ("train", "test")}

    def pack(self, paths: Mapping[str, Path], folder: Path) -> None:
        """Packs the text files of one set as arrays."""
        ((_, path),) = paths.items()
        file, arrays = self.builder_config.details["file"], {}
        with making.checked(path, lambda: zipfile.ZipFile(path)) as archive:
            for split in ("train", "test"):
                folder_in = f"aeon/datasets/data/{file.removesuffix('_eq')}"
                text = archive.read(f"{folder_in}/{file}_{split.upper()}.ts").decode("utf-8")
                arrays[f"{split}_x"], arrays[f"{split}_y"] = _parse(text)
        np.savez_compressed(folder / f"{file}.npz", **arrays)

    _generate_examples = making.examples


def _parse(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads values (n, channels, t) and classes (n,); colons separate channels and the class."""
    _, _, body = text.partition("@data\n")
    series, labels = [], []
    for line in filter(None, (line.strip() for line in body.splitlines())):
        *channels, label = line.split(":")
        series.append([[float(x) if x != "?" else np.nan for x in c.split(",")] for c in channels])
        labels.append(label)
    longest = max(len(channel) for example in series for channel in example)
    values = np.full((len(series), len(series[0]), longest), np.nan, np.float32)
    for row, example in enumerate(series):
        for channel, found in enumerate(example):
            values[row, channel, : len(found)] = found
    return values, np.array(labels)


def _read(
    path: Path, arrays: Mapping[str, np.ndarray], split: str, classes: tuple[str, ...]
) -> Iterator[tuple[int, dict]]:
    for row, (values, label) in enumerate(zip(arrays[f"{split}_x"], arrays[f"{split}_y"].tolist())):
        if label not in classes:
            raise ConfigError(f"{path}: class {label!r} of {split} {row} is not in {classes}")
        steps = values.T
        present = np.flatnonzero(~np.isnan(steps).all(axis=1))
        yield row, {"series": steps[: present[-1] + 1], "label": label}
