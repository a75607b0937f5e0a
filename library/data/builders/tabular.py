"""Fourteen small tables and series, for classification, regression and forecasting.

Fisher's iris, and others of the UCI machine learning repository (Kelly, Longjohn and Nottingham,
https://archive.ics.uci.edu), in the copies of https://github.com/jbrownlee/Datasets.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, tables

_COMMIT = "d20fcb6402ae34e653d4513b00f39257bb37ed7f"
_KNOWN = {
    "iris": (
        4_549,
        "sha256:f5d0c11e5c78a69a20dbb80baf2b24703f59a6687595752abb397d23732647c5",
    ),
    "wine": (
        10_782,
        "sha256:e9c16b779f9194945067f65118da6afb317ef60c6515879c50124dc4f6cdd756",
    ),
    "abalone": (
        191_872,
        "sha256:eb2de13be807e9bb9ec4128b9c89b98ab23d7739121cfd17b7dde69b46ba7bf6",
    ),
    "winequality-red": (
        84_028,
        "sha256:c9614512e980f1cbd221c796daa97f00c4898c3cd1716863abac60f6cd1a522e",
    ),
    "winequality-white": (
        264_255,
        "sha256:659d419fff887f225bf977d20520bb64a64cae203e460087f809721d4430ba27",
    ),
    "banknote_authentication": (
        46_400,
        "sha256:d0539aaed2139ba7a587b3e34fb345ce503ff7d5d33dbf9912d8e195ce425cb9",
    ),
    "ionosphere": (
        76_466,
        "sha256:fd6dd7864b55d56dac0a1e6e24af9ccc35bf2555ac79af8ab9f3d1daa065ab83",
    ),
    "sonar": (
        87_775,
        "sha256:3079c09b5d2789a0f96aff82c28e5164fafe2495c5f8da96c6c256c1bd25763f",
    ),
    "breast-cancer-wisconsin": (
        14_486,
        "sha256:9c9dc50e62dbcece16e5707bdec7514f87230d0aa35798b9aaffbc77cf736f1f",
    ),
    "mammography": (
        827_904,
        "sha256:7d3dea3f075f30bbdbb8980e7725684059b4fe3d0f850fadd0f635f6993d8730",
    ),
    "adult-train": (
        3_974_305,
        "sha256:5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    ),
    "adult-test": (
        2_003_132,
        "sha256:72567b94f5c1a6f8501377dd80f93892c3848ff071cf91ba47e00b0785a28074",
    ),
    "daily-min-temperatures": (
        67_921,
        "sha256:8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da",
    ),
    "airline-passengers": (
        2_180,
        "sha256:8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621",
    ),
    "monthly-sunspots": (
        45_039,
        "sha256:c4ec8cc57d9f6fb6ecdb3e1f37f25b6f4badd5124c55931052b0cd2fc3bc71f3",
    ),
}


class Table(NamedTuple):
    """The description of a table or series.

    Attributes:
      rows: number of rows; (train, test) if there are two files.
      columns: number of features, or of channels of a series.
      classes: class names, in the order of the labels; empty for regression or a series.
      answer: the column of the class or target, -1 for the last; None for a series.
      files: names of the files, without ".csv".
    """

    rows: tuple[int, ...]
    columns: int
    classes: tuple[str, ...]
    answer: int | None
    files: tuple[str, ...]


TABLES = {
    "iris": Table((150,), 4, ("Iris-setosa", "Iris-versicolor", "Iris-virginica"), -1, ("iris",)),
    "wine": Table((178,), 13, ("1", "2", "3"), -1, ("wine",)),
    "banknote": Table((1372,), 4, ("0", "1"), -1, ("banknote_authentication",)),
    "ionosphere": Table((351,), 34, ("b", "g"), -1, ("ionosphere",)),
    "sonar": Table((208,), 60, ("M", "R"), -1, ("sonar",)),
    "wisconsin": Table((699,), 9, ("2", "4"), -1, ("breast-cancer-wisconsin",)),
    "mammography": Table((11183,), 6, ("-1", "1"), -1, ("mammography",)),
    "adult": Table((32561, 16281), 14, ("<=50K", ">50K"), -1, ("adult-train", "adult-test")),
    "abalone": Table((4177,), 8, (), -1, ("abalone",)),
    "wine_quality_red": Table((1599,), 11, (), -1, ("winequality-red",)),
    "wine_quality_white": Table((4898,), 11, (), -1, ("winequality-white",)),
    "temperatures": Table((3650,), 1, (), None, ("daily-min-temperatures",)),
    "airline_passengers": Table((144,), 1, (), None, ("airline-passengers",)),
    "sunspots": Table((2820,), 1, (), None, ("monthly-sunspots",)),
}


def _splits(table: Table) -> dict[str, int]:
    if table.answer is None:
        return {"train": 1, "test": 1}
    if len(table.rows) == 2:
        return dict(zip(("train", "test"), table.rows))
    test = len(range(0, table.rows[0], 5))
    return {"train": table.rows[0] - test, "test": test}


def _variant(name: str, table: Table) -> making.Variant:
    known = {f"{file}.csv": _KNOWN[file] for file in table.files}
    return making.Variant(
        name=name,
        splits=_splits(table),
        origin=origins.on_github("jbrownlee/Datasets", _COMMIT, known),
        files=tuple(f"{file}.csv.gz" for file in table.files),
        details={"table": table},
    )


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`features` (c,) with a `label` or a `target` (1,); a series has `series` (t, 1).

    A word becomes its place among the sorted words of its column, and a missing value becomes NaN.
    Every fifth row is in test, and the last fifth of a series. These splits are this project's own;
    adult has its published splits.
    """

    name = "tabular"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "tabular"
    HOMEPAGE = "https://github.com/jbrownlee/Datasets"
    LICENCE = "not stated; from UCI's repository and public series"
    CITATION = "Fisher, 1936, and others; UCI machine learning repository"
    KINDS: ClassVar[dict[str, str]] = {
        "features": "array",
        "target": "target",
        "series": "series",
    }
    BUILDER_CONFIGS: ClassVar[list] = [_variant(name, table) for name, table in TABLES.items()]
    pack = staticmethod(tables.pack)

    def _info(self) -> tfds.core.DatasetInfo:
        table = self.builder_config.details["table"]
        tensor = functools.partial(tfds.features.Tensor, dtype=np.float32)
        if table.answer is None:
            return making.info(self, {"series": tensor(shape=(None, 1))})
        answer = {"target": tensor(shape=(1,))}
        if table.classes:
            answer = {"label": tfds.features.ClassLabel(names=table.classes)}
        return making.info(self, {"features": tensor(shape=(table.columns,)), **answer})

    def _split_generators(self, dl_manager):
        table = self.builder_config.details["table"]
        paths = [self.paths[file] for file in self.builder_config.files]
        read = [tables.read(path, header=table.answer is None) for path in paths]
        if table.answer is None:
            series = tables.numbers(paths[0], [row[1:] for row in read[0]])
            cut = len(series) * 4 // 5
            parts = {"train": series[:cut], "test": series[cut:]}
            return {split: iter([(0, {"series": part})]) for split, part in parts.items()}
        examples = _examples(paths[0], table, [row for rows in read for row in rows])
        first = len(read[0])
        test = [i >= first if len(read) == 2 else i % 5 == 0 for i in range(len(examples))]
        return {
            split: iter([(i, x) for i, x in enumerate(examples) if test[i] == (split == "test")])
            for split in ("train", "test")
        }

    _generate_examples = making.examples


def _examples(path: Path, table: Table, rows: Sequence[list[str]]) -> list[dict[str, Any]]:
    if len(rows[0]) != table.columns + 1:
        raise ConfigError(f"{path}: {len(rows[0])} columns, expected {table.columns + 1}")
    answers = [row[table.answer].strip("'.") for row in rows]
    columns = [_coded(column) for column in zip(*(row[:-1] for row in rows))]
    values = tables.numbers(path, list(zip(*columns)))
    if not table.classes:
        targets = tables.numbers(path, [[answer] for answer in answers])
        return [{"features": x, "target": y} for x, y in zip(values, targets)]
    unknown = sorted(set(answers) - set(table.classes))
    if unknown:
        raise ConfigError(f"{path}: class {unknown[0]!r} is not in {table.classes}")
    return [{"features": x, "label": y} for x, y in zip(values, answers)]


def _coded(column: Sequence[str]) -> Iterator[str]:
    """Replaces the words of a column by numbers, if it holds any word."""
    words = [x for x in column if x != "?"]
    try:
        [float(x) for x in words]
    except ValueError:
        places = {word: str(place) for place, word in enumerate(sorted(set(words)))}
        return iter([places.get(x, "?") for x in column])
    return iter(column)
